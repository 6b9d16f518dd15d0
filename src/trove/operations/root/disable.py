"""Take the superuser's log-in on a running instance away."""

from trove.core.callers import Caller
from trove.core.errors import NotFound
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import serving
from trove.store import roots


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Disable it. Raises `NotFound` (instance, or root never enabled), `NotReady`, `Unavailable`. May run twice."""
    found = serving(doors, caller, instance_id, Facet.ROOT)
    with doors.database.reading() as tx:
        known = roots.ever_enabled(tx, found.instance.id)
    if not known:
        raise NotFound(f"Root was never enabled on instance {found.instance.id}.")
    found.guest.disable_root()
    doors.database.run(roots.record_disabled, found.instance.id)
