"""Tell whether the superuser of an instance is enabled, from what is recorded; the guest is not asked."""

from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import need_answering, supporting
from trove.store import roots


def start(doors: Doors, caller: Caller, instance_id: str) -> bool:
    """Return whether it was enabled and not disabled since. Raises `NotFound`, `NotReady`."""
    instance, _ = supporting(doors, caller, instance_id, Facet.ROOT)
    need_answering(doors, instance)
    with doors.database.reading() as tx:
        return roots.enabled(tx, instance.id)
