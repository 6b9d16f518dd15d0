"""List the users of a running instance."""

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.core.pages import Page
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import serving


def start(doors: Doors, caller: Caller, instance_id: str, *, limit: int, marker: str | None) -> Page[User]:
    """Return users by `name@host` after `marker`; system ones are hidden. Raises `NotFound`, `NotReady`, `Unavailable`."""
    return serving(doors, caller, instance_id, Facet.USERS).guest.list_users(limit, marker)
