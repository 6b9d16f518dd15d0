"""The processes of one instance, found by what they cannot shed rather than by files that they could forge.

As root: everything that runs as the instance's user id, and our own helpers around it, known by a marker in their
environment. Without root: everything with the marker, its descendants and sessions, and detached programs that were given
the instance's own data, run or configuration directory.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trove.core.errors import Unavailable

MARKER = "TROVE_INSTANCE"
"""Environment variable of supervisors and agents, which names the server directory of the instance."""

SERVER_MARKER = "TROVE_SERVER_OF"
"""Environment variable that the guest agent gives to the database server: the id of the instance."""

_WRAPPERS = frozenset({"bwrap", "setpriv", "flock", "setsid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. `start` is its start time in clock ticks since boot, which with `pid` makes it unique."""

    pid: int
    parent: int
    session: int
    tty: int
    start: int
    name: str
    argv: tuple[str, ...]

    @property
    def is_wrapper(self) -> bool:
        """Tell whether it only holds another program: signalling it would kill that one uncleanly."""
        return self.name in _WRAPPERS

    @property
    def is_database_server(self) -> bool:
        """Tell whether the guest agent started it as the database server."""
        return not self.is_wrapper and SERVER_MARKER in _environment(self.pid)

    def age_s(self) -> float:
        """Return for how many seconds it has lived."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start / os.sysconf("SC_CLK_TCK")


class ProcessSet:
    """All processes of one instance. `uid` is None when the instance has no user of its own."""

    def __init__(self, *, marker: Path, uid: int | None, paths: Sequence[Path] = ()) -> None:
        self._marker = str(marker)
        self._uid = uid
        self._paths = tuple(str(path) for path in paths)

    def members(self) -> tuple[Process, ...]:
        """Return the living processes, oldest first; a zombie is not alive, and neither the caller nor its ancestors count."""
        seen: dict[int, Process] = {}
        chosen: dict[int, Process] = {}
        above = _ancestry()
        for pid in set(_pids()) - above:
            owner = _owner(pid)
            environment = _environment(pid) if owner in {self._uid, os.geteuid()} else {}
            if self._uid is not None and owner != self._uid and environment.get(MARKER) != self._marker:
                continue  # the most, and not worth another look
            process = _read(pid)
            if process is None:
                continue
            seen[pid] = process
            if self._belongs(process, owner, environment):
                chosen[pid] = process
        if self._uid is None:
            _add_kin(chosen, seen)
        return tuple(sorted(chosen.values(), key=lambda process: process.start))

    def signal(self, processes: Iterable[Process], number: int) -> None:
        """Send a signal to each of them that is still the same process."""
        for process in processes:
            with suppress(ProcessLookupError, PermissionError):
                handle = os.pidfd_open(process.pid)
                try:
                    now = _read(process.pid)
                    if now is not None and now.start == process.start:
                        signal.pidfd_send_signal(handle, number)
                finally:
                    os.close(handle)

    def kill(self, *, timeout_s: float = 15.0) -> None:
        """Kill all of them until none is left; raises `Unavailable` naming those that survive `timeout_s`. May run twice."""

        def gone() -> bool:
            left = self.members()
            self.signal(left, signal.SIGKILL)
            return not left

        if not wait_until(gone, timeout_s):
            pids = ", ".join(f"{process.pid} ({process.name})" for process in self.members())
            raise Unavailable(f"Processes cannot be killed: {pids}.")

    def _belongs(self, process: Process, owner: int | None, environment: Mapping[str, str]) -> bool:
        marked = environment.get(MARKER) == self._marker
        if self._uid is None:
            return marked or (owner == os.geteuid() and process.tty == 0 and self._mentioned(process))
        # Not the database server of an instance of another cloud that got the same user id.
        ours = MARKER not in environment and environment.get(SERVER_MARKER) in {None, Path(self._marker).name}
        return marked or (owner == self._uid and ours)

    def _mentioned(self, process: Process) -> bool:
        return any(path in argument for path in self._paths for argument in process.argv)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `condition` holds; tell whether it did within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    pause = 0.005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return True


def _add_kin(chosen: dict[int, Process], seen: dict[int, Process]) -> None:
    grown = True
    while grown:
        own_sessions = {process.session for process in chosen.values() if process.session in chosen}
        kin = {
            pid: process
            for pid, process in seen.items()
            if pid not in chosen and (process.parent in chosen or process.session in own_sessions)
        }
        chosen.update(kin)
        grown = bool(kin)


def _ancestry() -> frozenset[int]:
    """Return the pids of the caller and all that it descends from."""
    pids = {os.getpid()}
    parent = os.getppid()
    while parent > 0 and parent not in pids:
        pids.add(parent)
        above = _read(parent)
        parent = 0 if above is None else above.parent
    return frozenset(pids)


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _read(pid: int) -> Process | None:
    text = _content(pid, "stat").decode(errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    if not fields or fields[0] in {"Z", "X"}:
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        tty=int(fields[4]),
        start=int(fields[19]),
        name=name,
        argv=tuple(part.decode(errors="replace") for part in _content(pid, "cmdline").split(b"\0")[:-1]),
    )


def _owner(pid: int) -> int | None:
    """Return the effective user id; not the owner of the /proc entry, which is root for an undumpable process."""
    _, _, ids = _content(pid, "status").partition(b"\nUid:")
    return int(ids.split(maxsplit=2)[1]) if ids else None


def _environment(pid: int) -> Mapping[str, str]:
    """Return the environment that a process was started with; empty when it may not be read."""
    pairs = (entry.partition("=") for entry in os.fsdecode(_content(pid, "environ")).split("\0"))
    return {name: value for name, _, value in reversed(tuple(pairs))}


def _content(pid: int, name: str) -> bytes:
    """Return a small file of a process, empty when it is gone or closed to us. Hundreds are read for one question."""
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
