"""List the databases of a running instance."""

from trove.core.accounts import Database
from trove.core.callers import Caller
from trove.core.pages import Page
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import serving


def start(doors: Doors, caller: Caller, instance_id: str, *, limit: int, marker: str | None) -> Page[Database]:
    """Return databases by name after `marker`; system ones are hidden. Raises `NotFound`, `NotReady`, `Unavailable`."""
    return serving(doors, caller, instance_id, Facet.DATABASES).guest.list_databases(limit, marker)
