"""Which names, hosts and passwords servers of the family take, so that nothing accepted fails later.

Source: "ACL" of Redis's and Valkey's manuals, each tried on a real server by the conformance suite.
"""

import re
from dataclasses import dataclass

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput

ADMIN = "os_admin"
"""The agent's own account."""
ROOT = "default"
"""The account of whoever names none."""
ANYWHERE = "%"

MAX_USER = 128
MAX_PASSWORD = 255

_REPLICA = re.compile("replica_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The rules of one engine."""

    title: str

    def check_database(self, database: Database) -> None:
        """Raise `InvalidInput`: there is nothing to create, and rights end at no database."""
        raise InvalidInput(
            f"Database '{database.name}' cannot be named: {self.title} has numbered databases only, which are always "
            "there, and each user reaches all of them."
        )

    def check_user(self, user: User) -> None:
        """Raise `InvalidInput` unless the server can hold such a user."""
        self.check_name(user.name)
        if user.host != ANYWHERE:
            raise InvalidInput(
                f"Host '{user.host}' of user '{user.name}' must be '%': {self.title} lets users in from anywhere."
            )
        if user.password is not None:
            self.check_password(user.password)
        for database in user.databases:
            self.check_database(Database(name=database))

    def check_name(self, name: str) -> None:
        """Raise `InvalidInput` unless a tenant's user may have this name."""
        where = f"User name '{name}'"
        if not name or len(name.encode(errors="replace")) > MAX_USER:
            raise InvalidInput(f"{where} must have 1 to {MAX_USER} bytes.")
        if any(letter.isspace() or not letter.isprintable() for letter in name):
            raise InvalidInput(f"{where} must not hold spaces or characters that cannot be shown.")
        if is_system(name):
            raise InvalidInput(f"{where} is reserved.")

    def check_password(self, password: str) -> None:
        """Raise `InvalidInput` unless the server takes this password."""
        if not password or len(password) > MAX_PASSWORD:
            raise InvalidInput(f"A password must have 1 to {MAX_PASSWORD} characters.")
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in password):
            raise InvalidInput("A password must not hold characters that cannot be stored.")


def is_replica(name: str) -> bool:
    """Tell whether only a replica logs in under this name."""
    return _REPLICA.fullmatch(name) is not None


def is_system(name: str) -> bool:
    """Tell whether tenants neither see nor change the user of this name."""
    return name in {ADMIN, ROOT} or is_replica(name)
