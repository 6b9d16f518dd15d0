"""Clusters that are busy although nothing works on them: rounds of the reconciler free them, and end deletions."""

from collections import Counter

import pytest
from sqlalchemy import delete, update
from tests.support.engines import EVERYTHING
from tests.support.world import CALLER, World

from trove.core.clusters import Cluster, ClusterTask
from trove.core.operations import OperationState
from trove.core.status import Task, shown_status
from trove.operations.cluster import create, restart
from trove.operations.cluster.building import MemberRequest
from trove.operations.reconcile.round import ReconcileSettings
from trove.store import clusters, instances, operations, quotas, tables
from trove.taskmanager.reconciler import Reconciler
from trove.workflow.locks import Locks


def round_of(here: World) -> Counter[str]:
    found = Reconciler(
        here.doors,
        locks=Locks(f"file://{here.lock_dir}", "tester"),
        offer=lambda operation_id: bool(here.announcer.announced.append(operation_id)) or True,
        settings=ReconcileSettings(),
        interval_s=60.0,
    ).round()
    assert found is not None
    return found


def run_all(here: World) -> None:
    while True:
        with here.database.reading() as tx:
            waiting = operations.unfinished(tx, limit=1)
        if not waiting:
            return
        here.runner().run_now(waiting[0].id)


def strand(here: World, cluster_id: str, task: ClusterTask, of_members: Task) -> None:
    """Let everything look busy, and lose the operation."""
    with here.database.transaction() as tx:
        tx.execute(update(tables.clusters).values(task=task))
        tx.execute(update(tables.instances).where(tables.instances.c.cluster_id == cluster_id).values(task=of_members))
        tx.execute(delete(tables.operations))


def seen(here: World, cluster_id: str) -> Cluster:
    with here.database.reading() as tx:
        return clusters.get(tx, cluster_id)


@pytest.fixture
def ring(here: World) -> str:
    wanted = create.CreateCluster(
        name="ring",
        datastore_type=EVERYTHING,
        datastore_version="1.0",
        members=2 * (MemberRequest(flavor_ref="2", volume_size_gib=2),),
    )
    cluster_id = create.start(here.doors, CALLER, wanted).id
    run_all(here)
    return cluster_id


def test_a_cluster_that_lost_its_operation_is_let_go_and_says_why(here: World, ring: str) -> None:
    strand(here, ring, ClusterTask.RESTARTING, Task.REBOOTING)
    counts = round_of(here)
    assert (counts["tasks of clusters given up"], counts["tasks given up"]) == (1, 2)
    found = seen(here, ring)
    assert found.task is ClusterTask.NONE
    assert found.fault is not None
    assert "RESTARTING_CLUSTER" in found.fault
    with here.database.reading() as tx:
        members = [instances.get(tx, member.id) for member in found.members]
    assert {shown_status(each.task, each.server_status) for each in members} == {"ERROR"}
    assert all(each.fault for each in members)
    assert round_of(here)["tasks of clusters given up"] == 0


def test_a_deletion_that_was_lost_goes_on(here: World, ring: str) -> None:
    strand(here, ring, ClusterTask.DELETING, Task.DELETING)
    counts = round_of(here)
    assert (counts["deletions of clusters resumed"], counts["deletions resumed"]) == (1, 0)
    assert round_of(here)["deletions of clusters resumed"] == 0
    run_all(here)
    with here.database.reading() as tx:
        assert (clusters.live_ids(tx), instances.live_ids(tx)) == (frozenset(), frozenset())
        assert {(each.in_use, each.reserved) for each in quotas.limits_of(tx, CALLER.project_id, {})} == {(0, 0)}
    assert here.cloud.leftovers().servers == ()


def test_a_member_whose_removal_was_lost_is_removed(here: World, ring: str) -> None:
    strand(here, ring, ClusterTask.NONE, Task.NONE)
    leaving = seen(here, ring).members[1].id
    with here.database.transaction() as tx:
        tx.execute(update(tables.instances).where(tables.instances.c.id == leaving).values(task=Task.DELETING))
    assert round_of(here)["deletions resumed"] == 1
    run_all(here)
    assert len(seen(here, ring).members) == 1


def test_a_cluster_that_is_worked_on_is_left_alone(here: World, ring: str) -> None:
    restart.start(here.doors, CALLER, ring)
    assert round_of(here)["tasks of clusters given up"] == 0
    run_all(here)
    with here.database.reading() as tx:
        (last, *_) = operations.page(tx, project_id=CALLER.project_id, limit=1).items
    assert last.state is OperationState.SUCCEEDED
    assert seen(here, ring).task is ClusterTask.NONE
