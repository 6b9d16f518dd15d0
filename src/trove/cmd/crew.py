"""Several processes of a service behind one listening socket: started, replaced when they die or hang, exchanged on SIGHUP.

The socket belongs to the process that keeps the crew. So nobody who connects is refused or reset while processes come and go:
what one of them has not accepted, the others do.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trove.cmd.notify import READY, START_ALLOWANCE_S, Listener
from trove.cmd.service import Signals, guarded

LOG = logging.getLogger(__name__)

RESTART_PAUSE_S = 1.0
RETIREMENT_S = 300.0
"""How long a process that was replaced may take to finish its requests, besides the time for idle connections."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 1.0

Work = Callable[[Any, Signals, float, socket.socket], None]
"""Serves the socket with a configuration until SIGTERM, or SIGHUP and the end of all connections; since a monotonic time."""


@dataclass(slots=True, kw_only=True)
class _Process:
    """One of the crew. `heard` is its last sign of life (monotonic); `retired` when it was told to end, 0 before."""

    generation: int
    heard: float
    ready: bool = False
    retired: float = 0.0


class Crew:
    """Keeps `workers(conf)` processes at `work`. It is to them what the service manager is to it: they tell it how they are.

    On SIGHUP `read` gives a new configuration, and processes with it take over one after the other. When it cannot be read, or
    the first such process does not come up, the old ones stay.
    """

    def __init__(self, service: str, signals: Signals, listening: socket.socket, work: Work) -> None:
        self._service = service
        self._signals = signals
        self._notifier = signals.notifier
        self._listening = listening
        self._work = work
        self._listener = Listener()
        self._processes: dict[int, _Process] = {}
        self._generation = 0
        """That of the newest configuration; processes of `_proven` have come up."""
        self._proven = 0
        self._next: Any = None
        """The configuration that is taking over, None when none is."""

    def run(self, conf: Any, workers: Callable[[Any], int], read: Callable[[], Any]) -> int:
        """Keep the crew complete until told to stop; return the exit code."""
        self._conf, self._workers = conf, workers
        # Only so that the end of a process wakes the main thread as the other signals do.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for _ in range(workers(conf)):
            self._fork(conf, self._proven)
        while not self._signals.wait(self._pause_s(), self._listener):
            self._listen()
            self._notifier.tell_alive()
            if self._signals.take_hang_up():
                self._begin_reload(read)
            self._kill_silent()
            self._bury()
            self._go_on_reloading()
        self._notifier.tell_stopping()
        for pid in self._processes:
            os.kill(pid, signal.SIGTERM)
        for pid in self._processes:
            os.waitpid(pid, 0)
        return 0

    def _pause_s(self) -> float | None:
        if any(process.retired for process in self._processes.values()):
            return min(_LOOK_EVERY_S, self._notifier.interval_s or _LOOK_EVERY_S)
        return self._notifier.interval_s

    def _serving(self, generation: int | None = None) -> list[tuple[int, _Process]]:
        """Return the processes that are not retired, of one generation or of all."""
        return [
            (pid, process)
            for pid, process in self._processes.items()
            if not process.retired and generation in {None, process.generation}
        ]

    def _listen(self) -> None:
        now = time.monotonic()
        for pid, words in self._listener.heard():
            process = self._processes.get(pid)
            if process is None:
                continue
            process.heard = now
            if READY in words:
                process.ready = True
                if sum(each.ready for _, each in self._serving()) == self._workers(self._conf):
                    self._notifier.tell_ready()
            elif not process.ready and self._next is None:
                self._notifier.tell_waiting("its processes")

    def _begin_reload(self, read: Callable[[], Any]) -> None:
        try:
            conf = read()
        except SystemExit:
            # What is wrong was printed where the start of the service prints it.
            self._give_up_reload("the configuration cannot be read")
            return
        except Exception as error:
            self._give_up_reload(f"the configuration cannot be read: {type(error).__name__}: {error}")
            return
        if (conf.bind_host, conf.bind_port) != (self._conf.bind_host, self._conf.bind_port):
            LOG.error("bind_host and bind_port change with a restart only: %s listens where it did", self._service)
        for pid, _ in self._unproven():
            self._retire(pid)  # It came too late: there is something newer.
        self._generation += 1
        self._next = conf
        LOG.info("The configuration was read again; new processes of %s take over", self._service)
        self._notifier.tell("STATUS=reloading")

    def _unproven(self) -> list[tuple[int, _Process]]:
        return [(pid, process) for pid, process in self._serving() if process.generation > self._proven]

    def _go_on_reloading(self) -> None:
        """Start the next process with the new configuration once the last one is ready, and retire an old one for it."""
        if self._next is None:
            return
        new = self._serving(self._generation)
        if any(not process.ready for _, process in new):
            return
        wanted = self._workers(self._next)
        if new:
            self._conf, self._proven = self._next, self._generation
        old = [pid for pid, process in self._serving() if process.generation < self._generation]
        for pid in old[: len(old) - max(0, wanted - len(new))] if new else ():
            self._retire(pid)
        if len(new) < wanted:
            self._fork(self._next, self._generation)
            return
        self._next = None
        LOG.info("%s was reloaded: %d new processes are at work", self._service, wanted)
        self._notifier.tell("STATUS=at work")

    def _give_up_reload(self, why: str) -> None:
        self._next = None
        LOG.critical("%s WAS NOT RELOADED, the old processes go on with the old configuration: %s", self._service, why)
        self._notifier.tell("STATUS=at work with the OLD configuration: the new one does not work, see the log")

    def _retire(self, pid: int) -> None:
        self._processes[pid].retired = time.monotonic()
        os.kill(pid, signal.SIGHUP if self._processes[pid].ready else signal.SIGTERM)

    def _kill_silent(self) -> None:
        """Kill what hangs: a part of the requests goes to it, and would wait for ever."""
        limit_s, now = self._notifier.limit_s, time.monotonic()
        for pid, process in self._processes.items():
            silent_s = now - process.heard
            if limit_s is not None and silent_s > (limit_s if process.ready else START_ALLOWANCE_S):
                LOG.error("API process %d gave no sign of life for %.0f s and is killed", pid, silent_s)
                os.kill(pid, signal.SIGKILL)
            elif process.retired and now - process.retired > self._conf.client_header_timeout + RETIREMENT_S:
                LOG.error("API process %d was replaced %.0f s ago, has not ended and is killed", pid, now - process.retired)
                os.kill(pid, signal.SIGKILL)

    def _bury(self) -> None:
        """Replace what has died, unless it was to end, or was the first to try a new configuration."""
        for pid in list(self._processes):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            process, code = self._processes.pop(pid), os.waitstatus_to_exitcode(status)
            if process.retired:
                LOG.info("API process %d ended with %d, as it was to", pid, code)
            elif process.generation > self._proven:
                self._give_up_reload(f"the first process with the new one, {pid}, ended with {code}; it has logged why")
            else:
                LOG.error("API process %d ended with %d and is replaced", pid, code)
                if not self._signals.wait(RESTART_PAUSE_S):
                    self._fork(self._conf, self._proven)

    def _fork(self, conf: Any, generation: int) -> None:
        began = time.monotonic()
        keeper = os.getpid()
        # A signal to a process that has no handlers of its own yet would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = os.fork()
        if pid:
            self._processes[pid] = _Process(generation=generation, heard=began)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._listener.close()
        os.environ["NOTIFY_SOCKET"] = self._listener.address
        if self._notifier.limit_s is not None:
            os.environ["WATCHDOG_USEC"] = str(int(self._notifier.limit_s * 1e6))
        signals = Signals()
        _end_with(keeper)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        sys.exit(guarded(self._service, lambda: self._work(conf, signals, began, self._listening)))


def _end_with(keeper: int) -> None:
    """Let the kernel send this process SIGTERM when the one that keeps the crew dies: the port must be free for the next."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != keeper:
        os.kill(os.getpid(), signal.SIGTERM)
