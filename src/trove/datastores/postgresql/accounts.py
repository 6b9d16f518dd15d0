"""Databases, users, grants and the superuser, in SQL.

Each database belongs to a role of its own, and whoever has rights on it is a member of that role and acts as it there: so all
that is in the database, now or later, belongs to all who have rights on it. Source: "Database Roles" of PostgreSQL's manual.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput, NotFound, TroveError
from trove.core.pages import Page
from trove.datastores.contract import Host
from trove.datastores.postgresql import naming
from trove.datastores.postgresql.server import Server
from trove.datastores.postgresql.sql import Session, literal, name, verifier

_ANY_HOST = "%"
_SLOW_TIMEOUT_S = 120.0
_OWNER = f"'^{naming.OWNER.pattern}$'"
_REPLICA = f"'^{naming.REPLICA.pattern}$'"


def _list(names: frozenset[str]) -> str:
    return ", ".join(literal(each) for each in sorted(names))


class Accounts(Server):
    """The facets Databases, Users and Root of PostgreSQL. Changes are made one at a time."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._changing = threading.Lock()

    def create_databases(self, databases: Sequence[Database]) -> None:
        """Create databases, all or none: one that exists raises `InvalidInput`."""
        for database in databases:
            naming.check_database(database)
        _check_unique("Database", [database.name for database in databases])
        self.check_space()
        with self._change(timeout_s=_SLOW_TIMEOUT_S) as sql:
            for database in databases:
                if _has_database(sql, database.name):
                    raise InvalidInput(f"Database '{database.name}' exists already.")
            made: list[str] = []
            try:
                for database in databases:
                    made.append(database.name)
                    _create_database(sql, database)
            except TroveError:
                for each in made:
                    with suppress(TroveError):
                        _drop_database(sql, each)
                raise

    def list_databases(self, *, limit: int, marker: str | None) -> Page[Database]:
        """Return the tenant's databases by name after `marker` (exclusive); system ones are hidden."""
        with self.session() as sql:
            rows = sql.run(_LIST_DATABASES, marker, limit + 1)
        found = tuple(Database(name=row[0], character_set=row[1], collate=row[2]) for row in rows[:limit])
        return Page(items=found, next_marker=found[-1].name if len(rows) > limit else None)

    def delete_database(self, name_: str) -> None:
        """Drop a database, and end the sessions in it; raises `NotFound`."""
        with self._change(timeout_s=_SLOW_TIMEOUT_S) as sql:
            _require_database(sql, name_)
            _drop_database(sql, name_)

    def create_users(self, users: Sequence[User]) -> None:
        """Create users with grants, all or none: one that exists raises `InvalidInput`, as does a missing database."""
        for user in users:
            naming.check_user(user)
            if user.password is None:
                raise InvalidInput(f"User '{user.name}' needs a password.")
        _check_unique("User", [user.name for user in users])
        self.check_space()
        with self._change() as sql:
            for user in users:
                if sql.run("SELECT 1 FROM pg_roles WHERE rolname = $1", user.name):
                    raise InvalidInput(f"User '{user.name}' exists already.")
                for database in user.databases:
                    if not _has_database(sql, database):
                        raise InvalidInput(f"Database '{database}' of user '{user.name}' does not exist.")
            with sql.transaction():
                for user in users:
                    sql.run(f"CREATE ROLE {name(user.name)} LOGIN PASSWORD {literal(verifier(user.password or ''))}")
                    for database in user.databases:
                        self._grant(sql, user.name, database)

    def list_users(self, *, limit: int, marker: str | None) -> Page[User]:
        """Return users by `name@host` after `marker` (exclusive), without passwords; system ones are hidden."""
        with self.session() as sql:
            rows = sql.run(_LIST_USERS, marker, limit + 1)
            found = tuple(_user(sql, row[0]) for row in rows[:limit])
        last = found[-1] if len(rows) > limit else None
        return Page(items=found, next_marker=None if last is None else f"{last.name}@{last.host}")

    def get_user(self, name_: str, host: str) -> User:
        """Return one user; raises `NotFound`."""
        with self.session() as sql:
            _require_user(sql, name_, host)
            return _user(sql, name_)

    def update_user(self, name_: str, host: str, *, new_name: str | None, new_host: str | None, password: str | None) -> None:
        """Change what is not None, keeping grants. Raises `NotFound`, or `InvalidInput` when the new name@host is taken."""
        target = User(name=new_name or name_, host=new_host or host, password=password)
        naming.check_user(target)
        with self._change() as sql:
            _require_user(sql, name_, host)
            with sql.transaction():
                if target.name != name_:
                    if sql.run("SELECT 1 FROM pg_roles WHERE rolname = $1", target.name):
                        raise InvalidInput(f"User '{target.name}' exists already.")
                    sql.run(f"ALTER ROLE {name(name_)} RENAME TO {name(target.name)}")
                if password is not None:
                    sql.run(f"ALTER ROLE {name(target.name)} PASSWORD {literal(verifier(password))}")

    def delete_user(self, name_: str, host: str) -> None:
        """Drop a user and end its sessions; what it owned goes to the databases' owners. Raises `NotFound`."""
        with self._change() as sql:
            _require_user(sql, name_, host)
            sql.run(f"ALTER ROLE {name(name_)} NOLOGIN CONNECTION LIMIT 0")
            _end_sessions(sql, name_)
            try:
                for (database,) in sql.run(_OWNS_IN, name_):
                    self._hand_over(sql, name_, database)
                sql.run(f"DROP ROLE {name(name_)}")
            except TroveError:
                with suppress(TroveError):  # so that it is still there to be deleted
                    sql.run(f"ALTER ROLE {name(name_)} LOGIN CONNECTION LIMIT -1")
                raise

    def list_access(self, name_: str, host: str) -> Sequence[str]:
        """Return the databases a user has rights on."""
        return self.get_user(name_, host).databases

    def grant_access(self, name_: str, host: str, databases: Sequence[str]) -> None:
        """Grant all rights on databases; raises `NotFound` for the user or a database."""
        with self._change() as sql:
            _require_user(sql, name_, host)
            for database in databases:
                _require_database(sql, database)
            with sql.transaction():
                for database in databases:
                    self._grant(sql, name_, database)

    def revoke_access(self, name_: str, host: str, database: str) -> None:
        """Revoke all rights on a database and end the user's sessions there; raises `NotFound` when there are none."""
        with self._change() as sql:
            _require_user(sql, name_, host)
            if database not in _databases_of(sql, name_):
                raise NotFound(f"User '{name_}' has no rights on database '{database}'.")
            owner = _owner_of(sql, database)
            with sql.transaction():
                sql.run(f"REVOKE {name(owner)} FROM {name(name_)}")
                sql.run(f"ALTER ROLE {name(name_)} IN DATABASE {name(database)} RESET role")
            _end_sessions(sql, name_, database)
            self._hand_over(sql, name_, database)

    def enable_root(self, password: str) -> None:
        """Let the superuser log in from anywhere with this password. May be repeated with another one."""
        naming.check_password(password)
        with self._change() as sql:
            _ensure_role(sql, naming.ROOT)
            sql.run(f"ALTER ROLE {naming.ROOT} SUPERUSER LOGIN PASSWORD {literal(verifier(password))}")

    def disable_root(self) -> None:
        """Take the superuser's log-in away and end its sessions."""
        with self._change() as sql:
            _ensure_role(sql, naming.ROOT)
            sql.run(f"ALTER ROLE {naming.ROOT} NOLOGIN PASSWORD NULL")
            _end_sessions(sql, naming.ROOT)

    def root_enabled(self) -> bool:
        """Tell whether the superuser may log in."""
        with self.session() as sql:
            return bool(sql.run("SELECT 1 FROM pg_roles WHERE rolname = $1 AND rolcanlogin", naming.ROOT))

    @contextmanager
    def _change(self, *, timeout_s: float = 12.0) -> Iterator[Session]:
        """Take the turn to change something; raises `InvalidInput` on a server that takes no changes."""
        if self._is_standby():
            raise InvalidInput("This server is a replica, or closed to become one: change databases and users on the source.")
        with self._changing, self.session(timeout_s=timeout_s) as sql:
            yield sql

    def _secure(self) -> None:
        """Make what every server has, unless it is there: the superuser without a log-in, no way in for everybody."""
        with self._change() as sql, sql.transaction():
            _ensure_role(sql, naming.ROOT, "SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS")
            _ensure_role(sql, naming.REPLICAS)
            # Whoever has no database yet logs in to `postgres`, where nobody can make anything.
            for database, right in (("postgres", "TEMPORARY"), ("template1", "CONNECT")):
                if sql.run(_OPEN_TO_ALL, database, right):
                    sql.run(f"REVOKE {right} ON DATABASE {database} FROM PUBLIC")

    def _grant(self, sql: Session, user: str, database: str) -> None:
        owner = _owner_of(sql, database)
        if not naming.OWNER.fullmatch(owner):
            owner = self._adopt(sql, database)
        sql.run(f"GRANT {name(owner)} TO {name(user)}")
        sql.run(f"ALTER ROLE {name(user)} IN DATABASE {name(database)} SET role = {name(owner)}")

    def _adopt(self, sql: Session, database: str) -> str:
        """Give a database that a superuser made an owner of its own, with rights on all that is in it."""
        owner = _new_owner(sql)
        sql.run(f"ALTER DATABASE {name(database)} OWNER TO {name(owner)}")
        sql.run(f"REVOKE ALL ON DATABASE {name(database)} FROM PUBLIC")
        sql.run("COMMIT")  # the session in that database shall see the role
        sql.run("BEGIN")
        with self.session(database) as inside:
            for (schema,) in inside.run(_SCHEMAS):
                for kind in ("TABLES", "SEQUENCES", "ROUTINES"):
                    inside.run(f"GRANT ALL ON ALL {kind} IN SCHEMA {name(schema)} TO {name(owner)}")
                inside.run(f"GRANT ALL ON SCHEMA {name(schema)} TO {name(owner)}")
        return owner

    def _hand_over(self, sql: Session, user: str, database: str) -> None:
        """Give what a user owns in a database to the database's owner."""
        owner = _owner_of(sql, database)
        with self.session(database, timeout_s=_SLOW_TIMEOUT_S) as inside, inside.transaction():
            inside.run(f"REASSIGN OWNED BY {name(user)} TO {name(owner)}")
            inside.run(f"DROP OWNED BY {name(user)}")
            if owner != naming.ADMIN and user in _members(inside, owner):
                raise GuestError(f"User '{user}' still has rights on database '{database}'.")


_HIDDEN = (
    f"rolname IN ({_list(naming.SYSTEM_USERS)}) OR rolname ~ '^pg_' OR rolname ~ {_OWNER} OR rolname ~ {_REPLICA} "
    "OR NOT (rolcanlogin OR rolconnlimit = 0)"
)

_LIST_DATABASES = f"""
SELECT datname, pg_encoding_to_char(encoding), CASE datlocprovider
  WHEN 'i' THEN COALESCE(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale') || '-x-icu' ELSE datcollate END
FROM pg_database d WHERE NOT datistemplate AND datallowconn AND datname NOT IN ({_list(naming.SYSTEM_DATABASES)})
AND ($1::text IS NULL OR datname::text COLLATE "C" > $1) ORDER BY datname::text COLLATE "C" LIMIT $2::bigint"""  # noqa: S608  constants

_LIST_USERS = f"""
SELECT rolname FROM pg_roles WHERE NOT ({_HIDDEN})
AND ($1::text IS NULL OR (rolname::text || '@{_ANY_HOST}') COLLATE "C" > $1)
ORDER BY (rolname::text || '@{_ANY_HOST}') COLLATE "C" LIMIT $2::bigint"""  # noqa: S608

_FIND_USER = f"SELECT 1 FROM pg_roles WHERE rolname = $1 AND NOT ({_HIDDEN})"  # noqa: S608

_ACCESS = f"""
SELECT d.datname FROM pg_database d JOIN pg_auth_members m ON m.roleid = d.datdba JOIN pg_roles u ON u.oid = m.member
WHERE u.rolname = $1 AND pg_get_userbyid(d.datdba)::text ~ {_OWNER} AND d.datname NOT IN ({_list(naming.SYSTEM_DATABASES)})
ORDER BY d.datname::text COLLATE "C" """  # noqa: S608

_MEMBERS = """
SELECT u.rolname FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
WHERE g.rolname = $1"""

_OWNS_IN = """
SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1) AND d.datallowconn"""

_OPEN_TO_ALL = """
SELECT 1 FROM pg_database WHERE datname = $1
AND EXISTS (SELECT FROM aclexplode(COALESCE(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = $2)"""

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


def _check_unique(what: str, names: Sequence[str]) -> None:
    for one in names:
        if names.count(one) > 1:
            raise InvalidInput(f"{what} '{one}' is given more than once.")


def _ensure_role(sql: Session, role: str, options: str = "") -> None:
    if not sql.run("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        sql.run(f"CREATE ROLE {name(role)} NOLOGIN {options}")


def _new_owner(sql: Session) -> str:
    owner = f"owner_{os.urandom(8).hex()}"
    sql.run(f"CREATE ROLE {owner} NOLOGIN")
    return owner


def _create_database(sql: Session, database: Database) -> None:
    """Create a database that nobody but its owner can enter; one that was left half made is made anew."""
    encoding, libc, icu = naming.locale_of(database)
    if sql.run("SELECT 1 FROM pg_database WHERE datname = $1", database.name):
        _drop_database(sql, database.name)
    owner = _new_owner(sql)
    provider = "" if icu is None else f" LOCALE_PROVIDER icu ICU_LOCALE {literal(icu)}"
    sql.run(
        f"CREATE DATABASE {name(database.name)} OWNER {owner} TEMPLATE template0 ENCODING {literal(encoding)} "
        f"LC_COLLATE {literal(libc)} LC_CTYPE {literal(libc)}{provider} ALLOW_CONNECTIONS false"
    )
    with sql.transaction():
        sql.run(f"REVOKE ALL ON DATABASE {name(database.name)} FROM PUBLIC")
        sql.run(f"ALTER DATABASE {name(database.name)} ALLOW_CONNECTIONS true")


def _drop_database(sql: Session, database: str) -> None:
    owner = _owner_of(sql, database)
    sql.run(f"DROP DATABASE {name(database)} WITH (FORCE)")
    if naming.OWNER.fullmatch(owner):
        with suppress(TroveError):  # somebody may have made it the owner of something elsewhere
            sql.run(f"DROP ROLE {owner}")


def _owner_of(sql: Session, database: str) -> str:
    rows = sql.run("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1", database)
    return rows[0][0] if rows else naming.ADMIN


def _has_database(sql: Session, name_: str) -> bool:
    return bool(sql.run("SELECT 1 FROM pg_database WHERE datname = $1 AND datallowconn", name_))


def _require_database(sql: Session, name_: str) -> None:
    if name_ in naming.SYSTEM_DATABASES or not _has_database(sql, name_):
        raise NotFound(f"Database '{name_}' does not exist.")


def _require_user(sql: Session, name_: str, host: str) -> None:
    if host != _ANY_HOST or "\0" in name_ or not sql.run(_FIND_USER, name_):
        raise NotFound(f"User '{name_}@{host}' does not exist.")


def _user(sql: Session, name_: str) -> User:
    return User(name=name_, host=_ANY_HOST, databases=_databases_of(sql, name_))


def _databases_of(sql: Session, name_: str) -> tuple[str, ...]:
    return tuple(row[0] for row in sql.run(_ACCESS, name_))


def _members(sql: Session, role: str) -> set[str]:
    return {row[0] for row in sql.run(_MEMBERS, role)}


def _end_sessions(sql: Session, user: str, database: str | None = None) -> None:
    sql.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND ($2::text IS NULL OR datname = $2)",
        user,
        database,
    )
