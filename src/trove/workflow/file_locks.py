"""Locks of one machine: files that the kernel locks for a process, and unlocks when it dies.

A lock that was broken is a file that was removed while it was locked: its holder keeps the old file, the next one makes a
new one. Whoever locks a file therefore looks whether it still is the one of that name, and whoever removes one does so only
while the name means that very file. Both are two steps, so removing takes turns by means of one more locked file.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trove.core import errors

TURN_FILE = ".removing"
TURN_TIMEOUT_S = 1.0
TURN_PAUSE_S = 0.002


def server(url: str) -> "FileLocks":
    """Return the locks in the directory of `file:///directory`, which is made when it is missing."""
    return FileLocks(Path(unquote(urlsplit(url).path)))


class FileLocks:
    """Locks in a directory of a file system of this machine (`trove.workflow.locks.LockServer`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with _translated():
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self, name: str) -> Callable[[], None] | None:
        """Lock the file; None when another one has it."""
        path = self._directory / name
        with _translated():
            while (file := _locked(path)) is not None:
                if _identity(file) == _identity(path):
                    return lambda: self._release(path, file)
                os.close(file)
        return None

    def holder(self, name: str) -> str | None:
        """Return which file has that name now: each hold has a file of its own."""
        with _translated():
            return _identity(self._directory / name)

    def break_(self, name: str, holder: str) -> bool:
        """Remove the file; False when somebody else was removing one all the time."""
        with _translated():
            return self._remove(self._directory / name, holder)

    def close(self) -> None:
        """Do nothing: there is nothing to leave."""

    def _release(self, path: Path, file: int) -> None:
        # While it is locked, so that no file is left of a resource that is gone. One that could not be removed is taken again.
        try:
            self._remove(path, _identity(file))
        finally:
            os.close(file)

    def _remove(self, path: Path, identity: str | None) -> bool:
        with self._turn() as mine:
            if mine and identity is not None and _identity(path) == identity:
                path.unlink(missing_ok=True)
            return mine

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Have the only right to remove files here; yields False when a process that was stopped there keeps it."""
        until = time.monotonic() + TURN_TIMEOUT_S
        while (file := _locked(self._directory / TURN_FILE)) is None and time.monotonic() < until:
            time.sleep(TURN_PAUSE_S)
        try:
            yield file is not None
        finally:
            if file is not None:
                os.close(file)


def _locked(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return None
        raise
    return file


def _identity(file: Path | int) -> str | None:
    """Return what tells a file from all others, also from a later one with its number; None when it does not exist."""
    try:
        found = os.fstat(file) if isinstance(file, int) else file.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_dev}:{found.st_ino}:{found.st_ctime_ns}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.Unavailable(f"The lock files cannot be used now: {error.strerror}.") from error
