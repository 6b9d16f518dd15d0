"""Databases, users, grants and the superuser, in SQL."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput, NotFound, TroveError
from trove.core.pages import Page
from trove.datastores.mariadb import naming
from trove.datastores.mariadb.sql import Session, identified, name

_ROOT = "'root'@'%'"
_DROP_TIMEOUT_S = 120


class Accounts(ABC):
    """The facets Databases, Users and Root of MariaDB. Changes are made one at a time."""

    def __init__(self) -> None:
        self._changing = threading.Lock()

    @abstractmethod
    def session(self, *, read_timeout_s: int = 12) -> AbstractContextManager[Session]:
        """Connect to the server; raises `Unavailable` when it does not answer."""

    @abstractmethod
    def check_space(self) -> None:
        """Raise `GuestError` when the volume is full, before a statement would hang on it."""

    def create_databases(self, databases: Sequence[Database]) -> None:
        """Create databases, all or none: one that exists raises `InvalidInput`."""
        for database in databases:
            naming.check_database(database)
        _check_unique("Database", [database.name for database in databases])
        self.check_space()
        with self._changing, self.session() as sql:
            for database in databases:
                if _has_database(sql, database.name):
                    raise InvalidInput(f"Database '{database.name}' exists already.")
            _all_or_none(
                [
                    (_deed(sql, _create_database(database)), _deed(sql, f"DROP DATABASE IF EXISTS {name(database.name)}"))
                    for database in databases
                ]
            )

    def list_databases(self, *, limit: int, marker: str | None) -> Page[Database]:
        """Return the tenant's databases by name after `marker` (exclusive); system ones are hidden."""
        with self.session() as sql:
            rows = sql.run(_LIST_DATABASES, tuple(naming.SYSTEM_DATABASES), marker, marker, limit + 1)
        found = tuple(Database(name=row[0], character_set=row[1], collate=row[2]) for row in rows[:limit])
        return Page(items=found, next_marker=found[-1].name if len(rows) > limit else None)

    def delete_database(self, name_: str) -> None:
        """Drop a database and the grants on it; raises `NotFound`."""
        with self._changing, self.session(read_timeout_s=_DROP_TIMEOUT_S) as sql:
            _require_database(sql, name_)
            sql.run(f"DROP DATABASE {name(name_)}")
            pattern = naming.grant_pattern(name_)
            for user, host in sql.run("SELECT User, Host FROM mysql.db WHERE Db = %s", pattern):
                _revoke(sql, user, host, pattern)

    def create_users(self, users: Sequence[User]) -> None:
        """Create users with grants, all or none: one that exists raises `InvalidInput`, as does a missing database."""
        for user in users:
            naming.check_user(user)
            if user.password is None:
                raise InvalidInput(f"User '{user.name}' needs a password.")
        _check_unique("User", [f"{user.name}@{user.host.lower()}" for user in users])
        self.check_space()
        with self._changing, self.session() as sql:
            for user in users:
                if _has_user(sql, user.name, user.host):
                    raise InvalidInput(f"User '{user.name}@{user.host}' exists already.")
                for database in user.databases:
                    if not _has_database(sql, database):
                        raise InvalidInput(f"Database '{database}' of user '{user.name}' does not exist.")
            _all_or_none([_user_creation(sql, user) for user in users])

    def list_users(self, *, limit: int, marker: str | None) -> Page[User]:
        """Return users by `name@host` after `marker` (exclusive), without passwords; system ones are hidden."""
        with self.session() as sql:
            rows = sql.run(_LIST_USERS, tuple(naming.SYSTEM_USERS), marker, marker, limit + 1)
            found = tuple(_with_access(sql, rows[:limit]))
        last = found[-1] if len(rows) > limit else None
        return Page(items=found, next_marker=None if last is None else f"{last.name}@{last.host}")

    def get_user(self, name_: str, host: str) -> User:
        """Return one user; raises `NotFound`."""
        with self.session() as sql:
            return next(iter(_with_access(sql, [_require_user(sql, name_, host)])))

    def update_user(self, name_: str, host: str, *, new_name: str | None, new_host: str | None, password: str | None) -> None:
        """Change what is not None, keeping grants. Raises `NotFound`, or `InvalidInput` when the new name@host is taken."""
        target = User(name=new_name or name_, host=new_host or host, password=password)
        naming.check_user(target)
        with self._changing, self.session() as sql:
            stored = _require_user(sql, name_, host)
            moved = (target.name, target.host.lower()) != (name_, host.lower())
            if moved and _has_user(sql, target.name, target.host):
                raise InvalidInput(f"User '{target.name}@{target.host}' exists already.")
            if password is not None:
                sql.run(f"ALTER USER {sql.account(*stored)} {identified(password)}")
            if moved:
                sql.run(f"RENAME USER {sql.account(*stored)} TO {sql.account(target.name, target.host)}")

    def delete_user(self, name_: str, host: str) -> None:
        """Drop a user and end its connections; raises `NotFound`."""
        with self._changing, self.session() as sql:
            account = sql.account(*_require_user(sql, name_, host))
            sql.run(f"DROP USER {account}")
            sql.run(f"KILL HARD CONNECTION USER {account}")

    def list_access(self, name_: str, host: str) -> Sequence[str]:
        """Return the databases a user has rights on."""
        return self.get_user(name_, host).databases

    def grant_access(self, name_: str, host: str, databases: Sequence[str]) -> None:
        """Grant all rights on databases; raises `NotFound` for the user or a database."""
        for database in databases:
            naming.check_grantable(database)
        with self._changing, self.session() as sql:
            stored = _require_user(sql, name_, host)
            for database in databases:
                _require_database(sql, database)
            for database in databases:
                sql.run(_grant(sql, stored, database))

    def revoke_access(self, name_: str, host: str, database: str) -> None:
        """Revoke all rights on a database; raises `NotFound` when there are none."""
        with self._changing, self.session() as sql:
            stored = _require_user(sql, name_, host)
            held = [str(pattern) for _, _, pattern in sql.run(_GRANTS, (stored,))]
            patterns = [pattern for pattern in held if naming.granted_database(pattern) == database]
            if not patterns or database in naming.SYSTEM_DATABASES:
                raise NotFound(f"User '{name_}@{host}' has no rights on database '{database}'.")
            for pattern in patterns:
                _revoke(sql, *stored, pattern)

    def enable_root(self, password: str) -> None:
        """Let the superuser log in from anywhere with this password. May be repeated with another one."""
        naming.check_password(password)
        with self._changing, self.session() as sql:
            sql.run(f"CREATE USER IF NOT EXISTS {_ROOT} {identified(password)}")
            sql.run(f"ALTER USER {_ROOT} {identified(password)} ACCOUNT UNLOCK")
            sql.run(f"GRANT ALL PRIVILEGES ON *.* TO {_ROOT} WITH GRANT OPTION")

    def disable_root(self) -> None:
        """Take the superuser's log-in away and end its connections."""
        with self._changing, self.session() as sql:
            sql.run(f"DROP USER IF EXISTS {_ROOT}")
            sql.run(f"KILL HARD CONNECTION USER {_ROOT}")

    def root_enabled(self) -> bool:
        """Tell whether the superuser may log in."""
        with self.session() as sql:
            return bool(sql.run("SELECT 1 FROM mysql.global_priv WHERE User = 'root' AND Host = '%'"))


_LIST_DATABASES = """
SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA
WHERE LOWER(SCHEMA_NAME) NOT IN %s AND SCHEMA_NAME NOT LIKE '#mysql50#%%' AND (%s IS NULL OR BINARY SCHEMA_NAME > BINARY %s)
ORDER BY BINARY SCHEMA_NAME LIMIT %s"""

_LIST_USERS = """
SELECT User, Host FROM mysql.global_priv
WHERE User <> '' AND LOWER(User) NOT IN %s AND COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) = 0
AND (%s IS NULL OR BINARY CONCAT(User, '@', Host) > BINARY %s)
ORDER BY BINARY CONCAT(User, '@', Host) LIMIT %s"""

_FIND_USER = """
SELECT User, Host FROM mysql.global_priv
WHERE BINARY User = BINARY %s AND LOWER(Host) = %s
AND LOWER(User) NOT IN %s AND COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) = 0"""

_FIND_DATABASE = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s AND BINARY SCHEMA_NAME = BINARY %s"

_GRANTS = "SELECT User, Host, Db FROM mysql.db WHERE (User, Host) IN %s ORDER BY BINARY Db"

Deed = Callable[[], object]


def _deed(sql: Session, statement: str) -> Deed:
    return lambda: sql.run(statement)


def _all_or_none(steps: Sequence[tuple[Deed, Deed]]) -> None:
    """Do each step; when one fails, undo it and those before it, and raise its error."""
    undone: list[Deed] = []
    try:
        for do, undo in steps:
            undone.append(undo)
            do()
    except TroveError:
        for undo in reversed(undone):
            with suppress(TroveError):
                undo()
        raise


def _check_unique(what: str, names: Sequence[str]) -> None:
    for one in names:
        if names.count(one) > 1:
            raise InvalidInput(f"{what} '{one}' is given more than once.")


def _create_database(database: Database) -> str:
    words = ["CREATE DATABASE", name(database.name)]
    if database.character_set is not None:
        words += ["CHARACTER SET", name(database.character_set)]
    if database.collate is not None:
        words += ["COLLATE", name(database.collate)]
    return " ".join(words)


def _user_creation(sql: Session, user: User) -> tuple[Deed, Deed]:
    assert user.password is not None
    account = (user.name, user.host)
    statements = [f"CREATE USER {sql.account(*account)} {identified(user.password)}"]
    statements += [_grant(sql, account, database) for database in user.databases]
    return lambda: [sql.run(statement) for statement in statements], _deed(sql, f"DROP USER IF EXISTS {sql.account(*account)}")


def _grant(sql: Session, account: tuple[str, str], database: str) -> str:
    return f"GRANT ALL PRIVILEGES ON {name(naming.grant_pattern(database))}.* TO {sql.account(*account)}"


def _revoke(sql: Session, user: str, host: str, pattern: str) -> None:
    sql.run(f"REVOKE ALL PRIVILEGES ON {name(pattern)}.* FROM {sql.account(user, host)}")


def _has_database(sql: Session, name_: str) -> bool:
    return _storable(name_) and bool(sql.run(_FIND_DATABASE, name_, name_))


def _require_database(sql: Session, name_: str) -> None:
    if name_.lower() in naming.SYSTEM_DATABASES or not _has_database(sql, name_):
        raise NotFound(f"Database '{name_}' does not exist.")


def _find_user(sql: Session, name_: str, host: str) -> tuple[str, str] | None:
    if not _storable(name_ + host):
        return None
    rows = sql.run(_FIND_USER, name_, host.lower(), tuple(naming.SYSTEM_USERS))
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def _has_user(sql: Session, name_: str, host: str) -> bool:
    return _find_user(sql, name_, host) is not None


def _require_user(sql: Session, name_: str, host: str) -> tuple[str, str]:
    found = _find_user(sql, name_, host)
    if found is None:
        raise NotFound(f"User '{name_}@{host}' does not exist.")
    return found


def _storable(name_: str) -> bool:
    """Tell whether the server's own tables can hold these letters; a search for others would be an error."""
    return all(ord(letter) <= 0xFFFF and not 0xD800 <= ord(letter) <= 0xDFFF for letter in name_)


def _with_access(sql: Session, accounts: Sequence[Sequence[str]]) -> list[User]:
    """Return users with the databases they have rights on, in one statement for all of them."""
    if not accounts:
        return []
    granted: dict[tuple[str, str], list[str]] = {}
    for user, host, pattern in sql.run(_GRANTS, tuple((user, host) for user, host in accounts)):
        database = naming.granted_database(pattern)
        if database.lower() not in naming.SYSTEM_DATABASES:
            granted.setdefault((user, host), []).append(database)
    return [User(name=user, host=host, databases=tuple(granted.get((user, host), ()))) for user, host in accounts]
