"""Tells which process is which, so that a number used again by the kernel is never mistaken for the database server."""

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process for good: its number, when it began (clock ticks after boot) and which boot that was."""

    pid: int
    started: int
    boot: str


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> Identity | None:
    """Return who `pid` is now; None when it does not run (a zombie does not)."""
    started = _started(pid)
    return None if started is None else Identity(pid=pid, started=started, boot=boot_id())


def is_alive(identity: Identity) -> bool:
    """Tell whether this very process runs. Cheap: one small read."""
    return _started(identity.pid) == identity.started and boot_id() == identity.boot


def find_by_environment(entry: str, *, uid: int) -> Identity | None:
    """Return the oldest running process of a user whose environment holds `entry` (`NAME=value`); None when there is none.

    Sees those in every namespace below the own.
    """
    wanted = entry.encode()
    found = [
        identity
        for folder in _PROC.iterdir()
        if folder.name.isdigit()
        and wanted in _environment(folder, uid)
        and (identity := identify(int(folder.name))) is not None
    ]
    return min(found, key=lambda identity: (identity.started, identity.pid), default=None)


def _started(pid: int) -> int | None:
    try:
        with (_PROC / str(pid) / "stat").open("rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _environment(folder: Path, uid: int) -> list[bytes]:
    try:
        if folder.stat().st_uid != uid:
            return []
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
