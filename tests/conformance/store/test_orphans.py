"""What the reconciler reads and writes, on every database: orphans, the census of instances, rows that nothing needs."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from tests.support.rows import add_instance, add_operation, add_version

from trove.core.census import Finder, Standing
from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.instances import Heartbeat, Instance
from trove.core.operations import OperationState
from trove.core.orphans import HeldKind
from trove.core.status import ServerStatus, ServiceStatus, Task
from trove.core.transitions import Event
from trove.store import census, guests, instances, leftovers, operations, orphans, tables
from trove.store.session import Database

VOLUME, PORT = HeldKind.VOLUME, HeldKind.PORT


def at_rest(database: Database, number: int = 1) -> list[Instance]:
    """Store instances that were built, and whose guests were heard."""
    version = add_version(database)
    found = []
    for _ in range(number):
        one = add_instance(database, version)
        with database.transaction() as tx:
            instances.record_server(tx, one.id, fence=None, server_id=f"server-{one.id}")
            instances.apply(tx, one.id, Event.BUILT)
            guests.apply_heartbeats(tx, [Heartbeat(instance_id=one.id, sent=utcnow(), status=ServiceStatus.HEALTHY)])
            found.append(instances.get(tx, one.id))
    return sorted(found, key=lambda one: one.id)


def seen(database: Database, instance_id: str) -> Standing:
    with database.reading() as tx:
        [standing] = census.standings(tx, [instance_id])
    return standing


# -- orphans ----------------------------------------------------------------------------------------------------------------


def test_an_orphan_is_new_once_and_keeps_when_it_was_seen_first(database: Database):
    one, other = sorted([new_id(), new_id()])
    with database.transaction() as tx:
        assert orphans.record(tx, VOLUME, [(one, "unknown")], limit=10) == (one,)
    with database.transaction() as tx:
        assert orphans.record(tx, VOLUME, [(one, "stuck"), (other, "unknown")], limit=10) == (other,)
    with database.reading() as tx:
        first, second = sorted(orphans.all(tx), key=lambda orphan: orphan.instance_id)
        assert orphans.count(tx) == 2
    assert (first.kind, first.reason, second.reason) == (VOLUME, "stuck", "unknown")
    assert first.first_seen < first.last_seen == second.last_seen == second.first_seen


def test_only_so_many_orphans_are_new_at_a_time(database: Database):
    ids = [new_id() for _ in range(5)]
    pairs = [(one, "unknown") for one in ids]
    with database.transaction() as tx:
        assert [len(orphans.record(tx, VOLUME, pairs, limit=2)) for _ in range(4)] == [2, 2, 1, 0]
        assert len(orphans.all(tx)) == 5


def test_orphans_come_in_the_order_of_their_removal(database: Database):
    one = new_id()
    with database.transaction() as tx:
        for kind in reversed(HeldKind):
            orphans.record(tx, kind, [(one, "unknown")], limit=10)
        assert [orphan.kind for orphan in orphans.all(tx)] == list(HeldKind)
        assert [orphan.kind for orphan in orphans.all(tx, kind=PORT)] == [PORT]


def test_an_orphan_is_forgotten_by_kind_and_instance(database: Database):
    ids = [new_id() for _ in range(3)]
    with database.transaction() as tx:
        for kind in (VOLUME, PORT):
            orphans.record(tx, kind, [(one, "unknown") for one in ids], limit=10)
        for _ in range(2):
            orphans.forget(tx, VOLUME, ids[:2])
        assert [(orphan.kind, orphan.instance_id) for orphan in orphans.all(tx, kind=VOLUME)] == [(VOLUME, ids[2])]
        assert len(orphans.all(tx, kind=PORT)) == 3


def test_a_long_reason_is_cut(database: Database):
    with database.transaction() as tx:
        for _ in range(2):
            orphans.record(tx, VOLUME, [(new_id(), "é" * 300)], limit=10)
        assert {len(orphan.reason) for orphan in orphans.all(tx)} == {255}


# -- servers ----------------------------------------------------------------------------------------------------------------


def test_instances_at_rest_come_page_by_page(database: Database):
    found = at_rest(database, 3)
    version = add_version(database)
    building = add_instance(database, version)
    busy = at_rest(database, 1)[0]
    add_operation(database, resource_id=busy.id)
    with database.reading() as tx:
        first = census.page(tx, after="", limit=2)
        second = census.page(tx, after=first[-1].instance_id, limit=2)
        assert census.with_server(tx) == {one.id for one in found}
        assert census.standings(tx, [building.id, busy.id]) == ()
    assert [one.instance_id for one in (*first, *second)] == [one.id for one in found]
    assert (first[0].task, first[0].server_status, first[0].fault_details) == (Task.NONE, ServerStatus.ACTIVE, None)


def test_the_server_is_followed_with_a_fault_and_back_without(database: Database):
    [one] = at_rest(database)
    with database.transaction() as tx:
        assert census.follow_server(tx, seen(database, one.id), ServerStatus.ERROR, "It broke.")
    with database.reading() as tx:
        broken = instances.get(tx, one.id)
        assert [each.instance_id for each in census.faulted(tx, Finder.SERVER, limit=9)] == [one.id]
        assert census.faulted(tx, Finder.GUEST, limit=9) == ()
    assert broken.fault is not None
    assert (broken.server_status, broken.fault.message) == (ServerStatus.ERROR, "It broke.")
    with database.transaction() as tx:
        assert census.follow_server(tx, seen(database, one.id), ServerStatus.ACTIVE, None)
        mended = instances.get(tx, one.id)
    assert (mended.server_status, mended.fault) == (ServerStatus.ACTIVE, None)


def test_a_server_is_not_followed_once_the_row_has_changed(database: Database):
    [one] = at_rest(database)
    before = seen(database, one.id)
    with database.transaction() as tx:
        instances.apply(tx, one.id, Event.RESTART_ACCEPTED)
        instances.apply(tx, one.id, Event.RESTARTED)
    with database.transaction() as tx:
        assert not census.follow_server(tx, before, ServerStatus.ERROR, "It broke.")
        unchanged = instances.get(tx, one.id)
    assert (unchanged.server_status, unchanged.fault) == (ServerStatus.ACTIVE, None)


def test_a_fault_is_cleared_by_its_finder_only(database: Database):
    [one] = at_rest(database)
    with database.transaction() as tx:
        instances.record_fault(tx, one.id, "The restart failed.", "Operation 1")
        assert not census.clear_fault(tx, one.id, Finder.SERVER)
        assert instances.get(tx, one.id).fault is not None
        instances.record_fault(tx, one.id, "It broke.", f"{Finder.SERVER}: It broke.")
        assert not census.clear_fault(tx, one.id, Finder.GUEST)
        assert census.clear_fault(tx, one.id, Finder.SERVER)
        assert instances.get(tx, one.id).fault is None


# -- guests -----------------------------------------------------------------------------------------------------------------


def test_silence_is_found_recorded_and_ended(database: Database):
    one, other = at_rest(database, 2)
    old, expiry = utcnow() - timedelta(hours=1), utcnow() - timedelta(minutes=2)
    status = tables.service_statuses
    with database.transaction() as tx:
        tx.execute(sa.update(status).where(status.c.instance_id == one.id).values(heard_at=old, sent=old))
    with database.reading() as tx:
        [silence] = census.silent(tx, before=expiry, limit=9)
        assert census.last_heard(tx) > expiry  # type: ignore[operator]
    assert (silence.instance_id, silence.heard_at) == (one.id, old)
    with database.transaction() as tx:
        assert census.record_silence(tx, silence, "Silent.")
        assert not census.record_silence(tx, silence, "Silent.")
        assert census.silent(tx, before=expiry, limit=9) == ()
        assert census.heard_again(tx, since=expiry, limit=9) == ()
        guests.apply_heartbeats(tx, [Heartbeat(instance_id=one.id, sent=utcnow(), status=ServiceStatus.HEALTHY)])
        assert census.heard_again(tx, since=expiry, limit=9) == (one.id,)
        assert instances.get(tx, other.id).fault is None


def test_silence_that_ended_meanwhile_is_not_recorded(database: Database):
    [one] = at_rest(database)
    old, expiry = utcnow() - timedelta(hours=1), utcnow() - timedelta(minutes=2)
    with database.transaction() as tx:
        tx.execute(sa.update(tables.service_statuses).values(heard_at=old, sent=old))
        [silence] = census.silent(tx, before=expiry, limit=9)
    with database.transaction() as tx:
        guests.apply_heartbeats(tx, [Heartbeat(instance_id=one.id, sent=utcnow(), status=ServiceStatus.HEALTHY)])
    with database.transaction() as tx:
        assert not census.record_silence(tx, silence, "Silent.")
        assert instances.get(tx, one.id).fault is None


# -- tasks and operations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clustered", [False, True])
def test_an_instance_is_stranded_when_nothing_unfinished_is_its_own_or_its_clusters(database: Database, clustered: bool):
    [one] = at_rest(database)
    cluster = new_id()
    rows = tables.instances
    with database.transaction() as tx:
        instances.apply(tx, one.id, Event.RESTART_ACCEPTED)
        tx.execute(sa.update(rows).where(rows.c.id == one.id).values(cluster_id=cluster if clustered else None))
        [stranded] = census.stranded(tx, limit=9)
        assert (stranded.instance_id, stranded.task) == (one.id, Task.REBOOTING)
        assert census.hold_stranded(tx, stranded)
    add_operation(database, resource_id=cluster if clustered else one.id)
    with database.transaction() as tx:
        assert census.stranded(tx, limit=9) == ()
        assert not census.hold_stranded(tx, stranded)


def test_operations_without_a_runner_are_found_by_lease_or_age(database: Database):
    young, old, leased, expired, ended = (add_operation(database) for _ in range(5))
    now, rows = utcnow(), tables.operations
    long_ago, soon = now - timedelta(minutes=9), now + timedelta(minutes=9)
    values = {
        old.id: {"updated": long_ago},
        leased.id: {"updated": long_ago, "lease_until": soon, "state": OperationState.RUNNING},
        expired.id: {"updated": now, "lease_until": long_ago, "state": OperationState.REVERTING},
        ended.id: {"updated": long_ago, "state": OperationState.FAILED},
    }
    with database.transaction() as tx:
        for operation_id, changed in values.items():
            tx.execute(sa.update(rows).where(rows.c.id == operation_id).values(**changed))
        found = census.unowned(tx, before=now - timedelta(minutes=1), limit=9)
    assert {one.operation_id: one.since for one in found} == {old.id: long_ago, expired.id: long_ago}
    assert young.id not in {one.operation_id for one in found}


# -- rows that nothing needs ------------------------------------------------------------------------------------------------


def test_states_of_flows_go_with_their_operations(database: Database):
    running, ended, unknown = add_operation(database), add_operation(database), new_id()
    with database.transaction() as tx:
        _, fence = operations.claim(tx, ended.id, owner="me")
        operations.finish(tx, fence, OperationState.FAILED, "no")
        for flow_id in (running.id, ended.id, unknown):
            for path in ("/a", "/b"):
                tx.execute(sa.insert(tables.workflow_items).values(flow_id=flow_id, path=path, value=b"{}"))
    with database.transaction() as tx:
        assert [leftovers.remove_workflows(tx, limit=1) for _ in range(3)] == [1, 1, 0]
        assert set(tx.execute(sa.select(tables.workflow_items.c.flow_id)).scalars()) == {running.id}


def test_reports_go_with_their_instances(database: Database):
    live, gone = at_rest(database, 2)
    now = utcnow()
    with database.transaction() as tx:
        instances.mark_deleted(tx, gone.id, fence=None)
        for instance_id in (live.id, gone.id, new_id()):
            job = {"kind": "prepare", "state": "DONE", "sent": now, "percent": 1, "step": "", "name": "one"}
            tx.execute(sa.insert(tables.guest_jobs).values(instance_id=instance_id, **job))
    with database.transaction() as tx:
        assert [leftovers.remove_reports(tx, limit=2) for _ in range(3)] == [2, 1, 0]
        for table in (tables.guest_jobs, tables.service_statuses):
            assert set(tx.execute(sa.select(table.c.instance_id)).scalars()) == {live.id}


def test_states_of_jobs_go_when_their_operations_are_not_kept_any_more(database: Database):
    [one] = at_rest(database)
    kept = add_operation(database, resource_id=one.id)
    now = utcnow()
    with database.transaction() as tx:
        for name, sent in ((kept.id, now - timedelta(days=9)), ("old", now - timedelta(days=9)), ("young", now)):
            job = {"kind": "prepare", "state": "DONE", "sent": sent, "percent": 1, "step": ""}
            tx.execute(sa.insert(tables.guest_jobs).values(instance_id=one.id, name=name, **job))
    with database.transaction() as tx:
        assert [leftovers.remove_jobs(tx, before=now - timedelta(days=1), limit=9) for _ in range(2)] == [1, 0]
        assert set(tx.execute(sa.select(tables.guest_jobs.c.name)).scalars()) == {kept.id, "young"}


def test_ids_are_told_apart_into_live_and_deleted(database: Database):
    live, gone = at_rest(database, 2)
    with database.transaction() as tx:
        instances.mark_deleted(tx, gone.id, fence=None)
        ids = [live.id, gone.id, new_id()]
        assert census.live_among(tx, ids) == {live.id}
        assert census.deleted_among(tx, ids) == {gone.id}
