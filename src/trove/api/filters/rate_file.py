"""Counters of requests in a file that all API processes of one host map into their memory.

A table of fixed size, in groups of slots; a full group forgets the key that was silent for longest. Groups are locked with
POSIX record locks, which the kernel takes from a process that dies: `kill -9` at any moment leaves at most one wrong count, for
two minutes.
"""

import errno
import fcntl
import hashlib
import mmap
import os
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trove.api.filters.rate_windows import PERIOD_S, Window

GROUPS = 4096
SLOTS = 8
LOCK_TIMEOUT_S = 0.1
"""A holder needs microseconds. One that was stopped in the middle must not hold up the others' requests."""

_LOCK_PAUSE_S = 0.0005
_SLOT = struct.Struct("=16sQII")  # digest of the key, number of the minute, count of the minute before it, count of it
_FIELDS = 4
_GROUP = struct.Struct("=" + "16sQII" * SLOTS)
SIZE = GROUPS * _GROUP.size


class RateFile:
    """The counters in `path`, which is made when it is absent; without a path they are this process's alone.

    Thread-safe; each process opens the file for itself, after forking.

    Raises OSError when the file cannot be made or is not ours alone, and TimeoutError when a lock cannot be had.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._threads = threading.Lock()
        if path is None:
            self._fd = os.memfd_create("trove-rates")
        else:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(self._fd)
            if path is not None and (not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077):
                raise PermissionError(errno.EPERM, "it is not a file of this user alone", str(path))
            # Reserved, for a write to a page that finds no room would end the process. May run twice.
            os.posix_fallocate(self._fd, 0, SIZE)
            self._map = mmap.mmap(self._fd, SIZE)
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._fd)

    def take(self, key: str, limit: int) -> bool:
        """Count one request of `key` if fewer than `limit` count now; return whether it was."""
        digest, group = _place(key)
        with self._locked(group):
            now = time.time()
            slot, previous, current = self._find(group, digest, int(now / PERIOD_S))
            if _window(previous, current, now).used >= limit:
                return False
            _SLOT.pack_into(self._map, slot, digest, int(now / PERIOD_S), previous, current + 1)
            return True

    def look(self, key: str) -> Window:
        """Return the counters of `key`."""
        digest, group = _place(key)
        with self._locked(group):
            now = time.time()
            _, previous, current = self._find(group, digest, int(now / PERIOD_S))
            return _window(previous, current, now)

    def _find(self, group: int, digest: bytes, minute: int) -> tuple[int, int, int]:
        """Return where the key's slot is, or will be, and its counts as of `minute`."""
        fields = _GROUP.unpack_from(self._map, group)
        digests = fields[::_FIELDS]
        if digest not in digests:
            minutes = fields[1::_FIELDS]
            return group + minutes.index(min(minutes)) * _SLOT.size, 0, 0
        index = digests.index(digest)
        stored, previous, current = fields[index * _FIELDS + 1 : (index + 1) * _FIELDS]
        slot = group + index * _SLOT.size
        if stored == minute:
            return slot, previous, current
        # A minute that is still to come was written by a clock that has been set back since: it counts nothing.
        return slot, current if stored == minute - 1 else 0, 0

    @contextmanager
    def _locked(self, group: int) -> Iterator[None]:
        # The kernel's lock is the whole process's, so its threads need one of their own.
        if not self._threads.acquire(timeout=LOCK_TIMEOUT_S):
            raise TimeoutError("the counters are locked by a thread that does not let go")
        try:
            self._lock(group)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, _GROUP.size, group)
        finally:
            self._threads.release()

    def _lock(self, group: int) -> None:
        deadline = None
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, _GROUP.size, group)
            except (BlockingIOError, PermissionError):
                now = time.monotonic()
                deadline = deadline or now + LOCK_TIMEOUT_S
                if now > deadline:
                    raise TimeoutError("the counters are locked by a process that does not let go") from None
                time.sleep(_LOCK_PAUSE_S)
            else:
                return


def _place(key: str) -> tuple[bytes, int]:
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return digest, int.from_bytes(digest[:4], "big") % GROUPS * _GROUP.size


def _window(previous: int, current: int, now: float) -> Window:
    left = PERIOD_S - now % PERIOD_S
    return Window(previous=previous, previous_left_s=left, current=current, current_left_s=left)
