"""The frame of a service: signals, waiting for parts that are away, and lines that tell how long the start took."""

import contextlib
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from oslo_config import cfg

from trove.cmd import logs
from trove.cmd.notify import Listener, Notifier
from trove.config import opts
from trove.core.errors import TroveError, Unavailable

LOG = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_WAIT_S = 5.0


class StoppedError(Exception):
    """The service was told to stop before it was ready."""


class Signals:
    """SIGTERM and SIGINT mean stop, SIGHUP means re-read the logging. For the main thread.

    `notifier` speaks the other way: it tells whoever manages this process that it is ready and alive.
    """

    def __init__(self) -> None:
        self.notifier = Notifier()
        self.stopped = False
        self._reread = False
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def fileno(self) -> int:
        """Return what becomes readable when a signal came, for an event loop; `wait(0)` then takes it."""
        return self._reader

    def wait(self, seconds: float | None = None, *others: Listener) -> bool:
        """Wait for a signal or for something to read from `others`, at most so long; return whether to stop."""
        if not self.stopped and not self._reread:
            awaited: list[int | Listener] = [self._reader, *others]
            select.select(awaited, [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 512)
        return self.stopped

    def run(self, *, reread: Callable[[], None]) -> None:
        """Return once the service must stop; call `reread` on each SIGHUP, and tell the manager that the service is alive."""
        while not self.wait(self.notifier.interval_s):
            self.notifier.tell_alive()
            if self.take_hang_up():
                reread()
        self.notifier.tell_stopping()

    def take_hang_up(self) -> bool:
        """Tell whether SIGHUP came since the last call."""
        came, self._reread = self._reread, False
        return came

    def _stop(self, *_: Any) -> None:
        self.stopped = True

    def _hang_up(self, *_: Any) -> None:
        self._reread = True


def run(service: str, description: str, serve: Callable[[Any, Signals, float], None], argv: Sequence[str] | None) -> int:
    """Read the configuration, start the logging and call `serve(conf, signals, began)`; return the exit code."""
    began = time.monotonic()
    signals = Signals()
    conf = configured(service, description, argv)
    return guarded(service, lambda: serve(conf, signals, began))


def configured(service: str, description: str, argv: Sequence[str] | None) -> Any:
    """Return the configuration that the command line names, with the logging started."""
    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, sys.argv[1:] if argv is None else argv, prog=service, description=description)
    logs.start(conf)
    return conf


def until_there(what: str, attempt: Callable[[], T], signals: Signals) -> T:
    """Return what `attempt` returns, trying again while it raises `Unavailable`. Raises `StoppedError` when told to stop."""
    pause = 0.1
    while True:
        if signals.stopped:
            raise StoppedError
        signals.notifier.tell_waiting(what)
        try:
            return attempt()
        except Unavailable as error:
            LOG.warning("%s is away, trying again in %.1f s: %s", what, pause, error.message)
        signals.wait(pause)
        pause = min(pause * 2, LONGEST_WAIT_S)


def say_ready(service: str, began: float, detail: str, signals: Signals) -> None:
    """Log that the service is ready, and tell its manager. `began` is `time.monotonic()` at its start."""
    LOG.info("%s is ready after %.2f s: %s", service, time.monotonic() - began, detail)
    signals.notifier.tell_ready()


def guarded(service: str, main: Callable[[], None]) -> int:
    """Run a service; return its exit code: 0 when it was stopped, 1 with the reason logged when it cannot work."""
    try:
        main()
    except StoppedError:
        LOG.info("%s was stopped before it was ready", service)
    except TroveError as error:
        LOG.critical("%s cannot work: %s", service, error.message)
        return 1
    LOG.info("%s stopped", service)
    return 0
