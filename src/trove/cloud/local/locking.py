"""Locks between processes: the kernel drops them when their holder dies, and their files can be removed again."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trove.core.errors import Unavailable

WAIT_S = 60.0
"""How long to wait for a lock: a holder that is stopped or hangs must not make everybody wait for ever in silence."""


@contextmanager
def locked(path: Path, *, remove: bool = False, shared: bool = False, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Hold `path` against all threads and processes, or with `shared` against those that want it alone.

    With `remove` the file goes when the lock is released. Raises `Unavailable` when it cannot be had within `timeout_s`.
    """
    descriptor = _await(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout_s)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold `path` against all others if that can be had at once, and tell whether it is so."""
    try:
        descriptor = _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether a process holds `path`; a missing file is not locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _await(path: Path, how: int, timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s
    pause_s = 0.001
    while True:
        try:
            return _acquire(path, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Another process has been holding the lock {path.name} of the local cloud for more than {timeout_s:.0f} s."
                ) from None
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 1.5)


def _acquire(path: Path, how: int) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, how)
            held = os.fstat(descriptor)
            try:
                named = path.stat()
            except FileNotFoundError:
                named = None
        except BaseException:
            os.close(descriptor)
            raise
        if named is not None and (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
            return descriptor
        os.close(descriptor)
