"""Tell whether the superuser of a cluster is enabled, from what is recorded; no guest is asked."""

from trove.core.callers import Caller
from trove.core.clusters import ClusterVerb
from trove.operations.cluster.members import cluster_of, need_verb
from trove.operations.doors import Doors
from trove.store import roots


def start(doors: Doors, caller: Caller, cluster_id: str) -> bool:
    """Return whether it was enabled and not disabled since. Raises `NotFound`, `InvalidInput`."""
    with doors.database.reading() as tx:
        cluster = cluster_of(tx, caller, cluster_id)
        need_verb(cluster, ClusterVerb.ROOT)
        return any(roots.enabled(tx, member.id) for member in cluster.members)
