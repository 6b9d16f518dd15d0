"""The processes of a stack: what runs, in which order, and how each is started, adopted and stopped."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trove.cmd.local import processes
from trove.cmd.local.layout import Layout, write_private
from trove.cmd.local.processes import Identity

BUS = "bus"
API = "trove-api"
TASKMANAGER = "trove-taskmanager"
CONDUCTOR = "trove-conductor"
OBJECTSTORE = "trove-objectstore"
SERVICES = (BUS, CONDUCTOR, OBJECTSTORE, TASKMANAGER, API)
"""In the order of starting, with one task manager."""

PROBE_S = 1.0

_NAME = "TROVE_LOCAL_SERVICE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process to keep running. `socket` is the Unix socket that answers once it is ready, None when nobody waits for it.

    After `watchdog_s` seconds without a sign of life it is killed; None leaves it alone. One with a socket is asked there, the
    others give signs of life on their own.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict, repr=False)
    socket: str | None = None
    watchdog_s: float | None = None


def taskmanagers(count: int) -> tuple[str, ...]:
    """Return the names of so many task managers."""
    return (TASKMANAGER, *(f"{TASKMANAGER}-{number}" for number in range(2, count + 1)))


def write_services(layout: Layout, services: Iterable[Service]) -> None:
    """Tell the supervisor what to run."""
    write_private(layout.services, json.dumps([asdict(service) for service in services]))


def read_services(layout: Layout) -> tuple[Service, ...]:
    """Return what the supervisor was told to run, nothing when there was no `up` yet."""
    try:
        entries = json.loads(layout.services.read_text())
    except FileNotFoundError:
        return ()
    return tuple(Service(**{**entry, "argv": tuple(entry["argv"])}) for entry in entries)


def names(layout: Layout) -> tuple[str, ...]:
    """Return the names of all services, in the order of starting; those of a stack by default when there was no `up` yet."""
    return tuple(service.name for service in read_services(layout)) or SERVICES


def running(layout: Layout, service: Service) -> Identity | None:
    """Return the service's process if it runs: by its record, else by its command line and the name it was given."""
    identity = processes.load(layout.record(service.name))
    if identity is None:
        # Task managers have the same command line.
        identity = processes.find_by_argv(service.argv, {_NAME: service.name})
        if identity is not None:
            processes.save(layout.record(service.name), identity)
    return identity


def launch(layout: Layout, service: Service) -> "subprocess.Popen[bytes]":
    """Start a service in a session of its own and record it. The caller reaps it if it lives that long."""
    manager = {_NAME: service.name, "NOTIFY_SOCKET": os.fspath(layout.notify_socket)}
    if service.watchdog_s is not None:
        manager["WATCHDOG_USEC"] = str(int(service.watchdog_s * 1e6))
    fd = os.open(layout.log_of(service.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            service.argv,
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            cwd="/",
            env={**os.environ, **manager, **service.env},
            start_new_session=True,
        )
    finally:
        os.close(fd)
    identity = processes.identify(child.pid)
    if identity is not None:
        processes.save(layout.record(service.name), identity)
    return child


def write_deaths(layout: Layout, deaths: Mapping[str, int]) -> None:
    """Record how often each service died in a row, for `status` and for an `up` that waits."""
    write_private(layout.run / "deaths.json", json.dumps(dict(deaths)))


def read_deaths(layout: Layout) -> dict[str, int]:
    """Return how often each service died in a row as the running supervisor saw it, nothing without one."""
    if processes.load(layout.supervisor) is None:
        return {}
    try:
        return {str(name): int(count) for name, count in json.loads((layout.run / "deaths.json").read_text()).items()}
    except (OSError, ValueError):
        return {}


def answers(path: str | Path) -> bool:
    """Tell whether somebody listens on the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(os.fspath(path)) == 0


def is_alive(path: str | Path) -> bool:
    """Tell whether the server on the Unix socket `path`, which speaks Redis' protocol, says anything within a second.

    The kernel takes connections for a server that hangs, too; and one that wants a password first does live.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(os.fspath(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(1) != b""
        except OSError:
            return False


def stop_services(layout: Layout, names: Sequence[str], *, grace_s: float) -> tuple[str, ...]:
    """Stop some services together and forget them. Returns the names of those that had to be killed. May run twice."""
    found: dict[str, Identity] = {}
    for service in read_services(layout):
        identity = running(layout, service) if service.name in names else None
        if identity is not None:
            found[service.name] = identity
    late = processes.stop(found.values(), grace_s=grace_s)
    for name in names:
        layout.record(name).unlink(missing_ok=True)
    return tuple(name for name, identity in found.items() if identity in late)


def stop_supervisor(layout: Layout) -> None:
    """End the supervisor, which leaves the services as they are. May run twice."""
    identity = processes.load(layout.supervisor)
    if identity is None:
        identity = processes.find_by_argv(supervisor_argv(layout))
    if identity is not None:
        processes.stop([identity], grace_s=5.0)
    layout.supervisor.unlink(missing_ok=True)


def supervisor_argv(layout: Layout) -> tuple[str, ...]:
    """Return the command line of the supervisor of this stack."""
    return (sys.executable, "-m", "trove.cmd.local.supervisor", os.fspath(layout.root))
