"""Take a user's access to a database of a running instance away."""

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.core.json import JSON
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving
from trove.operations.user.create import check_users


def _traits(instance_id: str, user: User, database: str) -> dict[str, JSON]:
    return {"instance_id": instance_id, "username": user.name, "hostname": user.host, "database": database}


@notified("user.revoke_access", _traits)
def start(doors: Doors, caller: Caller, instance_id: str, user: User, database: str) -> None:
    """Revoke all rights. Raises `NotFound` (instance, user, or no such right), `InvalidInput`, `NotReady`, `Unavailable`."""
    found = serving(doors, caller, instance_id, Facet.USERS)
    check_users(found.spec, [User(name=user.name, host=user.host, databases=(database,))])
    found.guest.revoke_access(user.name, user.host, database)
