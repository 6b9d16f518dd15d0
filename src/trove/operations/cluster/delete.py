"""Delete a cluster with all its members."""

from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import ClusterEvent
from trove.core.errors import NotFound, TroveError
from trove.core.json import JSON
from trove.operations.booking import cancel_unfinished
from trove.operations.cluster.members import MEMBERS, all_members, book_cluster, cluster_of, conclude
from trove.operations.cluster.removing import condemn, quiet_step, removal_failed, remove_steps
from trove.operations.doors import Doors
from trove.operations.steps import line
from trove.operations.work import Work
from trove.store import clusters, operations
from trove.store.session import Tx

KIND = "cluster.delete"


def start(doors: Doors, caller: Caller, cluster_id: str) -> None:
    """Accept the deletion. One that is being deleted already is left to that.

    Raises `NotFound`; `NotReady` naming the task while something else is done to the cluster.
    """
    operation_id = doors.database.run(accept, doors, caller, cluster_id)
    if operation_id is not None:
        doors.announcer.announce(operation_id)


def accept(tx: Tx, doors: Doors, caller: Caller, cluster_id: str) -> str | None:
    """Accept it in the caller's transaction and return the operation, None when one has not ended. Errors as in `start`."""
    cluster = cluster_of(tx, caller, cluster_id)
    clusters.apply(tx, cluster.id, ClusterEvent.DELETE_ACCEPTED)
    if any(each.kind == KIND for each in operations.unfinished(tx, limit=100, resource_id=cluster.id)):
        return None
    cancel_unfinished(tx, cluster.id)
    clusters.set_configuration(tx, cluster.id, None)
    condemn(tx, [member.id for member in cluster.members])
    timeout_s = max(1, len(cluster.members)) * doors.settings.delete_timeout_s
    args: dict[str, JSON] = {MEMBERS: all_members(cluster)}
    return book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow that removes every member. Each step is content with what is gone already."""
    return line(work, quiet_step(work), *remove_steps(work))


def succeed(tx: Tx, work: Work) -> None:
    """Hide the cluster, in the transaction that ends the operation."""
    try:
        clusters.mark_deleted(tx, work.operation.resource_id, fence=work.fence)
    except NotFound:
        return


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster with what could not be freed; it can be deleted again."""
    conclude(tx, work, ClusterEvent.DELETE_FAILED, error)
    removal_failed(tx, work, error)
