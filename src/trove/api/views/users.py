"""How users look: never with a password (contract 7.2), but for the superuser that was just enabled (7.4)."""

from trove.api.views.databases import named
from trove.core.accounts import User
from trove.core.json import JSON


def user(found: User) -> dict[str, JSON]:
    """Return one user."""
    return {"name": found.name, "host": found.host, "databases": named(found.databases)}


def superuser(enabled: User) -> dict[str, JSON]:
    """Return the superuser with the password, shown this once."""
    return {"name": enabled.name, "password": enabled.password}
