"""Locks by name, on one machine or many, that the death of their holder frees.

tooz does the work, but for PostgreSQL: its driver for that is deprecated, and makes do with 65536 different locks.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

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

    `url` is tooz's: `file:///dir` (one machine), `mysql://user:password@host/database`, `etcd3+http://…`, `redis://…`; or
    `postgresql://user:password@host/database`. Raises `Unavailable` when the server cannot be reached, also from `try_lock`.
    """

    def __init__(self, url: str, member: str) -> None:
        self._guard = threading.Lock()
        self._held: set[str] = set()
        self._server: _Server = (_PostgreSql if url.startswith("postgresql://") else _Tooz)(url, member)

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
            if lock.acquire(blocking=False):
                return lambda: _release(lock)
        except tooz.ToozError as error:
            raise _unavailable() from error
        # The file driver keeps the file of a lock that it did not get open.
        file = getattr(getattr(lock, "_lock", None), "lockfile", None)
        if file is not None:
            file.close()
        return None

    def close(self) -> None:
        with contextlib.suppress(tooz.ToozError):
            self._coordinator.stop()


class _PostgreSql:
    """One session a lock: its end, by whatever death, frees the lock."""

    def __init__(self, url: str, member: str) -> None:
        # Here, because the driver is installed only where PostgreSQL is used.
        import psycopg  # noqa: PLC0415

        self._error = psycopg.Error
        self._connect: Callable[[], Any] = lambda: psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name=f"trove-lock-{member}"[:63]
        )
        self._open().close()

    def take(self, name: str) -> Callable[[], None] | None:
        # PostgreSQL names its locks by 64-bit numbers.
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        session = self._open()
        taken = False
        try:
            taken = session.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()[0]
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


def _release(lock: Any) -> None:
    with contextlib.suppress(tooz.ToozError):
        lock.release()


def _unavailable() -> errors.Unavailable:
    # Without the driver's words: they may name the server's account.
    return errors.Unavailable("The lock service does not answer now; try again.")
