"""Locks on one machine: files."""

from pathlib import Path

from tests.support import lock_promises


def test_the_death_of_the_holder_frees_the_lock(tmp_path: Path) -> None:
    lock_promises.the_death_of_the_holder_frees_the_lock(f"file://{tmp_path}")


def test_a_lock_is_held_once_whoever_asks(tmp_path: Path) -> None:
    lock_promises.a_lock_is_held_once_whoever_asks(f"file://{tmp_path}")
