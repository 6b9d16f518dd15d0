"""Instances: what is stored comes back, lists are cheap and complete, tasks are compare-and-set."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update
from tests.support.rows import add_instance, add_operation, add_version, new_instance

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.instances import Access, Address, Heartbeat, Volume
from trove.core.operations import OperationState
from trove.core.quotas import Resource
from trove.core.replication import ReplicaState
from trove.core.status import ServerStatus, ServiceStatus, Task
from trove.core.transitions import Event
from trove.store import guests, instances, operations, tables
from trove.store.session import Database, Tx


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def test_a_new_instance_is_building_and_comes_back_as_it_was_given(database: Database) -> None:
    version = add_version(database)
    access = Access(is_public=True, allowed_cidrs=("10.0.0.0/8", "::/0"))
    made = add_instance(database, version, name="Größe 🐬", access=access, region="R1", volume_type="ssd")
    with database.reading() as tx:
        found = instances.get(tx, made.id, project_id="p")
    assert found == made
    assert (found.name, found.access, found.region, found.flavor_id) == ("Größe 🐬", access, "R1", "2")
    assert (found.task, found.server_status, found.guest.status) == (Task.BUILDING, ServerStatus.BUILD, ServiceStatus.NEW)
    assert found.volume == Volume(size_gib=3, type="ssd")
    assert found.datastore_version == version
    assert found.created.tzinfo is not None
    assert abs(utcnow() - found.created) < timedelta(minutes=5)


def test_values_keep_their_types_whichever_way_rows_come(database: Database) -> None:
    active, retired = add_version(database, "10.11"), add_version(database, "10.6", active=False)
    for version in (active, retired):
        made = add_instance(database, version)
        with database.reading() as tx:
            found = instances.get(tx, made.id)
        assert found.datastore_version == version
        assert found.datastore_version.active is version.active
        assert (found.created, type(found.created), found.created.tzinfo) == (made.created, type(made.created), UTC)


def test_absent_foreign_and_deleted_instances_are_not_found(database: Database) -> None:
    made = add_instance(database, add_version(database))
    with database.transaction() as tx:
        for instance_id, project in ((new_id(), None), (made.id, "other")):
            with pytest.raises(errors.NotFound):
                instances.get(tx, instance_id, project_id=project)
        instances.mark_deleted(tx, made.id, fence=None)
        for lookup in (instances.get, instances.guest_key, instances.charges):
            with pytest.raises(errors.NotFound):
                lookup(tx, made.id)
        with pytest.raises(errors.NotFound):
            instances.mark_deleted(tx, made.id, fence=None)
        assert instances.page(tx, project_id="p", limit=5).items == ()
        assert made.id not in instances.live_ids(tx)
        assert instances.count(tx) == 0


def test_an_unknown_datastore_version_is_refused(database: Database) -> None:
    version = add_version(database)
    with database.transaction() as tx, pytest.raises(errors.NotFound, match="version"):
        instances.insert(tx, new_instance(replace(version, id=new_id())))


def test_pages_hold_everything_once_newest_first(database: Database) -> None:
    version = add_version(database)
    made = [add_instance(database, version, name=f"i{number}") for number in range(7)]
    add_instance(database, version, project_id="other")
    # Equal times must not lose or repeat anything.
    with database.transaction() as tx:
        same = made[0].created
        tx.execute(update(tables.instances).where(tables.instances.c.name.in_(["i1", "i2", "i3"])).values(created=same))
    seen: list[str] = []
    marker = None
    with database.reading() as tx:
        while True:
            page = instances.page(tx, project_id="p", limit=2, marker=marker)
            seen += [each.id for each in page.items]
            marker = page.next_marker
            if marker is None:
                break
        everything = instances.page(tx, project_id="p", limit=50).items
    assert len(seen) == 7
    assert seen == [each.id for each in everything]
    assert [(each.created, each.id) for each in everything] == sorted([(e.created, e.id) for e in everything], reverse=True)


@pytest.mark.parametrize(("limit", "expected"), [(2, None), (1, "more")])
def test_a_page_that_is_exactly_full_is_the_last(database: Database, limit: int, expected: str | None) -> None:
    version = add_version(database)
    for _ in range(2):
        add_instance(database, version)
    with database.reading() as tx:
        page = instances.page(tx, project_id="p", limit=limit)
    assert (page.next_marker is None) == (expected is None)


def test_an_unknown_or_foreign_marker_is_invalid_but_a_deleted_one_still_works(database: Database) -> None:
    version = add_version(database)
    old, new, foreign = (add_instance(database, version, project_id=project) for project in ("p", "p", "other"))
    with database.transaction() as tx:
        instances.mark_deleted(tx, new.id, fence=None)
        assert [each.id for each in instances.page(tx, project_id="p", limit=5, marker=new.id).items] == [old.id]
        for marker in (new_id(), foreign.id):
            with pytest.raises(errors.InvalidInput, match=marker):
                instances.page(tx, project_id="p", limit=5, marker=marker)


def test_members_of_clusters_are_listed_only_when_asked_for(database: Database) -> None:
    version = add_version(database)
    single, member = add_instance(database, version), add_instance(database, version)
    with database.transaction() as tx:
        tx.execute(update(tables.instances).where(tables.instances.c.id == member.id).values(cluster_id=new_id()))
        assert [each.id for each in instances.page(tx, project_id="p", limit=5).items] == [single.id]
        assert len(instances.page(tx, project_id="p", limit=5, include_clustered=True).items) == 2


def test_replicas_are_named_on_their_source(database: Database) -> None:
    version = add_version(database)
    source, *replicas = (add_instance(database, version) for _ in range(4))
    with database.transaction() as tx:
        ids = [each.id for each in replicas]
        tx.execute(update(tables.instances).where(tables.instances.c.id.in_(ids)).values(slave_of_id=source.id))
        instances.mark_deleted(tx, ids.pop(), fence=None)
        assert instances.get(tx, source.id).replicas == tuple(sorted(ids))
        assert instances.get(tx, ids[0]).replica_of == source.id


def test_a_page_is_two_statements_at_most_and_one_instance_is_one(database: Database) -> None:
    version = add_version(database)
    made = [add_instance(database, version) for _ in range(3)]
    with database.reading() as tx, statements(database) as seen:
        instances.page(tx, project_id="p", limit=20)
        assert len(seen) == 1
        instances.page(tx, project_id="p", limit=20, marker=made[2].id)
        assert len(seen) == 3
        instances.get(tx, made[0].id)
        assert len(seen) == 4


def test_a_page_of_many_costs_what_a_page_of_few_costs(database: Database) -> None:
    """Counts what the database does, not time: rows read on MariaDB, buffers on PostgreSQL, instructions on SQLite."""
    version = add_version(database)
    _fill(database, version.id, 2000)  # so many that PostgreSQL already uses the index
    few = _cost(database)
    _fill(database, version.id, 18_000)
    many = _cost(database)
    assert many <= 2 * few, (few, many)


def _fill(database: Database, version_id: str, count: int) -> None:
    now = utcnow()
    common = {"name": "i", "task": "NONE", "flavor_id": "1", "ram_mib": 1, "volume_size": 1, "deleted": False}
    rows = [
        {
            **common,
            "id": new_id(),
            "tenant_id": f"p{number % 2}",
            "datastore_version_id": version_id,
            "created": now + timedelta(milliseconds=number),
            "updated": now,
        }
        for number in range(count)
    ]
    with database.transaction() as tx:
        for start in range(0, count, 1000):
            tx.execute(insert(tables.instances), rows[start : start + 1000])
    if database.dialect == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _cost(database: Database) -> int:
    with database.reading() as tx:
        middle = instances.page(tx, project_id="p1", limit=50).items[-1].id
        return _work(tx, lambda: instances.page(tx, project_id="p1", limit=20, marker=middle))


def _work(tx: Tx, deed: Any) -> int:
    if tx.dialect == "sqlite":
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        driver: Any = tx.connection.connection.driver_connection
        driver.set_progress_handler(count, 10)
        deed()
        driver.set_progress_handler(None, 10)
        return steps
    if tx.dialect == "mysql":
        reads = "SELECT SUM(variable_value) FROM information_schema.session_status WHERE variable_name LIKE 'HANDLER_READ%'"
        before = int(tx.execute(text(reads)).scalar_one())
        deed()
        return int(tx.execute(text(reads)).scalar_one()) - before
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        with connection.connection.driver_connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            plans.append(cursor.fetchone()[0][0]["Plan"]["Shared Hit Blocks"])

    event.listen(tx.connection, "before_cursor_execute", explain)
    deed()
    return sum(int(plan) for plan in plans)


def test_a_task_changes_only_as_the_table_of_transitions_says(database: Database) -> None:
    made = add_instance(database, add_version(database))
    with database.transaction() as tx:
        with pytest.raises(errors.NotReady, match="BUILD"):
            instances.apply(tx, made.id, Event.RESTART_ACCEPTED)
        instances.apply(tx, made.id, Event.BUILT)
        assert instances.get(tx, made.id).server_status is ServerStatus.ACTIVE
        with pytest.raises(errors.NotReady, match="'new'"):
            instances.apply(tx, made.id, Event.RESTART_ACCEPTED)
        guests.apply_heartbeats(tx, [Heartbeat(instance_id=made.id, sent=utcnow(), status=ServiceStatus.HEALTHY)])
        instances.apply(tx, made.id, Event.RESTART_ACCEPTED)
        assert instances.get(tx, made.id).task is Task.REBOOTING
        with pytest.raises(errors.NotReady, match="REBOOT"):
            instances.apply(tx, made.id, Event.RESTART_ACCEPTED)
        assert instances.get(tx, made.id).task is Task.REBOOTING
        with pytest.raises(errors.NotFound):
            instances.apply(tx, new_id(), Event.RESTART_ACCEPTED)


def test_the_end_of_an_operation_leaves_an_instance_alone_that_another_waits_for(database: Database) -> None:
    made = add_instance(database, add_version(database))
    build, deletion = (add_operation(database, resource_id=made.id) for _ in range(2))
    with database.transaction() as tx:
        _, fence = operations.claim(tx, build.id, owner="a")
        instances.apply(tx, made.id, Event.STATUS_RESET)
        with pytest.raises(errors.NotReady, match="another operation"):
            instances.apply(tx, made.id, Event.BUILD_FAILED, fence=fence)
        operations.finish(tx, operations.claim(tx, deletion.id, owner="a")[1], OperationState.CANCELLED)
        instances.apply(tx, made.id, Event.BUILD_FAILED, fence=fence)


def test_what_the_cloud_gave_is_recorded_piece_by_piece_and_forgotten(database: Database) -> None:
    made = add_instance(database, add_version(database))
    addresses = (Address(address="10.0.0.4", network="n"), Address(address="203.0.113.9", type="public"))
    with database.transaction() as tx:
        instances.record_server(tx, made.id, fence=None, server_id="s1", server_status=ServerStatus.ACTIVE)
        instances.record_server(tx, made.id, fence=None, volume_id="v1", addresses=addresses, port=3306)
        found = instances.get(tx, made.id)
        assert (found.server_id, found.server_status, found.addresses, found.port) == ("s1", "ACTIVE", addresses, 3306)
        assert found.volume == Volume(size_gib=3, volume_id="v1")
        instances.forget_server(tx, made.id, fence=None, server_status=ServerStatus.ERROR)
        found = instances.get(tx, made.id)
        assert (found.server_id, found.server_status, found.addresses, found.port) == (None, "ERROR", (), None)
        instances.rename(tx, made.id, "new")
        assert instances.get(tx, made.id).name == "new"


def test_writes_of_a_runner_that_was_taken_over_are_refused(database: Database) -> None:
    made = add_instance(database, add_version(database))
    operation = add_operation(database, resource_id=made.id)
    with database.transaction() as tx:
        _, old = operations.claim(tx, operation.id, owner="a")
        _, new = operations.claim(tx, operation.id, owner="b")
        for write in (
            lambda fence: instances.apply(tx, made.id, Event.BUILT, fence=fence),
            lambda fence: instances.record_server(tx, made.id, fence=fence, server_id="s"),
            lambda fence: instances.forget_server(tx, made.id, fence=fence, server_status=None),
            lambda fence: instances.record_fault(tx, made.id, "m", None, fence=fence),
            lambda fence: instances.mark_deleted(tx, made.id, fence=fence),
        ):
            with pytest.raises(errors.Fenced):
                write(old)
            write(new)


def test_the_latest_fault_replaces_the_former_and_can_be_cleared(database: Database) -> None:
    made = add_instance(database, add_version(database))
    with database.transaction() as tx:
        instances.record_fault(tx, made.id, "first", None)
        instances.record_fault(tx, made.id, "é" * 300, "x" * 100_000)
        fault = instances.get(tx, made.id).fault
        assert fault is not None
        assert (fault.message, len(fault.details or "")) == ("é" * 255, 100_000)
        assert instances.page(tx, project_id="p", limit=1).items[0].fault == fault
        instances.clear_fault(tx, made.id)
        assert instances.get(tx, made.id).fault is None
        with pytest.raises(errors.NotFound):
            instances.record_fault(tx, new_id(), "m", None)


def test_the_guest_shows_on_its_instance(database: Database) -> None:
    made = add_instance(database, add_version(database))
    beat = Heartbeat(
        instance_id=made.id,
        sent=utcnow(),
        status=ServiceStatus.HEALTHY,
        agent_version="1",
        datastore_version="10.11.6",
        restarts=2,
        volume_used_bytes=2**40,
        volume_total_bytes=2**41,
        replica_state=ReplicaState(following=True, lag_s=0.25),
    )
    with database.transaction() as tx:
        guests.apply_heartbeats(tx, [beat])
        found = instances.get(tx, made.id)
        assert found.guest.replica_state == beat.replica_state
        guests.apply_heartbeats(tx, [replace(beat, sent=utcnow(), replica_state=None)])
        assert instances.get(tx, made.id).guest.replica_state is None
    assert (found.guest.status, found.guest.agent_version, found.guest.restarts) == (ServiceStatus.HEALTHY, "1", 2)
    assert found.guest.datastore_version == "10.11.6"
    assert found.volume == Volume(size_gib=3, used_bytes=2**40, total_bytes=2**41)


def test_the_key_of_the_guest_is_sealed_at_rest_and_gone_after_deletion(database: Database) -> None:
    made = add_instance(database, add_version(database), key=b"0123456789abcdef0123456789abcdef")
    with database.transaction() as tx:
        assert instances.guest_key(tx, made.id) == b"0123456789abcdef0123456789abcdef"
        assert b"0123456789abcdef" not in tx.execute(text("SELECT encrypted_key FROM instances")).scalar_one()
        instances.mark_deleted(tx, made.id, fence=None)
        assert tx.execute(text("SELECT encrypted_key FROM instances")).scalar_one() is None


def test_an_instance_counts_for_quotas_with_what_it_was_made_with(database: Database) -> None:
    made = add_instance(database, add_version(database))
    with database.reading() as tx:
        assert instances.charges(tx, made.id) == {Resource.INSTANCES: 1, Resource.RAM: 512, Resource.VOLUMES: 3}
        assert instances.count(tx, project_id="p") == 1
        assert instances.count(tx, project_id="other") == 0
        assert instances.live_ids(tx) == {made.id}
