"""Change a user of a running instance: name, host, password."""

from dataclasses import dataclass, field

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.core.json import JSON
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.serving import serving


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateUser:
    """Which user, and what is to change; None stays as it is."""

    name: str
    host: str
    new_name: str | None = None
    new_host: str | None = None
    password: str | None = field(default=None, repr=False)


def _traits(instance_id: str, request: UpdateUser) -> dict[str, JSON]:
    return {
        "instance_id": instance_id,
        "username": request.name,
        "hostname": request.host,
        "new_username": request.new_name,
        "new_hostname": request.new_host,
    }


@notified("user.update", _traits)
def start(doors: Doors, caller: Caller, instance_id: str, request: UpdateUser) -> None:
    """Change what is given, keeping grants. Raises `NotFound`, `InvalidInput` (rules, or the new one exists), `NotReady`."""
    found = serving(doors, caller, instance_id, Facet.USERS)
    found.spec.check_user(User(name=request.name, host=request.host))
    renamed = User(name=request.new_name or request.name, host=request.new_host or request.host)
    found.spec.check_user(renamed)
    if request.password is not None:
        found.spec.check_password(request.password)
    found.guest.update_attributes(
        request.name, request.host, new_name=request.new_name, new_host=request.new_host, password=request.password
    )
