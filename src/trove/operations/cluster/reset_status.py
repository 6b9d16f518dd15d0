"""Free a cluster from a task that hangs, so that it can be acted on or deleted."""

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent
from trove.core.status import IDLE_TASKS, Task
from trove.operations.booking import cancel_unfinished
from trove.operations.cluster import delete
from trove.operations.cluster.members import cluster_of
from trove.operations.doors import Doors
from trove.operations.instance import reset_status as reset_instance
from trove.operations.notifications.lifecycle import notified
from trove.store import clusters
from trove.store.session import Tx


@notified("cluster.reset_status", lambda cluster_id: {"cluster_id": cluster_id})
def start(doors: Doors, caller: Caller, cluster_id: str) -> Cluster:
    """Let go of the cluster and of its busy members, and cancel what runs, except a deletion. Return the cluster.

    Members that were being built or removed show ERROR. Raises `NotFound`. May run twice.
    """
    return doors.database.run(_reset, caller, cluster_id)


def _reset(tx: Tx, caller: Caller, cluster_id: str) -> Cluster:
    cluster = cluster_of(tx, caller, cluster_id)
    clusters.apply(tx, cluster.id, ClusterEvent.STATUS_RESET, fault=cluster.fault)
    cancel_unfinished(tx, cluster.id, but=delete.KIND)
    found = clusters.get(tx, cluster.id)
    if found.task is not cluster.task:
        for member_id, (_, task, _) in clusters.hold_members(tx, cluster.id).items():
            if task not in IDLE_TASKS | {Task.FAILED}:
                reset_instance.reset(tx, caller, member_id)
    return found
