"""What directories take on disk while others are at work in them."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def bytes_on_disk(folder: Path, *, apart: Iterable[Path] = ()) -> int:
    """Return what the files below a directory take, but not those `apart` or below them. What vanishes meanwhile is nothing."""
    left_out = {os.fspath(each) for each in apart}
    total = 0
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if f"{place}/{name}" not in left_out]
        for file in (f"{place}/{name}" for name in names):
            if file not in left_out:
                with suppress(OSError):
                    total += os.lstat(file).st_blocks * 512
    return total
