"""Change passwords of several users of a running instance."""

from collections.abc import Sequence

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving
from trove.operations.user.create import check_users


@notified(
    "user.change_passwords", lambda instance_id, users: {"instance_id": instance_id, "username": [user.name for user in users]}
)
def start(doors: Doors, caller: Caller, instance_id: str, users: Sequence[User]) -> None:
    """Change them. Raises `NotFound` (instance or user), `InvalidInput`, `NotReady`, `Unavailable`. May run twice."""
    found = serving(doors, caller, instance_id, Facet.USERS)
    check_users(found.spec, users)
    found.guest.change_passwords(users)
