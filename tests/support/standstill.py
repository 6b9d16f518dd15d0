"""Letting a process stand still, as if it hung, at a moment when it keeps nothing from others."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from trove.cloud.local.locking import is_locked

PATIENCE_S = 60.0


def stand_still(pid: int) -> None:
    """Stop a process, and wait until all of its threads stand still: the first to hear of it may be the last to get a CPU."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE_S
    while not all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"process {pid} does not stand still"
        time.sleep(0.001)


def go_on(pid: int) -> None:
    """Let it go on."""
    os.kill(pid, signal.SIGCONT)


def stand_still_with_empty_hands(pid: int, *, database: Path | None = None, locks: Path | None = None) -> None:
    """Stop a process outside of its transactions in an SQLite `database`, and when nobody holds a file in `locks`.

    Else nobody could write until it goes on, or touch the instance in the local cloud. Ending such a process is the business of
    trove-local's watchdog, or of an operator.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        stand_still(pid)
        if (database is None or _can_be_written(database)) and not any(is_locked(path) for path in _files(locks)):
            return
        go_on(pid)
        assert time.monotonic() < deadline, f"process {pid} always holds something"
        time.sleep(0.02)  # or it would not come any further


@contextmanager
def standing_still(pid: int, *, database: Path | None = None, locks: Path | None = None) -> Iterator[None]:
    """Stop it so for the length of a block."""
    try:
        stand_still_with_empty_hands(pid, database=database, locks=locks)
        yield
    finally:
        go_on(pid)


def _is_stopped(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] in {"T", "Z", "X"}
    except OSError:
        return True  # it has ended


def _can_be_written(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(database, timeout=0.5, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    return True


def _files(locks: Path | None) -> list[Path]:
    return [] if locks is None else list(locks.glob("*.lock"))
