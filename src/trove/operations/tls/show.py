"""Show the TLS of an instance."""

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.operations.tls.support import managed
from trove.store import tls


def start(doors: Doors, caller: Caller, instance_id: str) -> tls.Shown:
    """Return the mode that TLS was enabled with, None when it is not, and its certificate. Raises what `managed` does."""
    with doors.database.reading() as tx:
        instance, _ = managed(tx, caller, instance_id)
        return tls.shown(tx, instance.id)
