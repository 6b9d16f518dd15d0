"""Rows of clusters on every database: found with their members, paged, taken once, and never left to nobody unseen."""

import threading

import pytest
from tests.support.rows import add_operation, add_version, new_instance

from trove.core import errors
from trove.core.clusters import Cluster, ClusterEvent, ClusterTask, NewCluster
from trove.core.datastores import DatastoreVersion
from trove.core.ids import new_id
from trove.core.operations import Fence, OperationState
from trove.core.quotas import Resource, charge
from trove.core.status import ServerStatus, Task
from trove.core.transitions import Event
from trove.store import clusters, datastores, instances, operations, quotas
from trove.store.session import Database

LIMITS = {Resource.INSTANCES: 10, Resource.RAM: -1, Resource.VOLUMES: -1}


def add_cluster(database: Database, version: DatastoreVersion, *, members: int = 0, **values: object) -> Cluster:
    """Store a cluster of project `p` with so many members."""
    common: dict[str, object] = {"id": new_id(), "name": "ring", "project_id": "p", "datastore_version_id": version.id}
    new = NewCluster(**{**common, **values})  # type: ignore[arg-type]
    with database.transaction() as tx:
        clusters.insert(tx, new)
        for number in range(members):
            one = new_instance(version, name=f"ring-member-{number + 1}", cluster_id=new.id, member_type="member")
            instances.insert(tx, one)
        return clusters.get(tx, new.id)


def claimed(database: Database, cluster_id: str, **values: object) -> Fence:
    operation = add_operation(database, resource_type="cluster", resource_id=cluster_id, kind="cluster.grow", **values)
    return database.run(operations.claim, operation.id, owner="test")[1]


def test_a_cluster_is_stored_found_with_its_members_and_hidden(database: Database) -> None:
    version = add_version(database)
    made = add_cluster(database, version, members=2, locality="affinity", extended_properties={"num_mongos": 1})
    assert (made.task, made.datastore_version, made.locality) == (ClusterTask.BUILDING, version, "affinity")
    assert made.extended_properties == {"num_mongos": 1}
    assert [(each.name, each.type) for each in made.members] == [("ring-member-1", "member"), ("ring-member-2", "member")]
    with database.transaction() as tx:
        assert clusters.get(tx, made.id, project_id="p") == made
        for project in ("other", ""):
            with pytest.raises(errors.NotFound):
                clusters.get(tx, made.id, project_id=project)
        instances.mark_deleted(tx, made.members[0].id, fence=None)
        assert [each.id for each in clusters.get(tx, made.id).members] == [made.members[1].id]
    fence = claimed(database, made.id)
    with database.transaction() as tx:
        clusters.mark_deleted(tx, made.id, fence=fence)
        with pytest.raises(errors.NotFound):
            clusters.mark_deleted(tx, made.id, fence=fence)
        with pytest.raises(errors.NotFound):
            clusters.get(tx, made.id)
        assert clusters.get(tx, made.id, deleted=None).deleted_at is not None
        assert not clusters.exists(tx, made.id)
        assert clusters.live_ids(tx) == frozenset()
        assert clusters.hold(tx, made.id) is None


def test_clusters_come_in_pages_the_newest_first(database: Database) -> None:
    version = add_version(database)
    ids = [add_cluster(database, version, members=1).id for _ in range(3)][::-1]
    add_cluster(database, version, project_id="other")
    with database.reading() as tx:
        first = clusters.page(tx, project_id="p", limit=2)
        assert ([each.id for each in first.items], first.next_marker) == (ids[:2], ids[1])
        assert [len(each.members) for each in first.items] == [1, 1]
        rest = clusters.page(tx, project_id="p", limit=2, marker=ids[1])
        assert ([each.id for each in rest.items], rest.next_marker) == (ids[2:], None)
        for marker in (new_id(), "ghost"):
            with pytest.raises(errors.InvalidInput):
                clusters.page(tx, project_id="p", limit=2, marker=marker)
        with pytest.raises(errors.InvalidInput):
            clusters.page(tx, project_id="other", limit=2, marker=ids[0])
        assert len(clusters.of_all_projects(tx, deleted=None)) == 4
        assert clusters.of_all_projects(tx, deleted=True) == ()


def test_a_cluster_is_taken_by_one_of_two_at_once(database: Database) -> None:
    made = add_cluster(database, add_version(database))
    database.run(clusters.apply, made.id, ClusterEvent.ENDED)
    ready, outcomes = threading.Barrier(2), list[str]()

    def take(event: ClusterEvent) -> None:
        ready.wait(10)
        try:
            database.run(clusters.apply, made.id, event)
        except errors.NotReady:
            outcomes.append("refused")
        else:
            outcomes.append("taken")

    threads = [
        threading.Thread(target=take, args=(event,)) for event in (ClusterEvent.GROW_ACCEPTED, ClusterEvent.RESTART_ACCEPTED)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["refused", "taken"]


def test_the_end_of_an_operation_speaks_for_its_cluster_only_while_nobody_else_waits_for_it(database: Database) -> None:
    made = add_cluster(database, add_version(database))
    fence = claimed(database, made.id)
    later = add_operation(database, resource_type="cluster", resource_id=made.id, kind="cluster.delete")
    with database.transaction() as tx, pytest.raises(errors.NotReady, match="another operation"):
        clusters.apply(tx, made.id, ClusterEvent.ENDED, fence=fence)
    with database.transaction() as tx:
        _, new = operations.claim(tx, later.id, owner="test")
        operations.finish(tx, new, OperationState.CANCELLED)
        clusters.apply(tx, made.id, ClusterEvent.ENDED, fence=fence, fault="x" * 300)
        found = clusters.get(tx, made.id)
        assert (found.task, found.fault) == (ClusterTask.NONE, "x" * 255)
        clusters.apply(tx, made.id, ClusterEvent.GROW_ACCEPTED)
        assert clusters.get(tx, made.id).fault is None
        operations.disown(tx, fence.operation_id)
    with database.transaction() as tx, pytest.raises(errors.Fenced):
        clusters.apply(tx, made.id, ClusterEvent.ENDED, fence=fence)
    with database.transaction() as tx, pytest.raises(errors.NotFound):
        clusters.apply(tx, new_id(), ClusterEvent.ENDED)


def test_group_and_version_of_a_cluster_are_stored(database: Database) -> None:
    made = add_cluster(database, add_version(database))
    other, group, fence = add_version(database, "11.4"), new_id(), claimed(database, made.id)
    with database.transaction() as tx:
        clusters.set_configuration(tx, made.id, group)
        clusters.record_version(tx, made.id, other.id, fence=fence)
        found = clusters.get(tx, made.id)
        assert (found.configuration_id, found.datastore_version.id) == (group, other.id)
        clusters.set_configuration(tx, made.id, None, fence=fence)
        assert clusters.get(tx, made.id).configuration_id is None


def test_members_are_held_with_their_standing(database: Database) -> None:
    made = add_cluster(database, add_version(database), members=2)
    first, second = made.members
    fence = claimed(database, made.id)
    with database.transaction() as tx:
        instances.apply_to_member(tx, first.id, Event.BUILT, fence=fence)
        assert clusters.hold_members(tx, made.id) == {
            first.id: (first.name, Task.NONE, ServerStatus.ACTIVE),
            second.id: (second.name, Task.BUILDING, ServerStatus.BUILD),
        }
        assert clusters.hold_members(tx, new_id()) == {}


def test_a_cluster_is_stranded_when_it_is_busy_and_nothing_unfinished_is_its_own(database: Database) -> None:
    made = add_cluster(database, add_version(database))
    with database.transaction() as tx:
        assert clusters.stranded(tx, limit=9) == ((made.id, ClusterTask.BUILDING),)
        assert clusters.hold_stranded(tx, made.id, ClusterTask.BUILDING)
        assert not clusters.hold_stranded(tx, made.id, ClusterTask.DELETING)
    fence = claimed(database, made.id)
    with database.transaction() as tx:
        assert clusters.stranded(tx, limit=9) == ()
        assert not clusters.hold_stranded(tx, made.id, ClusterTask.BUILDING)
        operations.finish(tx, fence, OperationState.FAILED)
        assert clusters.stranded(tx, limit=9) != ()
        clusters.apply(tx, made.id, ClusterEvent.ENDED)
        assert clusters.stranded(tx, limit=9) == ()


def test_what_a_cluster_reserves_for_its_members_is_not_in_use_before_its_operation_ends(database: Database) -> None:
    version = add_version(database)
    charges = {resource: 2 * amount for resource, amount in charge(ram_mib=512, volume_gib=3).items()}
    database.run(quotas.reserve, "p", charges, LIMITS)
    made = add_cluster(database, version, members=2)
    fence = claimed(database, made.id, reserved={resource.value: amount for resource, amount in charges.items()})
    assert database.run(quotas.recount, "p") == ()
    with database.transaction() as tx:
        quotas.commit(tx, "p", charges)
        operations.finish(tx, fence, OperationState.SUCCEEDED)
    assert database.run(quotas.recount, "p") == ()
    with database.reading() as tx:
        assert {each.resource: each.in_use for each in quotas.limits_of(tx, "p", LIMITS)}[Resource.INSTANCES] == 2


def test_a_cluster_of_no_version_is_not_stored_and_a_version_in_use_is_not_removed(database: Database) -> None:
    version = add_version(database)
    with pytest.raises(errors.NotFound):
        add_cluster(database, version, datastore_version_id=new_id())
    add_cluster(database, version)
    with database.transaction() as tx, pytest.raises(errors.InvalidInput, match="clusters"):
        datastores.delete_version(tx, version.id)
