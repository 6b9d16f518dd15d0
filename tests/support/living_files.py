"""Reading a directory in which a server is at work: its files come and go while one looks."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def living_files(*places: Path) -> Iterator[Path]:
    """Yield the regular files at and below these places, as they were when each directory was looked at."""
    for place in places:
        if place.is_file():
            yield place
        # Neither `rglob` nor `iterdir` could be used: they fail when a directory goes while they look.
        for folder, _, names in os.walk(place):
            yield from (path for path in (Path(folder, name) for name in names) if path.is_file() and not path.is_symlink())


def contents(*places: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield these files with what they hold, but those that have gone when they are read."""
    for path in living_files(*places):
        with suppress(FileNotFoundError):
            yield path, path.read_bytes()


def bytes_on_disk(*places: Path) -> int:
    """Return what these files take on disk, in bytes."""
    total = 0
    for path in living_files(*places):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total
