"""Mounts as the kernel knows them, and the two that need no program."""

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

_MS_BIND = 4096
_MS_SHARED = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the kernel's mount table."""

    point: str
    shared: bool


def mounts() -> tuple[Mount, ...]:
    """Return the mounts that this process sees."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        optional = fields[6 : fields.index("-")]
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        found.append(Mount(point=point, shared=any(tag.startswith("shared:") for tag in optional)))
    return tuple(found)


def is_mounted(point: Path) -> bool:
    """Tell whether something is mounted on exactly this directory."""
    wanted = str(point.resolve())
    return any(entry.point == wanted for entry in mounts())


def propagates(directory: Path) -> bool:
    """Tell whether other mount namespaces see what is mounted and unmounted below a directory from now on."""
    path = str(directory.resolve())
    here = [entry for entry in mounts() if path == entry.point or path.startswith(entry.point.rstrip("/") + "/")]
    deepest = max(here, key=lambda entry: len(entry.point), default=None)
    return deepest is not None and deepest.shared


def share(directory: Path) -> None:
    """Make a directory a mount that propagates. May run twice. Raises `OSError`."""
    if not is_mounted(directory):
        _mount(directory, directory, _MS_BIND)
    _mount(None, directory, _MS_SHARED)


def _mount(source: Path | None, target: Path, flags: int) -> None:
    """Call mount(2): these two calls are on the way of every first server, and the program takes ten milliseconds each."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None if source is None else os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
