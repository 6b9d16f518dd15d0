"""Replicated sets: who belongs to them, who holds them, and that nobody comes or goes while they are held."""

import threading
from datetime import timedelta

import pytest
from tests.support.rows import add_instance, add_operation, add_version

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.instances import Access, Heartbeat, Instance
from trove.core.operations import Fence, OperationState
from trove.core.status import ServiceStatus, Task
from trove.core.transitions import Event
from trove.store import census, guests, instances, operations
from trove.store.session import Database


def active(database: Database, made: Instance) -> str:
    beat = Heartbeat(instance_id=made.id, sent=utcnow() + timedelta(seconds=1), status=ServiceStatus.HEALTHY)
    with database.transaction() as tx:
        instances.apply(tx, made.id, Event.BUILT)
        guests.apply_heartbeats(tx, [beat])
    return made.id


def a_set(database: Database) -> tuple[str, str, str]:
    """Store a source with two replicas; the locality is inherited by nobody here, it is the caller's."""
    version = add_version(database)
    source = active(database, add_instance(database, version, locality="affinity"))
    first, second = (active(database, add_instance(database, version, replica_of=source)) for _ in range(2))
    active(database, add_instance(database, version, name="stranger"))
    return source, first, second


def claimed(database: Database, resource_id: str) -> Fence:
    operation = add_operation(database, resource_id=resource_id, kind="instance.promote_to_replica_source")
    return database.run(operations.claim, operation.id, owner="test")[1]


def test_a_set_is_its_source_and_its_live_replicas_in_order(database: Database) -> None:
    source, first, second = a_set(database)
    with database.transaction() as tx:
        assert instances.hold_set(tx, source) == tuple(sorted((source, first, second)))
        assert instances.sources(tx, [source, first]) == {source: None, first: source}
        assert instances.get(tx, source).replicas == tuple(sorted((first, second)))
        assert instances.get(tx, source).locality == "affinity"
        instances.mark_deleted(tx, second, fence=None)
        assert instances.hold_set(tx, source) == tuple(sorted((source, first)))
        assert instances.sources(tx, [source, second]) == {source: None}


def test_nobody_joins_a_set_that_is_held(database: Database) -> None:
    """Whoever wants to replicate the source waits for its row, and then sees that it is busy."""
    source, first, second = a_set(database)
    held, outcome = threading.Event(), []

    def join() -> None:
        held.wait(20)
        with pytest.raises(errors.NotReady):
            database.run(instances.apply, source, Event.REPLICATE_ACCEPTED)
        outcome.append("refused")

    thread = threading.Thread(target=join)
    thread.start()
    with database.transaction() as tx:
        assert set(instances.hold_set(tx, source)) == {source, first, second}
        held.set()
        for member in (source, first, second):
            instances.apply(tx, member, Event.PROMOTE_ACCEPTED)
    thread.join(20)
    assert outcome == ["refused"]


def test_roles_change_only_by_who_owns_the_operation(database: Database) -> None:
    source, first, second = a_set(database)
    fence = claimed(database, first)
    with database.transaction() as tx:
        for member, follows in ((first, None), (source, first), (second, first)):
            instances.record_source(tx, member, follows, fence=fence)
        assert instances.get(tx, first).replicas == tuple(sorted((source, second)))
        assert instances.get(tx, source).replica_of == first
    stale = Fence(operation_id=fence.operation_id, number=fence.number - 1)
    with pytest.raises(errors.Fenced), database.transaction() as tx:
        instances.record_source(tx, first, source, fence=stale)
    with pytest.raises(errors.Fenced), database.transaction() as tx:
        instances.apply_to_member(tx, source, Event.PROMOTED, fence=stale)


def test_a_member_is_let_go_by_the_operation_of_another(database: Database) -> None:
    source, first, second = a_set(database)
    with database.transaction() as tx:
        for member in (source, first, second):
            instances.apply(tx, member, Event.PROMOTE_ACCEPTED)
    fence = claimed(database, first)
    with database.transaction() as tx:
        instances.apply(tx, second, Event.STATUS_RESET)
        instances.apply_to_member(tx, source, Event.PROMOTED, fence=fence)
        with pytest.raises(errors.NotReady):
            instances.apply_to_member(tx, second, Event.PROMOTED, fence=fence)
        assert instances.get(tx, source).task is Task.NONE


def test_members_are_stranded_only_when_nothing_works_on_any_of_them(database: Database) -> None:
    source, first, second = a_set(database)
    with database.transaction() as tx:
        for member in (source, first, second):
            instances.apply(tx, member, Event.PROMOTE_ACCEPTED)
    fence = claimed(database, first)

    def stranded() -> set[str]:
        with database.reading() as tx:
            return {each.instance_id for each in census.stranded(tx, limit=9)}

    assert stranded() == set()
    with database.transaction() as tx:
        for member, follows in ((first, None), (source, first), (second, first)):
            instances.record_source(tx, member, follows, fence=fence)
    assert stranded() == set()
    with database.transaction() as tx:
        operations.finish(tx, fence, OperationState.FAILED, "It died.")
    assert stranded() == {source, first, second}


def test_access_and_version_are_replaced_by_who_owns_the_operation(database: Database) -> None:
    source, _, _ = a_set(database)
    newer = add_version(database, "11.4")
    fence, access = claimed(database, source), Access(is_public=True, allowed_cidrs=("10.0.0.0/8",))
    with database.transaction() as tx:
        instances.record_access(tx, source, access, fence=fence)
        instances.record_version(tx, source, newer.id, fence=fence)
        found = instances.get(tx, source)
    assert (found.access, found.datastore_version) == (access, newer)
