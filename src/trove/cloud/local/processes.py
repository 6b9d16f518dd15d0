"""The processes of one instance, found by what they cannot shed rather than by files that they could forge.

As root: everything that runs as the instance's user id, and our own helpers around it, known by a marker in their
environment. Without root: everything with the marker, its descendants and sessions, and detached programs that were given
the instance's own data, run or configuration directory.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
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
        return not self.is_wrapper and _variable(self.pid, SERVER_MARKER) is not None

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
        for pid in _pids():
            process = _read(pid)
            if process is None or pid in above:
                continue
            seen[pid] = process
            if self._belongs(process):
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

    def _belongs(self, process: Process) -> bool:
        owner = _owner(process.pid)
        if self._uid is not None:
            if owner == self._uid:
                marker = _variable(process.pid, MARKER)
                return marker == self._marker or (marker is None and self._may_serve(process))
            return owner == os.geteuid() and _variable(process.pid, MARKER) == self._marker
        if owner != os.geteuid():
            return False
        return _variable(process.pid, MARKER) == self._marker or (process.tty == 0 and self._mentioned(process))

    def _may_serve(self, process: Process) -> bool:
        """Tell whether it is not the database server of an instance of another cloud that got the same user id."""
        return _variable(process.pid, SERVER_MARKER) in {None, Path(self._marker).name}

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
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        argv = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    if fields[0] in {"Z", "X"}:
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        tty=int(fields[4]),
        start=int(fields[19]),
        name=name,
        argv=tuple(part.decode(errors="replace") for part in argv.split(b"\0")[:-1]),
    )


def _owner(pid: int) -> int | None:
    """Return the effective user id; not the owner of the /proc entry, which is root for an undumpable process."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
    return None


def _variable(pid: int, name: str) -> str | None:
    """Return a variable of a process's environment, None when it is not set or may not be read."""
    with suppress(OSError):
        for assignment in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            found, _, value = assignment.partition(b"=")
            if found == name.encode():
                return value.decode(errors="surrogateescape")
    return None
