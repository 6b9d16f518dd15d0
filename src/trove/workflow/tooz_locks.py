"""Locks of etcd and Redis, by tooz. Both end by themselves when their holder does not renew them for `lock_timeout` seconds."""

import contextlib
from collections.abc import Callable

import tooz
from tooz import coordination

from trove.core import errors


def server(url: str, member: str) -> "ToozLocks":
    """Return the locks of the server that tooz knows by `url`; `?lock_timeout=` seconds is tooz's."""
    return ToozLocks(url, member)


class ToozLocks:
    """Locks by tooz (`trove.workflow.locks.LockServer`). A thread of tooz's renews all that this process holds."""

    def __init__(self, url: str, member: str) -> None:
        try:
            self._coordinator = coordination.get_coordinator(url, member.encode())
            self._coordinator.start(start_heart=True)
        except ImportError as error:
            raise errors.InvalidInput(f"lock_url: the Python package {error.name} is missing; install it with pip.") from error
        except _foreign_errors() as error:
            raise _unavailable() from error

    def take(self, name: str) -> Callable[[], None] | None:
        """Take the lock."""
        try:
            lock = self._coordinator.get_lock(name.encode())
            taken = lock.acquire(blocking=False)
        except _foreign_errors() as error:
            raise _unavailable() from error

        def release() -> None:
            with contextlib.suppress(*_foreign_errors()):
                lock.release()

        return release if taken else None

    def holder(self, name: str) -> str | None:
        """Return the name: tooz does not tell who holds a lock."""
        return name

    def break_(self, name: str, holder: str) -> bool:
        """Delete the lock, whoever holds it."""
        try:
            self._coordinator.get_lock(name.encode()).break_()
        except _foreign_errors() as error:
            raise _unavailable() from error
        return True

    def close(self) -> None:
        """Stop renewing, and leave."""
        with contextlib.suppress(*_foreign_errors()):
            self._coordinator.stop()


def _foreign_errors() -> tuple[type[Exception], ...]:
    """Return what tooz raises, and what its driver for etcd lets through."""
    try:
        from etcd3gw.exceptions import Etcd3Exception  # noqa: PLC0415
    except ImportError:
        return (tooz.ToozError,)
    return (tooz.ToozError, Etcd3Exception)


def _unavailable() -> errors.Unavailable:
    # Without the driver's words: they may name the server's account.
    return errors.Unavailable("The lock service does not answer now; try again.")
