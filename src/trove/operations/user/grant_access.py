"""Let a user of a running instance use databases."""

from collections.abc import Sequence

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.core.json import JSON
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving
from trove.operations.user.create import check_users


def _traits(instance_id: str, user: User, databases: Sequence[str]) -> dict[str, JSON]:
    return {"instance_id": instance_id, "username": user.name, "hostname": user.host, "database": list(databases)}


@notified("user.grant_access", _traits)
def start(doors: Doors, caller: Caller, instance_id: str, user: User, databases: Sequence[str]) -> None:
    """Grant all rights on `databases`. Raises `NotFound` (any of the three), `InvalidInput`, `NotReady`. May run twice."""
    found = serving(doors, caller, instance_id, Facet.USERS)
    check_users(found.spec, [User(name=user.name, host=user.host, databases=tuple(databases))])
    found.guest.grant_access(user.name, user.host, databases)
