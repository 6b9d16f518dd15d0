"""The state database: connections, transactions and the translation of driver errors, the same on all three databases."""

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from trove.core import errors
from trove.core.notifications import Publisher
from trove.store.vault import Vault

P = ParamSpec("P")
R = TypeVar("R")

LOCK_TIMEOUT_S = 15
"""How long a statement waits for another transaction before it gives up with `Unavailable`."""

POOL_TIMEOUT_S = 5
"""How long a thread waits for a connection while all are in use."""

CONNECT_TIMEOUT_S = 5

IDLE_TRANSACTION_S = 10
"""How long PostgreSQL and MariaDB let a process keep a transaction open and do nothing. One that was stopped in the middle of a
transaction would else keep its locks for ever. Shorter than others wait for them. MySQL and SQLite have nothing like it."""

RUN_ATTEMPTS = 8

SYNC_WAIT = 7
"""On a Galera cluster: reads, updates, deletes and inserts wait until their node knows what others have committed before."""

_JITTER = random.SystemRandom()

_SQLITE_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}
# A node of a Galera cluster that has lost its cluster answers the first to everything, the second to a COMMIT.
_GALERA_NOT_READY, _GALERA_COMMIT_LOST, _INTERRUPTED = 1047, 1180, 1317
# Too many connections, shutting down, lock wait timeout, deadlock, read-only, connection refused or lost.
_MYSQL_TRANSIENT = {1020, 1040, 1053, 1203, 1205, 1213, 1290, 1836, 1927, 2002, 2003, 2006, 2013, 2014, 2055}
_MYSQL_TRANSIENT |= {_GALERA_NOT_READY, _GALERA_COMMIT_LOST, _INTERRUPTED}
_MYSQL_UNKNOWN_AT_COMMIT = {_GALERA_NOT_READY, _GALERA_COMMIT_LOST, _INTERRUPTED}
_GALERA = "galera"
# Classes: connection lost, too few resources, operator intervention, serialization failure and deadlock, system error.
_POSTGRESQL_TRANSIENT = ("08", "53", "57", "40", "55P03", "58", "25006")


class OutcomeUnknown(errors.Unavailable):
    """The connection, or the node of a cluster, was lost during COMMIT: the change may or may not have happened.

    `Database.run` does not repeat it.
    """

    code = "outcome_unknown"


class Tx:
    """One open transaction. Valid inside its `with` block and in its thread only.

    `claims` are the numbers of claims on operations, by id, that this transaction has found in force and holds locked.
    """

    __slots__ = ("_begun", "claims", "connection", "dialect", "publisher", "vault", "writable")

    def __init__(self, connection: Connection, of: "Database", *, writable: bool) -> None:
        self.connection = connection
        self.vault = of.vault
        self.publisher = of.publisher
        self.dialect = of.dialect
        self.writable = writable
        self.claims: dict[str, int] = {}
        self._begun = False

    @property
    def locks_reach_one_node(self) -> bool:
        """Tell whether other transactions may meet on another node of a cluster, where `FOR UPDATE` holds nothing.

        What is to keep them out must be written there: a cluster compares written rows alone, at COMMIT.
        """
        return bool(self.connection.info.get(_GALERA))

    def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Execute one statement; with a list of mappings, once for each of them (executemany).

        A session may have died while it was idle. That is found out here, not by a question before each transaction: the
        first statement, of which nothing is left then, and one that only reads are executed once more in a fresh session.
        """
        repeatable, self._begun = not (self.writable and self._begun), True
        try:
            return self.connection.execute(statement, parameters)
        except DBAPIError as error:
            if not (repeatable and error.connection_invalidated):
                raise
        self.connection.rollback()
        return self.connection.execute(statement, parameters)


class Database:
    """The state database behind `url`. Thread-safe. One object a process.

    `sqlite:////abs/path`, `mysql+pymysql://…` (MySQL and MariaDB) or `postgresql+psycopg://…`. With a `publisher` notifications
    are stored in its name. `sync_wait` is what sessions on a node of a Galera cluster set `wsrep_sync_wait` to.
    """

    def __init__(
        self, url: str, *, vault: Vault, pool_size: int = 10, publisher: Publisher | None = None, sync_wait: int = SYNC_WAIT
    ) -> None:
        self.vault = vault
        self.publisher = publisher
        self._engine = _engine(make_url(url), pool_size, sync_wait)
        name = self._engine.dialect.name
        self.dialect = "mysql" if name == "mariadb" else name
        # SQLite has one writer at a time and makes the others poll: threads of this process queue here instead.
        self._turn: threading.Lock | None = threading.Lock() if self.dialect == "sqlite" else None
        self._thread = threading.local()

    def __repr__(self) -> str:
        return f"<Database {self._engine.url.render_as_string(hide_password=True)}>"

    @property
    def engine(self) -> Engine:
        """Return the SQLAlchemy engine, for migrations and tests."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Open a transaction that may write: committed at the end of the block, rolled back when the block raises.

        Deadlocks, lock timeouts and lost connections become `Unavailable`; repeating is the caller's (see `run`).
        Not reentrant in one thread.
        """
        if getattr(self._thread, "writing", False):
            raise RuntimeError("a write transaction is already open in this thread")
        self._take_turn()
        self._thread.writing = True
        try:
            with self._connected("BEGIN IMMEDIATE") as connection:
                yield Tx(connection, self, writable=True)
                _commit(connection)
        finally:
            self._thread.writing = False
            if self._turn is not None:
                self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """Open a transaction for reading only; errors as in `transaction`."""
        with self._connected("BEGIN") as connection:
            yield Tx(connection, self, writable=False)

    def run(self, fn: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn(tx, …)` in a transaction and return its result; repeat it, with jitter, while it meets `Unavailable`.

        `fn` may run several times, each time in a fresh transaction after the former was rolled back. The last error is raised
        after some attempts, or `LOCK_TIMEOUT_S` seconds; `OutcomeUnknown` and `Overloaded` at once.
        """
        patient_until = time.monotonic() + LOCK_TIMEOUT_S
        for attempt in range(1, RUN_ATTEMPTS + 1):
            try:
                with self.transaction() as tx:
                    return fn(tx, *args, **kwargs)
            except (OutcomeUnknown, errors.Overloaded):
                raise
            except errors.Unavailable:
                if attempt == RUN_ATTEMPTS or time.monotonic() >= patient_until:
                    raise
                time.sleep(_JITTER.uniform(0.2, 1.0) * min(0.01 * 2**attempt, 1.0))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close idle connections. May run twice."""
        self._engine.dispose()

    def _take_turn(self) -> None:
        if self._turn is not None and not self._turn.acquire(timeout=LOCK_TIMEOUT_S):
            raise errors.Overloaded("The state database is busy; try again.")

    @contextmanager
    def _connected(self, begin: str) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                if self._turn is not None:
                    # The driver leaves transactions to us (isolation_level None): reads and writes begin differently.
                    connection.connection.driver_connection.execute(begin)  # type: ignore[union-attr]
                yield connection
        except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
            if is_transient(error):
                raise errors.Unavailable("The state database does not answer now; try again.") from error
            raise


def is_transient(error: Exception) -> bool:
    """Tell whether a driver error means that the database is busy or out of reach, so that a repeat may succeed."""
    if isinstance(error, PoolTimeout):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_TRANSIENT
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate is not None:
        return str(sqlstate).startswith(_POSTGRESQL_TRANSIENT)
    if type(cause).__module__.startswith("psycopg"):
        return type(cause).__name__ == "OperationalError"
    arguments: tuple[Any, ...] = getattr(cause, "args", ())
    return bool(arguments) and arguments[0] in _MYSQL_TRANSIENT


def _commit(connection: Connection) -> None:
    try:
        connection.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise OutcomeUnknown("The state database was lost while it stored a change.") from error
        # Nobody knows what state the session is in, and the pool asks nothing.
        connection.invalidate()
        if connection.dialect.name in {"mysql", "mariadb"} and _number(error) in _MYSQL_UNKNOWN_AT_COMMIT:
            raise OutcomeUnknown("The state database was lost while it stored a change.") from error
        raise


def _number(error: DBAPIError) -> object:
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    return arguments[0] if arguments else None


def _engine(url: URL, pool_size: int, sync_wait: int) -> Engine:
    backend = url.get_backend_name()
    common: dict[str, Any] = {"hide_parameters": True, "poolclass": QueuePool, "pool_timeout": POOL_TIMEOUT_S}
    if backend == "sqlite":
        in_memory = url.database in {None, "", ":memory:"}
        size, overflow = (1, 0) if in_memory else (pool_size, 4 * pool_size)
        arguments: dict[str, Any] = {"timeout": LOCK_TIMEOUT_S, "check_same_thread": False}
        if not in_memory:
            _keep_private(str(url.database))
        engine = create_engine(url, connect_args=arguments, pool_size=size, max_overflow=overflow, **common)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    common |= {
        # Every transaction is ended before its session goes back: another ROLLBACK would only be one more round trip.
        "pool_reset_on_return": None,
        "pool_recycle": 1800,
        "pool_size": pool_size,
        "max_overflow": 2 * pool_size,
        "isolation_level": "READ COMMITTED",
    }
    if backend == "postgresql":
        # Milliseconds. The server ends a wait for a lock, so that a stuck peer cannot block this process for ever.
        idle = f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_S * 1000}"
        options = f"-c lock_timeout={LOCK_TIMEOUT_S * 1000} {idle} -c timezone=UTC"
        arguments = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": options,
            # A server that vanished without a word is noticed within half a minute, not after hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
        }
        return create_engine(url, connect_args=arguments, **common)
    arguments = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "charset": "utf8mb4",
        # The last part is for MariaDB; to MySQL it is a comment.
        "init_command": f"SET SESSION innodb_lock_wait_timeout={LOCK_TIMEOUT_S}, time_zone='+00:00'"
        f" /*M!100300 , idle_transaction_timeout={IDLE_TRANSACTION_S} */",
    }
    engine = create_engine(url, connect_args=arguments, **common)
    event.listen(engine, "connect", lambda connection, record: _prepare_galera(connection, record, sync_wait))
    event.listen(engine, "handle_error", _leave_lost_node)
    return engine


def _prepare_galera(connection: Any, record: Any, sync_wait: int) -> None:
    """Find out whether the server is a node of a Galera cluster, and have it keep what one server would."""
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SHOW GLOBAL VARIABLES LIKE 'wsrep_on'")
        found = cursor.fetchone()
        record.info[_GALERA] = found is not None and found[1] == "ON"
        if record.info[_GALERA]:
            cursor.execute(f"SET SESSION wsrep_sync_wait = {sync_wait:d}")


def _leave_lost_node(context: ExceptionContext) -> None:
    """Drop a session, and all of its age, with a node that lost its cluster: the balancer may know a better one."""
    arguments: tuple[Any, ...] = getattr(context.original_exception, "args", ())
    if arguments and arguments[0] == _GALERA_NOT_READY:
        context.is_disconnect = True


def _keep_private(path: str) -> None:
    """Make the file before SQLite does, readable by its owner only; SQLite gives its journals the same mode.

    One that is there is not even opened: closing it would take the locks from all connections of this process, and another
    process could take itself for the last one and remove the log that they write to (SQLite, "How To Corrupt").
    """
    with contextlib.suppress(OSError):  # A directory that is missing or closed is told by the first connection.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # what was answered with 202 survives a power cut
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
