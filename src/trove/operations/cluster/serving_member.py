"""What is done to users of a cluster is done on one member, whichever serves, and holds for all."""

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterTask, ClusterVerb
from trove.core.errors import NotReady
from trove.datastores.contract import Facet
from trove.operations.cluster.members import cluster_of, need_verb
from trove.operations.doors import Doors
from trove.operations.serving import Serving, serving


def serving_member(doors: Doors, caller: Caller, cluster_id: str) -> tuple[Cluster, Serving]:
    """Return the cluster and its first member whose superuser can be asked for now.

    Raises `NotFound`, `InvalidInput` where clusters of the engine have no superuser, `NotReady` naming the task of the cluster,
    or the status of its last member.
    """
    with doors.database.reading() as tx:
        cluster = cluster_of(tx, caller, cluster_id)
    need_verb(cluster, ClusterVerb.ROOT)
    if cluster.task is not ClusterTask.NONE:
        raise NotReady(f"Cluster {cluster.id} is not ready for this action: its task is {cluster.task.value}.")
    refusal = NotReady(f"Cluster {cluster.id} has no members.")
    for member in cluster.members:
        try:
            return cluster, serving(doors, caller, member.id, Facet.ROOT)
        except NotReady as error:
            refusal = error
    raise refusal
