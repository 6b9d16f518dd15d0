"""What the kernel says of the database server's process and of the machine, in the words of the management API."""

import os
from contextlib import suppress
from pathlib import Path

from trove.core.errors import GuestError
from trove.core.json import JSON

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

_FIELDS = {
    "threads": "Threads",
    "fdSize": "FDSize",
    "vmSize": "VmSize",
    "vmPeak": "VmPeak",
    "vmRss": "VmRSS",
    "vmHwm": "VmHWM",
}


def diagnostics(pid: int | None, version: str | None) -> dict[str, JSON]:
    """Return figures of a process: sizes in KiB, counts of threads and of slots for files. Raises `GuestError` without one."""
    if pid is None:
        raise GuestError("The database server does not run.")
    try:
        told = _fields((_PROC / str(pid) / "status").read_text())
    except OSError:
        raise GuestError("The database server has just ended.") from None
    return {"version": version or "unknown", **{name: _number(told[field]) for name, field in _FIELDS.items()}}


def hardware() -> dict[str, JSON]:
    """Return the memory (KiB) that the agent and its server may use, and the number of processors."""
    total = _number(_fields((_PROC / "meminfo").read_text())["MemTotal"])
    return {"mem_total": min([total, *_memory_limits()]), "num_cpus": len(os.sched_getaffinity(0))}


def _memory_limits() -> list[int]:
    """Return the limits (KiB) of our control groups, of version 1 or 2."""
    limits = []
    for line in (_PROC / "self/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        folder, name = (_CGROUPS, "memory.max") if not kinds else (_CGROUPS / kinds, "memory.limit_in_bytes")
        if kinds in {"", "memory"}:
            with suppress(OSError, ValueError):  # missing, or `max`
                limits.append(int((folder / path.lstrip("/") / name).read_text()) // 1024)
    return limits


def _fields(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _number(text: str) -> int:
    return int(text.split(maxsplit=1)[0])
