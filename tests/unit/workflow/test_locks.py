"""Locks on one machine: files."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support import lock_promises
from tooz.drivers.file import FileLock

from trove.workflow.locks import Locks


def test_the_death_of_the_holder_frees_the_lock(tmp_path: Path) -> None:
    lock_promises.the_death_of_the_holder_frees_the_lock(f"file://{tmp_path}")


def test_a_lock_is_held_once_whoever_asks(tmp_path: Path) -> None:
    lock_promises.a_lock_is_held_once_whoever_asks(f"file://{tmp_path}")


def test_released_locks_leave_no_files_and_never_have_two_holders(tmp_path: Path) -> None:
    inside, most = 0, 0
    taken = [0] * 6
    guard = threading.Lock()

    def contend(number: int) -> None:
        nonlocal inside, most
        locks = Locks(f"file://{tmp_path}", f"member-{number}")
        while taken[number] < 50:
            lock = locks.try_lock("contended")
            if lock is None:
                continue
            with lock:
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1
            taken[number] += 1
        locks.close()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 1
    assert [path for path in tmp_path.rglob("*") if "contended" in path.name] == []


def test_a_lock_on_a_file_that_its_last_holder_just_removed_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, removed = FileLock.acquire, []

    def acquire_too_late(lock: Any, *words: Any, **named: Any) -> bool:
        taken = bool(acquire(lock, *words, **named))
        if not removed:
            removed.append(lock)
            Path(os.fsdecode(lock._lock.path)).unlink()
        return taken

    monkeypatch.setattr(FileLock, "acquire", acquire_too_late)
    locks = Locks(f"file://{tmp_path}", "one")
    held = locks.try_lock("resource")
    assert held is not None
    # It holds the file that others will open, not the one that is gone.
    assert Path(os.fsdecode(removed[0]._lock.path)).exists()
    held.release()
    locks.close()
