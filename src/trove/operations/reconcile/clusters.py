"""Clusters that are busy although nothing works on them: a deletion goes on, anything else has failed."""

import logging

from trove.core.callers import Caller
from trove.core.clusters import ClusterEvent, ClusterTask
from trove.core.ids import new_id
from trove.operations.cluster import delete
from trove.operations.doors import Doors
from trove.operations.reconcile.round import Round
from trove.operations.reconcile.tasks import AUTHOR
from trove.store import clusters
from trove.store.session import Tx

LOG = logging.getLogger(__name__)


def release(this: Round) -> None:
    """Free stranded clusters, before their members are: those that are still busy then have lost their operation, too."""
    with this.doors.database.reading() as tx:
        stranded = clusters.stranded(tx, limit=this.settings.batch)
    for cluster_id, task in stranded:
        if this.stopping.is_set():
            return
        if task is ClusterTask.DELETING:
            operation_id = this.doors.database.run(_delete_again, this.doors, cluster_id)
            if operation_id is not None:
                LOG.warning("Cluster %s was to be deleted, and nothing did it: a new deletion is booked", cluster_id)
                this.offer(operation_id)
                this.count("deletions of clusters resumed")
        elif this.doors.database.run(_give_up, cluster_id, task):
            LOG.warning("Cluster %s was %s, and nothing worked on it: it is let go", cluster_id, task.value)
            this.count("tasks of clusters given up")


def _delete_again(tx: Tx, doors: Doors, cluster_id: str) -> str | None:
    if not clusters.hold_stranded(tx, cluster_id, ClusterTask.DELETING):
        return None
    project_id = clusters.get(tx, cluster_id).project_id
    caller = Caller(project_id=project_id, user_id=AUTHOR, request_id=f"req-{new_id()}")
    return delete.accept(tx, doors, caller, cluster_id)


def _give_up(tx: Tx, cluster_id: str, task: ClusterTask) -> bool:
    if not clusters.hold_stranded(tx, cluster_id, task):
        return False
    fault = f"The cluster was left with task {task.value} and nothing working on it: its last action did not end."
    clusters.apply(tx, cluster_id, ClusterEvent.ENDED, fault=fault)
    return True
