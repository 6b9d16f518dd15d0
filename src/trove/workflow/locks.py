"""Locks by name, on one machine or many, that the death of their holder frees, and that can be taken from one that hangs."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit

from trove.workflow import file_locks, session_locks, tooz_locks


class Lock:
    """A lock that is held. Release it with `release`, or by using it as a context manager."""

    def __init__(self, name: str, release: Callable[[], None]) -> None:
        self.name = name
        self._release = release
        self._once = threading.Lock()

    def release(self) -> None:
        """Let go. May run twice, in any thread. A lock that was broken, or whose server is out of reach, is lost anyway."""
        if self._once.acquire(blocking=False):
            self._release()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class LockServer(Protocol):
    """What keeps the locks of all processes."""

    def take(self, name: str) -> Callable[[], None] | None:
        """Return what releases the lock, and only this hold of it; None when it is held."""

    def holder(self, name: str) -> str | None:
        """Return a word for the present hold of a lock, another one for each hold; None when it is free."""

    def break_(self, name: str, holder: str) -> bool:
        """Free a lock if `holder` still holds it; return whether somebody else may try now. Its holder is not told."""

    def close(self) -> None:
        """Leave the server."""


class Locks:
    """Locks for one process. Thread-safe. `member` names the process among the others.

    `url`: `file:///dir` (one machine); `mysql://…` or `postgresql://user:password@host/database` (that of the state database
    will do); `etcd3+http://…` or `redis://…`. Raises `Unavailable` when the server is out of reach, also from `try_lock` and
    `break_lock`. A server that restarts forgets who held what, and a lock can be broken: what it guards needs a fence besides.
    """

    def __init__(self, url: str, member: str) -> None:
        self._guard = threading.Lock()
        self._held: set[str] = set()
        self._server = _server(url, member)

    def try_lock(self, name: str) -> Lock | None:
        """Take the lock `name` and return it; None when another thread, process or machine holds it."""
        with self._guard:
            if name in self._held:
                return None
            self._held.add(name)
        release = None
        try:
            release = self._server.take(_full(name))
        finally:
            if release is None:
                self._forget(name)
        return None if release is None else Lock(name, lambda: self._let_go(name, release))

    def break_lock(self, name: str, when: Callable[[], bool]) -> bool:
        """Take the lock `name` away from another process if `when()` says that its holder's time is over.

        `when` is asked after the holder was identified, and no other hold than that one is broken. Returns whether it may be
        tried again now. False also for a lock that a thread of this process holds: it can be released instead. The former
        holder is not told; its release does not harm the next holder.
        """
        with self._guard:
            if name in self._held:
                return False
        holder = self._server.holder(_full(name))
        if holder is None:
            return True
        return when() and self._server.break_(_full(name), holder)

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


def _full(name: str) -> str:
    return f"trove-{name}"


def _server(url: str, member: str) -> LockServer:
    scheme = urlsplit(url).scheme.partition("+")[0]
    if scheme == "file":
        return file_locks.server(url)
    if scheme == "postgresql":
        return session_locks.postgresql(url, member)
    return session_locks.mysql(url) if scheme == "mysql" else tooz_locks.server(url, member)
