"""The supervisor of a stack: keeps its services running, adopts those it finds running, and may itself die at any moment.

A service that hangs is killed and started again as one that died.

SIGTERM ends the supervisor only: services go on (`trove-local down` stops them). `python -m trove.cmd.local.supervisor DIR`.
"""

import fcntl
import logging
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trove.cmd.local import processes, services
from trove.cmd.local.layout import Layout
from trove.cmd.local.processes import Identity
from trove.cmd.local.services import Service
from trove.cmd.local.watchdog import Watchdog

LOG = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 10.0
STEADY_S = 5.0
READY_S = 15.0
KILL_S = 5.0


def restart_delay(deaths: int) -> float:
    """Return the seconds to wait before the restart after that many deaths in a row: doubling, bounded, with jitter."""
    longest = min(LAST_DELAY_S, FIRST_DELAY_S * float(2 ** min(deaths - 1, 10)))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads restarts, guards nothing


@dataclass(slots=True, kw_only=True)
class _Kept:
    """A service under supervision. `due` is the monotonic time of its next start, None while it runs."""

    service: Service
    identity: Identity | None = None
    child: "subprocess.Popen[bytes] | None" = None
    began: float = 0.0
    deaths: int = 0
    due: float | None = None


class Supervisor:
    """Keeps services running until told to stop. One thread."""

    def __init__(self, layout: Layout, wanted: Sequence[Service]) -> None:
        self._layout = layout
        self._kept = [_Kept(service=service) for service in wanted]
        self._watchdog = Watchdog(layout.notify_socket)
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Start or adopt every service in order, then restart whatever dies until `stop`."""
        self._tell()
        for kept in self._kept:
            if self._stopping:
                return
            self._adopt_or_start(kept)
            self._await_socket(kept)
        while not self._stopping:
            self._wait()
            self._watchdog.listen()
            for kept in self._kept:
                self._look(kept)

    def stop(self, *_: object) -> None:
        """End `run` soon, leaving the services as they are; a signal handler."""
        self._stopping = True
        with suppress(OSError):
            os.write(self._wake_write, b"x")

    def _adopt_or_start(self, kept: _Kept) -> None:
        kept.identity = services.running(self._layout, kept.service)
        kept.began = time.monotonic()
        if kept.identity is not None:
            self._watchdog.begin(kept.identity)
            LOG.info("%s runs already as pid %d", kept.service.name, kept.identity.pid)
        else:
            self._start(kept)

    def _await_socket(self, kept: _Kept) -> None:
        path = kept.service.socket
        if path and not processes.wait_until(lambda: self._stopping or services.answers(path), READY_S):
            LOG.error("%s does not answer on %s after %g s", kept.service.name, path, READY_S)

    def _start(self, kept: _Kept) -> None:
        kept.began, kept.due = time.monotonic(), None
        try:
            kept.child = services.launch(self._layout, kept.service)
        except OSError:
            LOG.exception("%s cannot be started", kept.service.name)
            self._plan_restart(kept)
            return
        kept.identity = processes.identify(kept.child.pid)
        if kept.identity is not None:
            self._watchdog.begin(kept.identity)
        LOG.info("%s started as pid %d", kept.service.name, kept.child.pid)

    def _look(self, kept: _Kept) -> None:
        if kept.due is not None:
            if time.monotonic() >= kept.due:
                self._start(kept)
            return
        if kept.identity is not None and processes.is_alive(kept.identity):
            if complaint := self._watchdog.complaint(kept.service, kept.identity):
                LOG.error("%s (pid %d) %s and is killed", kept.service.name, kept.identity.pid, complaint)
                processes.kill_session(kept.identity)
                processes.wait_gone([kept.identity], KILL_S)
            elif kept.deaths and time.monotonic() - kept.began > STEADY_S:
                kept.deaths = 0
                self._tell()
            return
        code = kept.child.wait() if kept.child is not None else None
        LOG.warning("%s ended%s", kept.service.name, "" if code is None else f" with {describe_exit(code)}")
        if kept.identity is not None:
            processes.kill_session(kept.identity)
            self._watchdog.end(kept.identity)
        self._layout.record(kept.service.name).unlink(missing_ok=True)
        self._plan_restart(kept)

    def _plan_restart(self, kept: _Kept) -> None:
        kept.identity, kept.child = None, None
        kept.deaths += 1
        kept.due = time.monotonic() + restart_delay(kept.deaths)
        self._tell()

    def _tell(self) -> None:
        services.write_deaths(self._layout, {kept.service.name: kept.deaths for kept in self._kept})

    def _wait(self) -> None:
        now = time.monotonic()
        timeout = min([0.5, *(max(0.0, kept.due - now) for kept in self._kept if kept.due is not None)])
        alive = [kept.identity for kept in self._kept if kept.identity is not None]
        with processes.watch(alive) as poller:
            poller.register(self._wake_read, select.POLLIN)
            poller.register(self._watchdog.fileno(), select.POLLIN)
            poller.poll(timeout * 1000)


def _detach_output(log: Path) -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd, onto in ((nowhere, 0), (output, 1), (output, 2)):
        os.dup2(fd, onto)
    os.close(nowhere)
    os.close(output)


def describe_exit(code: int) -> str:
    """Return an exit code in words: `exit code 1` or `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def main(argv: Sequence[str] | None = None) -> int:
    """Become the supervisor of the stack in the given directory: 0 in the parent once it is at work, 1 if there is one."""
    layout = Layout(root=Path((argv or sys.argv[1:])[0]))
    lock = os.open(layout.run / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("another supervisor is at work", file=sys.stderr)
        return 1
    if os.fork():
        return 0
    os.setsid()
    _detach_output(layout.log_of("supervisor"))
    identity = processes.identify(os.getpid())
    if identity is not None:
        processes.save(layout.supervisor, identity)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    supervisor = Supervisor(layout, services.read_services(layout))
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        supervisor.run()
    except Exception:
        LOG.exception("supervisor failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
