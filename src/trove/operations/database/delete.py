"""Drop a database of a running instance."""

from trove.core.accounts import Database
from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving


@notified("database.delete", lambda instance_id, name: {"instance_id": instance_id, "dbname": name})
def start(doors: Doors, caller: Caller, instance_id: str, name: str) -> None:
    """Drop it. Raises `NotFound` (instance or database), `InvalidInput` (reserved), `NotReady`, `Unavailable`."""
    found = serving(doors, caller, instance_id, Facet.DATABASES)
    found.spec.check_database(Database(name=name))
    found.guest.delete_database(name)
