"""Locks that MySQL, MariaDB and PostgreSQL give to sessions. One session a lock: its end, by whatever death, frees the lock.

They are taken directly: of tooz's drivers for these servers the one is deprecated and knows 65536 different locks, the other
uses calls that PyMySQL is about to drop. A lock is broken by ending the session of its holder, which a user may do to its own.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import pymysql

from trove.core import errors
from trove.workflow.row_locks import RowLocks, is_galera

CONNECT_TIMEOUT_S = 10
BREAK_TIMEOUT_S = 2.0
BREAK_PAUSE_S = 0.02

# Sessions of PostgreSQL are identified by more than their process: its number may be used again.
_PG_HOLDER = """
SELECT a.pid || ':' || extract(epoch FROM a.backend_start) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_PG_BREAK = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
WHERE pid || ':' || extract(epoch FROM backend_start) = %s
"""


class _Dialect(Protocol):
    error: type[Exception]

    def connect(self) -> Any: ...

    def take(self, session: Any, name: str) -> bool: ...

    def holder(self, session: Any, name: str) -> str | None: ...

    def break_(self, session: Any, name: str, holder: str) -> None: ...


class SessionLocks:
    """Locks that a database server gives to sessions (`trove.workflow.locks.LockServer`)."""

    def __init__(self, dialect: _Dialect) -> None:
        self._dialect = dialect
        self._open().close()

    def take(self, name: str) -> Callable[[], None] | None:
        """Take the lock with a session of its own."""
        session = self._open()
        taken = False
        try:
            taken = self._dialect.take(session, name)
        except self._dialect.error as error:
            raise _unavailable() from error
        finally:
            if not taken:
                session.close()
        return session.close if taken else None

    def holder(self, name: str) -> str | None:
        """Return the session that holds the lock."""
        with closing(self._open()) as session:
            try:
                return self._dialect.holder(session, name)
            except self._dialect.error as error:
                raise _unavailable() from error

    def break_(self, name: str, holder: str) -> bool:
        """End the session that held the lock."""
        with closing(self._open()) as session:
            try:
                self._dialect.break_(session, name, holder)
            except self._dialect.error as error:
                raise _unavailable() from error
        return True

    def close(self) -> None:
        """Do nothing: sessions end with their locks."""

    def _open(self) -> Any:
        try:
            return self._dialect.connect()
        except self._dialect.error as error:
            raise _unavailable() from error


def postgresql(url: str, member: str) -> SessionLocks:
    """Return the locks of a PostgreSQL server."""
    return SessionLocks(_PostgreSql(url, member))


def mysql(url: str) -> SessionLocks | RowLocks:
    """Return the locks of a MySQL or MariaDB server; on a node of a Galera cluster they are rows."""
    dialect = _MySql(url)
    locks = SessionLocks(dialect)
    try:
        with closing(dialect.connect()) as session:
            galera = is_galera(session)
    except pymysql.MySQLError as error:
        raise _unavailable() from error
    return RowLocks(dialect.connect, _word) if galera else locks


class _PostgreSql:
    def __init__(self, url: str, member: str) -> None:
        # Here, because the driver is installed only where PostgreSQL is used.
        import psycopg  # noqa: PLC0415

        self.error: type[Exception] = psycopg.Error
        self._psycopg = psycopg
        self._conninfo = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))
        self._name = f"trove-lock-{member}"[:63]

    def connect(self) -> Any:
        return self._psycopg.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name=self._name
        )

    def take(self, session: Any, name: str) -> bool:
        number = int.from_bytes(_number(name), signed=True)
        return bool(session.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()[0])

    def holder(self, session: Any, name: str) -> str | None:
        number = _number(name)
        found = session.execute(_PG_HOLDER, (int.from_bytes(number[:4]), int.from_bytes(number[4:]))).fetchone()
        return None if found is None else str(found[0])

    def break_(self, session: Any, name: str, holder: str) -> None:
        session.execute(_PG_BREAK, (holder,))


class _MySql:
    error: type[Exception] = pymysql.MySQLError

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": unquote(parts.path.lstrip("/")) or None,
            **{key: value for key, value in parse_qsl(parts.query) if key == "unix_socket" or key.startswith("ssl_")},
        }

    def connect(self) -> Any:
        return pymysql.connect(connect_timeout=CONNECT_TIMEOUT_S, **self._options)

    def take(self, session: Any, name: str) -> bool:
        with session.cursor() as cursor:
            # An idle session must outlive the longest operation.
            cursor.execute("SET SESSION wait_timeout = 2147483")
            cursor.execute("SELECT GET_LOCK(%s, 0)", (_word(name),))
            return bool(cursor.fetchone()[0])

    def holder(self, session: Any, name: str) -> str | None:
        with session.cursor() as cursor:
            cursor.execute("SELECT IS_USED_LOCK(%s)", (_word(name),))
            found = cursor.fetchone()[0]
        return None if found is None else str(found)

    def break_(self, session: Any, name: str, holder: str) -> None:
        with session.cursor() as cursor:
            try:
                cursor.execute(f"KILL CONNECTION {int(holder)}")
            except pymysql.OperationalError as error:
                if error.args[0] != pymysql.constants.ER.NO_SUCH_THREAD:
                    raise
        # The server takes a moment to notice; its locks go with the session.
        until = time.monotonic() + BREAK_TIMEOUT_S
        while self.holder(session, name) == holder and time.monotonic() < until:
            time.sleep(BREAK_PAUSE_S)


def _number(name: str) -> bytes:
    """Return the eight bytes that name a lock in PostgreSQL."""
    return hashlib.sha256(name.encode()).digest()[:8]


def _word(name: str) -> str:
    """Return what names a lock in MySQL: at most 64 characters."""
    return hashlib.sha256(name.encode()).hexdigest()[:60]


def _unavailable() -> errors.Unavailable:
    # Without the driver's words: they may name the server's account.
    return errors.Unavailable("The lock service does not answer now; try again.")
