"""Databases, users, grants and the superuser, in SQL."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput, NotFound, TroveError
from trove.core.pages import Page
from trove.datastores.families.mysql import naming
from trove.datastores.families.mysql.certificates import requirement
from trove.datastores.families.mysql.dialect import Dialect
from trove.datastores.families.mysql.sql import Session, name

_ROOT = "'root'@'%'"
_DROP_TIMEOUT_S = 120

Deed = Callable[[], object]


class Accounts(ABC):
    """The facets Databases, Users and Root. Changes are made one at a time."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._names = dialect.names
        self._words = dialect.accounts
        self._changing = threading.Lock()

    @abstractmethod
    def session(self, *, read_timeout_s: int = 12) -> AbstractContextManager[Session]:
        """Connect to the server; raises `Unavailable` when it does not answer."""

    @abstractmethod
    def check_space(self) -> None:
        """Raise `GuestError` when the volume is full, before a statement would hang on it."""

    @abstractmethod
    def check_open(self) -> None:
        """Raise `InvalidInput` when the server takes no changes of accounts and databases, because it follows another one."""

    @abstractmethod
    def needs_certificates(self, sql: Session) -> bool:
        """Tell whether the running server lets nobody in who shows no certificate. Only each account can tell it to."""

    @contextmanager
    def _changes(self, *, read_timeout_s: int = 12) -> Iterator[Session]:
        """Connect in order to change something, one at a time, where changes are taken."""
        with self._changing:
            self.check_open()
            with self.session(read_timeout_s=read_timeout_s) as sql:
                yield sql

    def create_databases(self, databases: Sequence[Database]) -> None:
        """Create databases, all or none: one that exists raises `InvalidInput`."""
        for database in databases:
            self._names.check_database(database)
        _check_unique("Database", [database.name for database in databases])
        self.check_space()
        with self._changes() as sql:
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
            rows = sql.run(_LIST_DATABASES, tuple(self._names.system_databases), marker, marker, limit + 1)
        found = tuple(Database(name=row[0], character_set=row[1], collate=row[2]) for row in rows[:limit])
        return Page(items=found, next_marker=found[-1].name if len(rows) > limit else None)

    def delete_database(self, name_: str) -> None:
        """Drop a database and the grants on it; raises `NotFound`."""
        with self._changes(read_timeout_s=_DROP_TIMEOUT_S) as sql:
            self._require_database(sql, name_)
            sql.run(f"DROP DATABASE {name(name_)}")
            pattern = naming.grant_pattern(name_)
            for user, host in sql.run("SELECT User, Host FROM mysql.db WHERE Db = %s", pattern):
                _revoke(sql, user, host, pattern)

    def create_users(self, users: Sequence[User]) -> None:
        """Create users with grants, all or none: one that exists raises `InvalidInput`, as does a missing database."""
        for user in users:
            self._names.check_user(user)
            if user.password is None:
                raise InvalidInput(f"User '{user.name}' needs a password.")
        _check_unique("User", [f"{user.name}@{user.host.lower()}" for user in users])
        self.check_space()
        with self._changes() as sql:
            for user in users:
                if self._has_user(sql, user.name, user.host):
                    raise InvalidInput(f"User '{user.name}@{user.host}' exists already.")
                for database in user.databases:
                    if not _has_database(sql, database):
                        raise InvalidInput(f"Database '{database}' of user '{user.name}' does not exist.")
            _all_or_none([self._user_creation(sql, user) for user in users])

    def list_users(self, *, limit: int, marker: str | None) -> Page[User]:
        """Return users by `name@host` after `marker` (exclusive), without passwords; system ones are hidden."""
        with self.session() as sql:
            rows = sql.run(self._from_accounts(_LIST_USERS), tuple(self._names.system_users), marker, marker, limit + 1)
            found = tuple(self._with_access(sql, rows[:limit]))
        last = found[-1] if len(rows) > limit else None
        return Page(items=found, next_marker=None if last is None else f"{last.name}@{last.host}")

    def get_user(self, name_: str, host: str) -> User:
        """Return one user; raises `NotFound`."""
        with self.session() as sql:
            return next(iter(self._with_access(sql, [self._require_user(sql, name_, host)])))

    def update_user(self, name_: str, host: str, *, new_name: str | None, new_host: str | None, password: str | None) -> None:
        """Change what is not None, keeping grants. Raises `NotFound`, or `InvalidInput` when the new name@host is taken."""
        target = User(name=new_name or name_, host=new_host or host, password=password)
        self._names.check_user(target)
        with self._changes() as sql:
            stored = self._require_user(sql, name_, host)
            moved = (target.name, target.host.lower()) != (name_, host.lower())
            if moved and self._has_user(sql, target.name, target.host):
                raise InvalidInput(f"User '{target.name}@{target.host}' exists already.")
            if password is not None:
                sql.run(f"ALTER USER {sql.account(*stored)} {self._words.identified(password)}")
            if moved:
                sql.run(f"RENAME USER {sql.account(*stored)} TO {sql.account(target.name, target.host)}")

    def delete_user(self, name_: str, host: str) -> None:
        """Drop a user and end its connections; raises `NotFound`."""
        with self._changes() as sql:
            stored = self._require_user(sql, name_, host)
            sql.run(f"DROP USER {sql.account(*stored)}")
            self._words.end_sessions(sql, *stored)

    def list_access(self, name_: str, host: str) -> Sequence[str]:
        """Return the databases a user has rights on."""
        return self.get_user(name_, host).databases

    def grant_access(self, name_: str, host: str, databases: Sequence[str]) -> None:
        """Grant all rights on databases; raises `NotFound` for the user or a database."""
        for database in databases:
            self._names.check_grantable(database)
        with self._changes() as sql:
            stored = self._require_user(sql, name_, host)
            for database in databases:
                self._require_database(sql, database)
            for database in databases:
                sql.run(_grant(sql, stored, database))

    def revoke_access(self, name_: str, host: str, database: str) -> None:
        """Revoke all rights on a database; raises `NotFound` when there are none."""
        with self._changes() as sql:
            stored = self._require_user(sql, name_, host)
            held = [str(pattern) for _, _, pattern in sql.run(_GRANTS, (stored,))]
            patterns = [pattern for pattern in held if naming.granted_database(pattern) == database]
            if not patterns or database in self._names.system_databases:
                raise NotFound(f"User '{name_}@{host}' has no rights on database '{database}'.")
            for pattern in patterns:
                _revoke(sql, *stored, pattern)

    def enable_root(self, password: str) -> None:
        """Let the superuser log in from anywhere with this password. May be repeated with another one."""
        self._names.check_password(password)
        with self._changes() as sql:
            identified = f"{self._words.identified(password)} {requirement(needed=self.needs_certificates(sql))}"
            sql.run(f"CREATE USER IF NOT EXISTS {_ROOT} {identified}")
            sql.run(f"ALTER USER {_ROOT} {identified} ACCOUNT UNLOCK")
            sql.run(f"GRANT ALL PRIVILEGES ON *.* TO {_ROOT} WITH GRANT OPTION")
            if self._words.withheld:
                sql.run(f"REVOKE {self._words.withheld} ON *.* FROM {_ROOT}")

    def disable_root(self) -> None:
        """Take the superuser's log-in away and end its connections."""
        with self._changes() as sql:
            sql.run(f"DROP USER IF EXISTS {_ROOT}")
            self._words.end_sessions(sql, "root", "%")

    def root_enabled(self) -> bool:
        """Tell whether the superuser may log in."""
        with self.session() as sql:
            return bool(sql.run(self._from_accounts(_FIND_ROOT)))

    def _user_creation(self, sql: Session, user: User) -> tuple[Deed, Deed]:
        assert user.password is not None
        account = (user.name, user.host)
        need = requirement(needed=self.needs_certificates(sql))
        statements = [f"CREATE USER {sql.account(*account)} {self._words.identified(user.password)} {need}"]
        statements += [_grant(sql, account, database) for database in user.databases]
        return lambda: [sql.run(statement) for statement in statements], _deed(
            sql, f"DROP USER IF EXISTS {sql.account(*account)}"
        )

    def _require_database(self, sql: Session, name_: str) -> None:
        if name_.lower() in self._names.system_databases or not _has_database(sql, name_):
            raise NotFound(f"Database '{name_}' does not exist.")

    def _find_user(self, sql: Session, name_: str, host: str) -> tuple[str, str] | None:
        if not _storable(name_ + host):
            return None
        rows = sql.run(self._from_accounts(_FIND_USER), name_, host.lower(), tuple(self._names.system_users))
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def _has_user(self, sql: Session, name_: str, host: str) -> bool:
        return self._find_user(sql, name_, host) is not None

    def _require_user(self, sql: Session, name_: str, host: str) -> tuple[str, str]:
        found = self._find_user(sql, name_, host)
        if found is None:
            raise NotFound(f"User '{name_}@{host}' does not exist.")
        return found

    def _with_access(self, sql: Session, accounts: Sequence[Sequence[str]]) -> list[User]:
        """Return users with the databases they have rights on, in one statement for all of them."""
        if not accounts:
            return []
        granted: dict[tuple[str, str], list[str]] = {}
        for user, host, pattern in sql.run(_GRANTS, tuple((user, host) for user, host in accounts)):
            database = naming.granted_database(pattern)
            if database.lower() not in self._names.system_databases:
                granted.setdefault((user, host), []).append(database)
        return [User(name=user, host=host, databases=tuple(granted.get((user, host), ()))) for user, host in accounts]

    def _from_accounts(self, statement: str) -> str:
        return statement.format(table=self._words.table, is_user=self._words.is_user, reserved=naming.RESERVED_USER)


_LIST_DATABASES = """
SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA
WHERE LOWER(SCHEMA_NAME) NOT IN %s AND SCHEMA_NAME NOT LIKE '#mysql50#%%'
AND (%s IS NULL OR CAST(SCHEMA_NAME AS BINARY) > CAST(%s AS BINARY))
ORDER BY CAST(SCHEMA_NAME AS BINARY) LIMIT %s"""

_LIST_USERS = """
SELECT User, Host FROM {table}
WHERE User <> '' AND LOWER(User) NOT IN %s AND User NOT REGEXP '{reserved}' AND {is_user}
AND (%s IS NULL OR CAST(CONCAT(User, '@', Host) AS BINARY) > CAST(%s AS BINARY))
ORDER BY CAST(CONCAT(User, '@', Host) AS BINARY) LIMIT %s"""

_FIND_USER = """
SELECT User, Host FROM {table}
WHERE CAST(User AS BINARY) = CAST(%s AS BINARY) AND LOWER(Host) = %s
AND LOWER(User) NOT IN %s AND User NOT REGEXP '{reserved}' AND {is_user}"""

_FIND_ROOT = "SELECT 1 FROM {table} WHERE User = 'root' AND Host = '%'"

_FIND_DATABASE = """
SELECT 1 FROM information_schema.SCHEMATA
WHERE SCHEMA_NAME = %s AND CAST(SCHEMA_NAME AS BINARY) = CAST(%s AS BINARY)"""

_GRANTS = "SELECT User, Host, Db FROM mysql.db WHERE (User, Host) IN %s ORDER BY CAST(Db AS BINARY)"


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


def _grant(sql: Session, account: tuple[str, str], database: str) -> str:
    return f"GRANT ALL PRIVILEGES ON {name(naming.grant_pattern(database))}.* TO {sql.account(*account)}"


def _revoke(sql: Session, user: str, host: str, pattern: str) -> None:
    sql.run(f"REVOKE ALL PRIVILEGES ON {name(pattern)}.* FROM {sql.account(user, host)}")


def _has_database(sql: Session, name_: str) -> bool:
    return _storable(name_) and bool(sql.run(_FIND_DATABASE, name_, name_))


def _storable(name_: str) -> bool:
    """Tell whether the server's own tables can hold these letters; a search for others would be an error."""
    return all(ord(letter) <= 0xFFFF and not 0xD800 <= ord(letter) <= 0xDFFF for letter in name_)
