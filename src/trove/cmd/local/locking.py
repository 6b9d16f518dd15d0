"""One trove-local command at a time changes a stack."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from trove.cmd.local.console import say
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.processes import wait_until


@contextmanager
def exclusive(layout: Layout, verb: str, *, timeout_s: float = 180.0) -> Iterator[None]:
    """Hold the stack's command lock; wait up to `timeout_s` seconds for another command, then raise `StackError`.

    The kernel releases the lock when its holder dies.
    """
    fd = os.open(layout.run / "command.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(fd):
            holder = os.pread(fd, 100, 0).decode(errors="replace").strip()
            say(f"waiting for another trove-local ({holder}) to finish")
            if not wait_until(lambda: _taken(fd), timeout_s):
                raise StackError(f"another trove-local ({holder}) has been at work for more than {timeout_s:g} s")
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{verb}, pid {os.getpid()}".encode(), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
