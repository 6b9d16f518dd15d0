"""Drop a database of a running instance."""

from trove.core.accounts import Database
from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import serving


def start(doors: Doors, caller: Caller, instance_id: str, name: str) -> None:
    """Drop it. Raises `NotFound` (instance or database), `InvalidInput` (reserved), `NotReady`, `Unavailable`."""
    found = serving(doors, caller, instance_id, Facet.DATABASES)
    found.spec.check_database(Database(name=name))
    found.guest.delete_database(name)
