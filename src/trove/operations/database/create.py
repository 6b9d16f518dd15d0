"""Create databases on a running instance."""

from collections.abc import Sequence

from trove.core.accounts import Database
from trove.core.callers import Caller
from trove.core.errors import InvalidInput
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving


@notified(
    "database.create", lambda instance_id, databases: {"instance_id": instance_id, "dbname": [each.name for each in databases]}
)
def start(doors: Doors, caller: Caller, instance_id: str, databases: Sequence[Database]) -> None:
    """Create them; when it returns they are there. Nothing is sent before every name has passed the engine's rules.

    Raises `NotFound`, `NotReady`, `InvalidInput` (a name that is wrong, reserved, twice, or exists), `Unavailable`.
    """
    found = serving(doors, caller, instance_id, Facet.DATABASES)
    seen: set[str] = set()
    for database in databases:
        found.spec.check_database(database)
        if database.name in seen:
            raise InvalidInput(f"The database {database.name!r} is named twice.")
        seen.add(database.name)
    found.guest.create_database(databases)
