"""What every lock server must keep, tried with a real second process."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trove.workflow.locks import Lock, Locks

ROOT = Path(__file__).parents[2]


@contextmanager
def holder(url: str, name: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.lock_holder"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{url} {name}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def the_death_of_the_holder_frees_the_lock(url: str) -> None:
    """Kill a holder with SIGKILL; the lock is free soon after."""
    locks = Locks(url, "tester")
    try:
        with holder(url, "resource-1") as process:
            assert locks.try_lock("resource-1") is None
            with _taken(locks, "resource-2"):
                pass
            process.kill()
            process.wait()
            deadline = time.monotonic() + 10
            lock = locks.try_lock("resource-1")
            while lock is None and time.monotonic() < deadline:
                time.sleep(0.05)
                lock = locks.try_lock("resource-1")
            assert lock is not None
            lock.release()
            lock.release()
    finally:
        locks.close()


def a_lock_is_held_once_whoever_asks(url: str) -> None:
    """Threads of one process and other members are refused alike; a released lock can be taken again."""
    locks, other = Locks(url, "one"), Locks(url, "two")
    try:
        with _taken(locks, "a"):
            assert locks.try_lock("a") is None
            assert other.try_lock("a") is None
            found: list[Lock | None] = []
            thread = threading.Thread(target=lambda: found.append(locks.try_lock("a")))
            thread.start()
            thread.join()
            assert found == [None]
            with _taken(other, "b"):
                assert locks.try_lock("b") is None
        with _taken(other, "a"), _taken(locks, "b"):
            pass
    finally:
        locks.close()
        other.close()


def _taken(locks: Locks, name: str) -> Lock:
    lock = locks.try_lock(name)
    assert lock is not None, name
    return lock
