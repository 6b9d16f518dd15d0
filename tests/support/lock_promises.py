"""What every lock server must keep, tried with a real second process."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.standstill import go_on, stand_still

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


def a_lock_is_taken_from_one_that_was_stopped(url: str) -> None:
    """Stop a holder; its lock is broken only when its time is over. Woken up and ended, it does not free its successor's."""
    locks, other = Locks(url, "tester"), Locks(url, "other")
    try:
        with holder(url, "resource") as process:
            stand_still(process.pid)
            assert not locks.break_lock("resource", lambda: False)
            assert locks.try_lock("resource") is None
            assert locks.break_lock("resource", lambda: True)
            with _taken(locks, "resource"):
                go_on(process.pid)
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("release\n")
                process.stdin.flush()
                assert process.stdout.readline() == "released\n"
                assert other.try_lock("resource") is None
                # One of this process is released, not broken.
                assert not locks.break_lock("resource", lambda: True)
            assert locks.break_lock("resource", lambda: True)
            with _taken(other, "resource"):
                pass
    finally:
        locks.close()
        other.close()


def only_the_hold_that_was_judged_is_broken(url: str) -> None:
    """While its leases are looked at the holder lets go, and another takes the lock: that one keeps it."""
    locks, other, judge = Locks(url, "tester"), Locks(url, "other"), Locks(url, "judge")
    try:
        first = _taken(locks, "resource")
        taken: list[Lock] = []

        def meanwhile() -> bool:
            first.release()
            taken.append(_taken(other, "resource"))
            return True

        judge.break_lock("resource", meanwhile)
        assert judge.try_lock("resource") is None
        taken[0].release()
        with _taken(judge, "resource"):
            pass
    finally:
        for each in (locks, other, judge):
            each.close()


def _taken(locks: Locks, name: str) -> Lock:
    lock = locks.try_lock(name)
    assert lock is not None, name
    return lock
