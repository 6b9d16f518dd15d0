"""Which names, encodings, locales and passwords PostgreSQL takes, so that nothing accepted fails later.

Sources: "Lexical Structure", "Character Set Support", "CREATE DATABASE" and "CREATE ROLE" of PostgreSQL's manual, each tried on
a real server by the conformance suite. What the server takes and then silently alters (a name longer than 63 bytes) is refused.
"""

import re
import unicodedata

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput

ADMIN = "os_admin"
ROOT = "postgres"
REPLICAS = "trove_replica"
"""The group of the accounts of replicas."""

SYSTEM_DATABASES = frozenset({"postgres", "template0", "template1", ADMIN})
SYSTEM_USERS = frozenset({ADMIN, ROOT, REPLICAS, "public", "none", "current_user", "current_role", "session_user", "user"})
OWNER = re.compile(r"owner_[0-9a-f]{16}")
"""Roles that own a database; who has rights on it is a member."""
REPLICA = re.compile(r"replica_[0-9a-f]{1,16}")
"""What the accounts of replicas are named."""

MAX_NAME = 63
MAX_PASSWORD = 255

_UTF8 = frozenset({"utf8", "unicode", "utf8mb3", "utf8mb4"})
_ENCODINGS = re.compile(
    "euccn|eucjp|eucjis2004|euckr|euctw|iso8859[5-8]|koi8[ru]|latin(10|[1-9])|muleinternal|sqlascii|win(866|874|125[0-8])"
)
_LIBC = {"c": "C", "posix": "POSIX", "c.utf-8": "C.UTF-8", "c.utf8": "C.UTF-8"}
_ICU = re.compile(r"([a-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,6})-x-icu")


def check_database(database: Database) -> None:
    """Raise `InvalidInput` naming the field unless PostgreSQL will create this database."""
    check_database_name(database.name)
    locale_of(database)


def check_database_name(name: str) -> None:
    """Raise `InvalidInput` unless PostgreSQL keeps this name as it is."""
    where = f"Database name '{name}'"
    _check_letters(where, name)
    if name in SYSTEM_DATABASES:
        raise InvalidInput(f"{where} is reserved.")


def locale_of(database: Database) -> tuple[str, str, str | None]:
    """Return encoding, libc locale and ICU locale (None: not by ICU) of a new database; raises `InvalidInput`."""
    given = (database.character_set or "UTF8").strip()
    key = re.sub(r"[-_ ]", "", given).lower()
    encoding = "UTF8" if key in _UTF8 else given
    if key not in _UTF8 and not _ENCODINGS.fullmatch(key):
        raise InvalidInput(f"Character set '{given}' is not one of PostgreSQL's for servers, such as UTF8, LATIN1 or WIN1252.")
    if database.collate is None:
        return encoding, "C.UTF-8" if encoding == "UTF8" else "C", None
    icu = _ICU.fullmatch(database.collate)
    if icu is not None and encoding == "UTF8":
        return encoding, "C.UTF-8", icu.group(1)
    libc = _LIBC.get(database.collate.lower())
    if libc is None or (encoding != "UTF8" and libc == "C.UTF-8"):
        raise InvalidInput(
            f"Collation '{database.collate}' cannot be had with character set {encoding}: allowed are C and POSIX, and with "
            "UTF8 also C.UTF-8 and those of ICU such as de-x-icu."
        )
    return encoding, libc, None


def check_user(user: User) -> None:
    """Raise `InvalidInput` naming the field unless PostgreSQL will create this user and let it in. The password may be None."""
    check_user_name(user.name)
    check_host(user.host)
    if user.password is not None:
        check_password(user.password)
    for database in user.databases:
        check_database_name(database)


def check_user_name(name: str) -> None:
    """Raise `InvalidInput` unless PostgreSQL keeps this user name as it is."""
    where = f"User name '{name}'"
    _check_letters(where, name)
    if name in SYSTEM_USERS or name.startswith("pg_") or OWNER.fullmatch(name) or REPLICA.fullmatch(name):
        raise InvalidInput(f"{where} is reserved.")


def check_host(host: str) -> None:
    """Raise `InvalidInput` for any host but `%`: users of PostgreSQL have none, and a limit must not be dropped in silence."""
    if host != "%":
        raise InvalidInput(
            f"Host '{host}' cannot be kept to: PostgreSQL's users log in from anywhere. Leave it out or give '%'."
        )


def check_password(password: str) -> None:
    """Raise `InvalidInput` unless every client can log in with this password. The message never shows it."""
    if not 1 <= len(password) <= MAX_PASSWORD:
        raise InvalidInput(f"Password must have 1 to {MAX_PASSWORD} characters.")
    if _has_control(password):
        raise InvalidInput("Password must not hold control characters such as a line break or NUL, nor lone surrogates.")


def _check_letters(where: str, name: str) -> None:
    if _has_control(name):
        raise InvalidInput(f"{where.encode('ascii', 'backslashreplace').decode()} must not hold control characters.")
    if not 1 <= len(name.encode()) <= MAX_NAME:
        raise InvalidInput(f"{where} must have 1 to {MAX_NAME} bytes; letters outside ASCII take two to four.")
    if name != name.strip():
        raise InvalidInput(f"{where} must not begin or end with a space.")


def _has_control(text: str) -> bool:
    return any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text)
