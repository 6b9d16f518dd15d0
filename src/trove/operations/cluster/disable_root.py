"""Take the superuser's log-in on a cluster away."""

from trove.core.callers import Caller
from trove.core.clusters import Cluster
from trove.core.errors import NotFound
from trove.operations.cluster.serving_member import serving_member
from trove.operations.doors import Doors
from trove.store import roots
from trove.store.session import Tx


def start(doors: Doors, caller: Caller, cluster_id: str) -> None:
    """Disable it. May run twice.

    Raises `NotFound` (cluster, or root never enabled), `NotReady`, `InvalidInput`, `Unavailable`.
    """
    cluster, found = serving_member(doors, caller, cluster_id)
    with doors.database.reading() as tx:
        known = any(roots.ever_enabled(tx, member.id) for member in cluster.members)
    if not known:
        raise NotFound(f"Root was never enabled on cluster {cluster.id}.")
    found.guest.disable_root()
    doors.database.run(_record, cluster)


def _record(tx: Tx, cluster: Cluster) -> None:
    for member in cluster.members:
        roots.record_disabled(tx, member.id)
