"""List the databases that a user of a running instance may use."""

from collections.abc import Sequence

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import serving


def start(doors: Doors, caller: Caller, instance_id: str, name: str, host: str) -> Sequence[str]:
    """Return their names. Raises `NotFound` (instance or user), `InvalidInput` (reserved), `NotReady`, `Unavailable`."""
    found = serving(doors, caller, instance_id, Facet.USERS)
    found.spec.check_user(User(name=name, host=host))
    return found.guest.list_access(name, host)
