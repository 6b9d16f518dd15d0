"""Create users on a running instance."""

from collections.abc import Sequence

from trove.core.accounts import Database, User
from trove.core.callers import Caller
from trove.core.errors import InvalidInput
from trove.datastores.contract import Facet, Spec
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving


@notified("user.create", lambda instance_id, users: {"instance_id": instance_id, "username": [user.name for user in users]})
def start(doors: Doors, caller: Caller, instance_id: str, users: Sequence[User]) -> None:
    """Create them with their grants; when it returns they are there. Nothing is sent before all have passed the engine's rules.

    Raises `NotFound`, `NotReady`, `InvalidInput` (wrong, reserved, twice, or existing; a missing database), `Unavailable`.
    """
    found = serving(doors, caller, instance_id, Facet.USERS)
    check_users(found.spec, users)
    found.guest.create_user(users)


def check_users(spec: Spec, users: Sequence[User]) -> None:
    """Raise `InvalidInput` unless every user, password and database name passes the engine's rules and no user comes twice."""
    seen: set[tuple[str, str]] = set()
    for user in users:
        spec.check_user(user)
        if user.password is not None:
            spec.check_password(user.password)
        for database in user.databases:
            spec.check_database(Database(name=database))
        if (user.name, user.host) in seen:
            raise InvalidInput(f"The user {user.name!r} with host {user.host!r} is named twice.")
        seen.add((user.name, user.host))
