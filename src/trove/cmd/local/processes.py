"""Processes that outlive the one that started them: found again by pid and start time, never by name.

A pid alone may have been given to somebody else, so every record also holds the kernel's start time and the boot id.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from trove.guestagent.processes import Identity, identify, is_alive

# Told apart as the guest agent tells them apart.
__all__ = ["Identity", "identify", "is_alive"]

PROC = Path("/proc")


def save(path: Path, identity: Identity) -> None:
    """Record `identity` in `path`, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(identity)))
    temporary.rename(path)


def load(path: Path) -> Identity | None:
    """Return the process recorded in `path` if it still runs, else None."""
    try:
        identity = Identity(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return identity if is_alive(identity) else None


def find_by_argv(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Identity | None:
    """Return the session leader that runs exactly `argv`: the way back to a process whose record was lost.

    With `environ`, it was started with these variables, too.
    """
    wanted = b"\0".join(word.encode() for word in argv) + b"\0"
    pairs = {f"{name}={value}".encode() for name, value in (environ or {}).items()}
    for pid in _pids():
        with suppress(OSError):
            if (
                (PROC / str(pid) / "cmdline").read_bytes() == wanted
                and os.getsid(pid) == pid
                and pairs <= set((PROC / str(pid) / "environ").read_bytes().split(b"\0"))
            ):
                return identify(pid)
    return None


def is_stopped(identity: Identity) -> bool:
    """Tell whether a process stands still because of SIGSTOP or the like. One that a debugger holds does not count."""
    fields = _stat(identity.pid)
    return fields is not None and fields[0] == "T"


def session_members(identity: Identity) -> tuple[int, ...]:
    """Return the pids in the session that `identity` leads or led, itself included when it still runs.

    A session's number is not given to anybody else while it has members; a younger session of the same number is told apart
    by being led by another process.
    """
    leader = identify(identity.pid)
    if leader is not None and leader.started != identity.started:
        return ()
    members = []
    for pid in _pids():
        fields = _stat(pid)
        if fields and fields[0] not in "ZX" and int(fields[3]) == identity.pid and int(fields[19]) >= identity.started:
            members.append(pid)
    return tuple(members)


def began_at(identity: Identity) -> float:
    """Return when the process began, in Unix time, by the clock as it is set now."""
    uptime = float((PROC / "uptime").read_text().split()[0])
    return time.time() - uptime + identity.started / os.sysconf("SC_CLK_TCK")


def resident_mib(identity: Identity) -> float:
    """Return the resident memory of the whole session in MiB."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for pid in session_members(identity):
        with suppress(OSError, ValueError, IndexError):
            total += int((PROC / str(pid) / "statm").read_text().split()[1]) * page
    return round(total / 2**20, 1)


def wait_gone(identities: Collection[Identity], timeout_s: float) -> tuple[Identity, ...]:
    """Wait until all have ended; return those that have not after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    left = [one for one in identities if is_alive(one)]
    while left and time.monotonic() < deadline:
        with watch(left) as poller:
            poller.poll(min(200.0, max(1.0, (deadline - time.monotonic()) * 1000)))
        left = [one for one in left if is_alive(one)]
    return tuple(left)


def stop(identities: Collection[Identity], *, grace_s: float) -> tuple[Identity, ...]:
    """End these processes: SIGTERM, up to `grace_s` seconds, then SIGKILL for them and what is left of their sessions.

    Returns those that had to be killed. May run twice.
    """
    for one in identities:
        _signal(one, signal.SIGTERM)
    late = wait_gone(identities, grace_s)
    for one in identities:
        kill_session(one)
    wait_gone(identities, 5.0)
    return late


def kill_session(identity: Identity) -> None:
    """SIGKILL whatever is left of the session of `identity`."""
    for pid in session_members(identity):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], timeout_s: float, *, every_s: float = 0.05) -> bool:
    """Ask `condition` until it holds or `timeout_s` seconds have passed; return whether it held."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True


@contextmanager
def watch(identities: Collection[Identity]) -> Iterator[select.poll]:
    """Yield a poll object that wakes when one of the processes ends, where the kernel has pidfds (else it just times out)."""
    poller = select.poll()
    with ExitStack() as open_fds:
        for one in identities:
            with suppress(OSError):
                fd = os.pidfd_open(one.pid)
                open_fds.callback(os.close, fd)
                poller.register(fd, select.POLLIN)
        yield poller


def _signal(identity: Identity, number: signal.Signals) -> None:
    if is_alive(identity):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(identity.pid, number)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state (field 3) on: 0 state, 1 ppid, 2 pgrp, 3 session, 19 start time."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
