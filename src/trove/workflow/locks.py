"""Locks by name, on one machine or many, that the death of their holder frees.

tooz does the work on files and with etcd, Redis and the like; the locks of MySQL and PostgreSQL are taken directly. Of tooz's
drivers for these the one is deprecated and knows 65536 different locks, the other uses calls that PyMySQL is about to drop.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import pymysql
import tooz
from tooz import coordination

from trove.core import errors

CONNECT_TIMEOUT_S = 10


class Lock:
    """A lock that is held. Release it with `release`, or by using it as a context manager."""

    def __init__(self, name: str, release: Callable[[], None]) -> None:
        self.name = name
        self._release = release
        self._once = threading.Lock()

    def release(self) -> None:
        """Let go. May run twice. A lock whose server cannot be reached is lost to its holder anyway."""
        if self._once.acquire(blocking=False):
            self._release()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Locks:
    """Locks for one process. Thread-safe. `member` names the process among the others.

    `url`: `mysql://…` or `postgresql://user:password@host/database` (that of the state database will do); else tooz's:
    `file:///dir` (one machine), `etcd3+http://…`, `redis://…`. Raises `Unavailable` when the server is out of reach, also from
    `try_lock`. A server that restarts forgets who held what: what a lock guards needs a fence besides.
    """

    def __init__(self, url: str, member: str) -> None:
        self._guard = threading.Lock()
        self._held: set[str] = set()
        self._server: _Server = _server(url, member)

    def try_lock(self, name: str) -> Lock | None:
        """Take the lock `name` and return it; None when another thread, process or machine holds it."""
        with self._guard:
            if name in self._held:
                return None
            self._held.add(name)
        release = None
        try:
            release = self._server.take(f"trove-{name}")
        finally:
            if release is None:
                self._forget(name)
        return None if release is None else Lock(name, lambda: self._let_go(name, release))

    def close(self) -> None:
        """Leave the server. Locks should have been released before. May run twice."""
        self._server.close()

    def _let_go(self, name: str, release: Callable[[], None]) -> None:
        try:
            release()
        finally:
            self._forget(name)

    def _forget(self, name: str) -> None:
        with self._guard:
            self._held.discard(name)


class _Server(Protocol):
    def take(self, name: str) -> Callable[[], None] | None:
        """Return what releases the lock; None when it is held."""

    def close(self) -> None: ...


class _Tooz:
    def __init__(self, url: str, member: str) -> None:
        try:
            self._coordinator = coordination.get_coordinator(url, member.encode())
            self._coordinator.start(start_heart=True)
        except tooz.ToozError as error:
            raise _unavailable() from error

    def take(self, name: str) -> Callable[[], None] | None:
        try:
            lock = self._coordinator.get_lock(name.encode())
            while lock.acquire(blocking=False):
                if _is_current(lock):
                    return lambda: _release(lock)
                lock.release()
        except tooz.ToozError as error:
            raise _unavailable() from error
        # The file driver keeps the file of a lock that it did not get open.
        file = getattr(_file_lock(lock), "lockfile", None)
        if file is not None:
            file.close()
        return None

    def close(self) -> None:
        with contextlib.suppress(tooz.ToozError):
            self._coordinator.stop()


class _Sessions:
    """Locks that database servers give to sessions. One session a lock: its end, by whatever death, frees the lock."""

    def __init__(self, connect: Callable[[], Any], take: Callable[[Any, str], bool], error: type[Exception]) -> None:
        self._connect = connect
        self._take = take
        self._error = error
        self._open().close()

    def take(self, name: str) -> Callable[[], None] | None:
        session = self._open()
        taken = False
        try:
            taken = self._take(session, name)
        except self._error as error:
            raise _unavailable() from error
        finally:
            if not taken:
                session.close()
        return session.close if taken else None

    def close(self) -> None:
        pass

    def _open(self) -> Any:
        try:
            return self._connect()
        except self._error as error:
            raise _unavailable() from error


def _server(url: str, member: str) -> _Server:
    scheme = urlsplit(url).scheme.partition("+")[0]
    if scheme == "postgresql":
        return _postgresql(url, member)
    return _mysql(url) if scheme == "mysql" else _Tooz(url, member)


def _postgresql(url: str, member: str) -> _Server:
    # Here, because the driver is installed only where PostgreSQL is used.
    import psycopg  # noqa: PLC0415

    conninfo = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))
    name = f"trove-lock-{member}"[:63]

    def connect() -> Any:
        return psycopg.connect(conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name=name)

    def take(session: Any, name: str) -> bool:
        # PostgreSQL's locks have 64-bit numbers for names.
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        return bool(session.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()[0])

    return _Sessions(connect, take, psycopg.Error)


def _mysql(url: str) -> _Server:
    parts = urlsplit(url)
    options: dict[str, Any] = {
        name: value for name, value in parse_qsl(parts.query) if name == "unix_socket" or name.startswith("ssl_")
    }

    def connect() -> Any:
        return pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.lstrip("/")) or None,
            connect_timeout=CONNECT_TIMEOUT_S,
            **options,
        )

    def take(session: Any, name: str) -> bool:
        with session.cursor() as cursor:
            # An idle session must outlive the longest operation. Names have at most 64 characters.
            cursor.execute("SET SESSION wait_timeout = 2147483")
            cursor.execute("SELECT GET_LOCK(%s, 0)", (hashlib.sha256(name.encode()).hexdigest()[:60],))
            return bool(cursor.fetchone()[0])

    return _Sessions(connect, take, pymysql.MySQLError)


def _file_lock(lock: Any) -> Any:
    """Return what the file driver locks with, None for other drivers."""
    return getattr(lock, "_lock", None)


def _is_current(lock: Any) -> bool:
    """Tell whether the file that was locked still is the one of that name: its last holder may just have removed it."""
    inner = _file_lock(lock)
    if inner is None:
        return True
    try:
        return os.path.samestat(os.fstat(inner.lockfile.fileno()), Path(os.fsdecode(inner.path)).stat())
    except FileNotFoundError:
        return False


def _release(lock: Any) -> None:
    inner = _file_lock(lock)
    if inner is not None:
        # While it is held, so that no file is left of a resource that is gone. Whoever waits for the old one tries again.
        Path(os.fsdecode(inner.path)).unlink(missing_ok=True)
    with contextlib.suppress(tooz.ToozError):
        lock.release()


def _unavailable() -> errors.Unavailable:
    # Without the driver's words: they may name the server's account.
    return errors.Unavailable("The lock service does not answer now; try again.")
