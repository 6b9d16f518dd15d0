"""Directories where a process tries what the machine can do with mounts; also those of processes that were killed meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trove.cloud.local.commands import run
from trove.cloud.local.mounts import is_mounted
from trove.cloud.local.records import make_directory, remove_tree

_PREFIX = ".probe-"
_MOUNT = "mount"


@contextmanager
def probe_directory(parent: Path) -> Iterator[Path]:
    """Yield a new directory with a place `mount` in it. It is gone afterwards, and so is what was mounted there."""
    remove_dead_probes(parent)
    home = parent / f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        make_directory(home)
        make_directory(home / _MOUNT)
        yield home
    finally:
        _remove(home)


def remove_dead_probes(parent: Path) -> None:
    """Remove the directories of processes that are no more, which were killed while they tried something."""
    for home in parent.glob(f"{_PREFIX}*-*"):
        if not Path("/proc", home.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            _remove(home)


def _remove(home: Path) -> None:
    if is_mounted(home / _MOUNT):
        run(["umount", str(home / _MOUNT)])
    if is_mounted(home / _MOUNT):
        run(["umount", "--lazy", str(home / _MOUNT)])
    remove_tree(home)
