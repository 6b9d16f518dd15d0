"""Drop a user of a running instance."""

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving


@notified("user.delete", lambda instance_id, name, host: {"instance_id": instance_id, "username": name, "hostname": host})
def start(doors: Doors, caller: Caller, instance_id: str, name: str, host: str) -> None:
    """Drop it. Raises `NotFound` (instance or user), `InvalidInput` (reserved), `NotReady`, `Unavailable`."""
    found = serving(doors, caller, instance_id, Facet.USERS)
    found.spec.check_user(User(name=name, host=host))
    found.guest.delete_user(name, host)
