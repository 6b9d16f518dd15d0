"""Which names, hosts and passwords servers of the family take, so that nothing accepted fails later.

Sources: the pages on identifiers, on how they become file names, and on CREATE USER and GRANT in the manuals of MariaDB and
MySQL, each tried on a real server by the conformance suite. What a server takes and then silently alters (a trailing space, a
letter outside the Basic Multilingual Plane in a user's name) or never matches (a host name while names are not resolved) is
refused here.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput

ADMIN = "os_admin"
"""The agent's own account."""

RESERVED_USER = "^replica_[0-9a-f]{16}$"
"""Users whom only the service makes: with these, replicas log in at their source."""

MAX_DATABASE = 64
MAX_HOST = 255
MAX_PASSWORD = 255
MAX_FILE_NAME = 255

# Letters that a file name holds in three bytes (`@` and two digits); all others but ASCII letters, digits and `_` need five.
_THREE_BYTES = (
    "c0-d6 d8-f6 f8-12f 131-1be 1c4 1c6-1c7 1c9-1ca 1cc-1f1 1f3-1f6 1f8-241 250-2af 386 388-38a 38c 38e-3a1 3a3-3ce 3d0-3d7 "
    "3d9-3f3 3f5-3f6 3f8 3fb-481 48a-4ce 4d0-4f9 500-50f 531-555 561-585 1e00-1e9b 1ea0-1ef9 1f00-1f15 1f18-1f1d 1f20-1f45 "
    "1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec "
    "1ff2-1ff3 1ff6-1ffc 2160-217f 24b6-24e9 ff21-ff3a ff41-ff5a"
)
_RANGES = [(int(span.split("-")[0], 16), int(span.split("-")[-1], 16)) for span in _THREE_BYTES.split()]
_STARTS = [span[0] for span in _RANGES]

_PLAIN = re.compile(r"[0-9A-Za-z_]")
_IPV4_PATTERN = re.compile(r"[0-9.%_]+")
_IPV6_PATTERN = re.compile(r"[0-9a-f:.%_]*:[0-9a-f:.%_]*")


def file_name_length(name: str) -> int:
    """Return how many bytes the directory of a database of that name takes."""
    return sum(_encoded_length(letter) for letter in name)


def grant_pattern(database: str) -> str:
    """Return the pattern that matches this database alone in a grant: `_`, `%` and the backslash are escaped."""
    return re.sub(r"([\\_%])", r"\\\1", database)


def granted_database(pattern: str) -> str:
    """Return the database that a grant's pattern was made from: the inverse of `grant_pattern`."""
    return re.sub(r"\\(.)", r"\1", pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The rules of one engine. `check_collation` raises `InvalidInput` unless both, of which each may be None, go together."""

    title: str
    system_databases: frozenset[str]
    system_users: frozenset[str]
    max_user: int
    max_password_bytes: int
    check_collation: Callable[[str | None, str | None], None]

    def check_database_name(self, name: str) -> None:
        """Raise `InvalidInput` unless the server can hold a tenant's database of that name."""
        where = f"Database name '{name}'"
        _check_letters(where, name, longest=MAX_DATABASE)
        if name in {".", ".."}:
            raise InvalidInput(f"{where} is not allowed.")
        if name.endswith(" "):
            raise InvalidInput(f"{where} must not end with a space.")
        if name.lower() in self.system_databases or name.lower().startswith("#mysql50#"):
            raise InvalidInput(f"{where} is reserved.")
        if file_name_length(name) > MAX_FILE_NAME:
            raise InvalidInput(
                f"{where} is too long: its directory's name would take {file_name_length(name)} bytes, at most {MAX_FILE_NAME} "
                "are allowed, and letters outside ASCII take three or five."
            )

    def check_database(self, database: Database) -> None:
        """Raise `InvalidInput` naming the field unless the server will create this database."""
        self.check_database_name(database.name)
        if database.character_set is not None or database.collate is not None:
            self.check_collation(database.character_set, database.collate)

    def check_grantable(self, database: str) -> None:
        """Raise `InvalidInput` unless rights on this database, and on no other, can be granted."""
        self.check_database_name(database)
        if len(grant_pattern(database)) > MAX_DATABASE:
            raise InvalidInput(
                f"Rights on database '{database}' cannot be granted: in a grant each '_', '%' and '\\' counts twice, and "
                f"{self.title} allows {MAX_DATABASE} characters."
            )

    def check_user(self, user: User) -> None:
        """Raise `InvalidInput` naming the field unless the server will create this user and let it in. Needs no password."""
        self.check_user_name(user.name)
        check_host(user.host)
        if user.password is not None:
            self.check_password(user.password)
        for database in user.databases:
            self.check_grantable(database)

    def check_password(self, password: str) -> None:
        """Raise `InvalidInput` unless every client can log in with this password. The message never shows it."""
        most = min(MAX_PASSWORD, self.max_password_bytes)
        if not 1 <= len(password) <= most:
            raise InvalidInput(f"Password must have 1 to {most} characters.")
        if _has_control(password):
            raise InvalidInput("Password must not hold control characters such as a line break or NUL, nor lone surrogates.")
        if len(password.encode()) > self.max_password_bytes:
            raise InvalidInput(
                f"Password must have at most {self.max_password_bytes} bytes: letters outside ASCII take 2 to 4."
            )

    def check_user_name(self, name: str) -> None:
        """Raise `InvalidInput` unless the server keeps this user name as it is."""
        where = f"User name '{name}'"
        _check_letters(where, name, longest=self.max_user)
        if name != name.strip():
            raise InvalidInput(f"{where} must not begin or end with a space.")
        if name.lower() in self.system_users or re.match(RESERVED_USER, name.lower()):
            raise InvalidInput(f"{where} is reserved.")


def check_host(host: str) -> None:
    """Raise `InvalidInput` unless a connection can match this host: `%`, an address, address/netmask, or a pattern."""
    if not host or len(host) > MAX_HOST:
        raise InvalidInput(f"Host must have 1 to {MAX_HOST} characters.")
    if not _matches_some_address(host):
        raise InvalidInput(
            f"Host '{host}' matches no connection: allowed are '%', an IP address, an IPv4 network as address/netmask such as "
            "'10.0.0.0/255.0.0.0', and an address pattern such as '10.0.%'. Host names are not resolved by the server."
        )


def _check_letters(where: str, name: str, *, longest: int) -> None:
    if not 1 <= len(name) <= longest:
        raise InvalidInput(f"{where} must have 1 to {longest} characters.")
    if _has_control(name):
        raise InvalidInput(f"{where.encode('ascii', 'backslashreplace').decode()} must not hold control characters.")
    if any(ord(letter) > 0xFFFF for letter in name):
        raise InvalidInput(f"{where} must not hold characters above U+FFFF, such as emoji.")


def _has_control(text: str) -> bool:
    return any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text)


def _encoded_length(letter: str) -> int:
    if _PLAIN.match(letter):
        return 1
    place = bisect_right(_STARTS, ord(letter)) - 1
    return 3 if place >= 0 and ord(letter) <= _RANGES[place][1] else 5


def _matches_some_address(host: str) -> bool:
    if host == "%":
        return True
    address, slash, mask = host.partition("/")
    if slash:
        return _is_address(address) and _is_address(mask) and _network_matches(address, mask)
    if "%" not in host and "_" not in host:
        return _is_address(host)
    if _IPV4_PATTERN.fullmatch(host):
        parts = host.split(".")
        return len(parts) <= 4 and all(_octet(part) for part in parts)
    return _IPV6_PATTERN.fullmatch(host) is not None


def _is_address(text: str) -> bool:
    """Tell whether `text` is an address in the very form in which the server writes it."""
    from ipaddress import ip_address  # noqa: PLC0415

    try:
        return str(ip_address(text)) == text
    except ValueError:
        return False


def _network_matches(address: str, mask: str) -> bool:
    from ipaddress import IPv4Address  # noqa: PLC0415

    try:
        return int(IPv4Address(address)) & int(IPv4Address(mask)) == int(IPv4Address(address))
    except ValueError:
        return False


def _octet(part: str) -> bool:
    return "%" in part or (0 < len(part) <= 3 and ("_" in part or (str(int(part)) == part and int(part) <= 255)))
