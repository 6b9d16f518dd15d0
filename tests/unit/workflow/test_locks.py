"""Locks on one machine: files."""

import os
import threading
from pathlib import Path

import pytest

from trove.core.errors import Unavailable
from trove.workflow import file_locks
from trove.workflow.locks import Locks


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
    lock, removed = file_locks._locked, []

    def lock_too_late(path: Path) -> int | None:
        file = lock(path)
        if not removed and path.name != file_locks.TURN_FILE:
            removed.append(file)
            path.unlink()
        return file

    monkeypatch.setattr(file_locks, "_locked", lock_too_late)
    locks, other = Locks(f"file://{tmp_path}", "one"), Locks(f"file://{tmp_path}", "two")
    held = locks.try_lock("resource")
    assert held is not None
    assert removed
    # It holds the file that others will open, not the one that is gone.
    assert other.try_lock("resource") is None
    held.release()


def test_one_that_was_stopped_while_it_removed_a_file_holds_up_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_locks, "TURN_TIMEOUT_S", 0.05)
    locks, other = Locks(f"file://{tmp_path}", "one"), Locks(f"file://{tmp_path}", "two")
    turn = file_locks._locked(tmp_path / file_locks.TURN_FILE)
    assert turn is not None
    held = locks.try_lock("resource")
    assert held is not None
    assert not other.break_lock("resource", lambda: True)
    held.release()
    again = other.try_lock("resource")
    assert again is not None
    os.close(turn)
    again.release()
    assert [path.name for path in tmp_path.iterdir()] == [file_locks.TURN_FILE]


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="lock files cannot be used"):
        Locks(f"file://{tmp_path}/file/locks", "one")
