"""trove-api: the REST API, served in this process, or in several forked ones."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trove.cmd import logs
from trove.cmd.notify import READY, START_ALLOWANCE_S, Listener
from trove.cmd.service import Signals, configured, guarded, say_ready, until_there
from trove.config import opts

LOG = logging.getLogger(__name__)

SERVICE = "trove-api"
DESCRIPTION = """Serve Trove's REST API (v1.0) on bind_host:bind_port. Stateless: any number of them may run.
SIGTERM: requests in hand are finished. SIGHUP: logging is configured again."""

PASTE_NAME = "trove"
RESTART_PAUSE_S = 1.0
GUESTS_AT_ONCE = 4
"""So many guest agents may hang before requests to others find no thread of `guest_call_threads`."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; return its exit code."""
    began = time.monotonic()
    signals = Signals()
    conf = configured(SERVICE, DESCRIPTION, argv)
    workers = conf.trove_api_workers or os.cpu_count() or 1
    if not _port_is_free(conf):
        return 1
    if workers == 1:
        return guarded(SERVICE, lambda: _serve(conf, signals, began))
    return _Crew(conf, workers, signals).run()


def _port_is_free(conf: Any) -> bool:
    """Find out before the workers, which share the port among themselves and would with another service too."""
    family = socket.AF_INET6 if ":" in conf.bind_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((conf.bind_host, conf.bind_port))
        except OSError as error:
            LOG.critical("%s cannot listen on %s port %d: %s", SERVICE, conf.bind_host, conf.bind_port, error.strerror)
            return False
    return True


def _serve(conf: Any, signals: Signals, began: float) -> None:
    from trove.cmd import http_server, wiring

    base = wiring.foundation(conf)
    until_there("The state database", lambda: wiring.probe_database(base.database), signals)
    bus = until_there("The bus", lambda: wiring.bus(base, SERVICE), signals)
    try:
        application = load_application(conf, bounded(conf, wiring.doors(base, bus)))
        where = f"{conf.bind_host}:{conf.bind_port}"
        http_server.serve(conf, application, signals, lambda: say_ready(SERVICE, began, f"http://{where}", signals))
    finally:
        bus.close()
        base.close()


def bounded(conf: Any, doors: Any) -> Any:
    """Return the doors with few calls at a time to one guest agent: it may hang, and the others' callers need threads, too."""
    from dataclasses import replace

    from trove.bus.bounded import BoundedCalls

    return replace(doors, bus=BoundedCalls(doors.bus, most_per_topic=max(1, conf.guest_call_threads // GUESTS_AT_ONCE)))


def load_application(conf: Any, doors: Any) -> Any:
    """Return the WSGI application of `api_paste_config`, working through `doors`."""
    from paste.deploy import loadapp

    from trove.api.app import install
    from trove.core.errors import InvalidInput

    paste = find_paste(conf)
    if paste is None:
        raise InvalidInput(f"api_paste_config: {conf.api_paste_config} cannot be found")
    install(doors, api_settings(conf))
    return loadapp(f"config:{paste}", name=PASTE_NAME)


def find_paste(conf: Any) -> Path | None:
    """Return the PasteDeploy file: as named, beside trove.conf, or in /etc/trove; None when it is in none of them."""
    named = Path(conf.api_paste_config)
    places = [named] if named.is_absolute() else [opts.config_dir(conf) / named, Path("/etc/trove") / named]
    return next((place for place in places if place.is_file()), None)


def api_settings(conf: Any) -> Any:
    """Return what operators set and the HTTP side reads."""
    from trove.api.settings import ApiSettings

    basic = conf.auth_strategy == "basic"
    return ApiSettings(
        conf=conf,
        auth=conf.auth_strategy,
        basic_user_file=Path(conf.basic_auth.user_file) if basic else None,
        basic_roles_file=Path(conf.basic_auth.roles_file) if basic else None,
        public_endpoint=conf.public_endpoint,
        max_body_bytes=conf.max_body_size,
        instances_page_size=conf.instances_page_size,
        databases_page_size=conf.databases_page_size,
        users_page_size=conf.users_page_size,
        operations_page_size=conf.operations_page_size,
        rates={
            "GET": conf.http_get_rate,
            "POST": conf.http_post_rate,
            "PUT": conf.http_put_rate,
            "DELETE": conf.http_delete_rate,
        },
    )


class _Crew:
    """Several API processes behind one port: starts them, replaces those that die or hang, passes signals on.

    It is to them what the service manager is to it: they tell it when they are ready and, where it is watched itself, that
    they are alive.
    """

    def __init__(self, conf: Any, workers: int, signals: Signals) -> None:
        self._conf = conf
        self._workers = workers
        self._signals = signals
        self._notifier = signals.notifier
        self._listener = Listener()
        self._heard: dict[int, float] = {}
        """When each process gave its last sign of life (monotonic), by pid."""
        self._ready: set[int] = set()

    def run(self) -> int:
        """Keep the crew complete until told to stop; return the exit code."""
        # Only so that the end of a process wakes the main thread as the other signals do.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for _ in range(self._workers):
            self._fork()
        while not self._signals.wait(self._notifier.interval_s, self._listener):
            self._listen()
            self._notifier.tell_alive()
            if self._signals.take_hang_up():
                logs.reread(self._conf)
                self._tell_all(signal.SIGHUP)
            self._kill_silent()
            self._replace_dead()
        self._notifier.tell_stopping()
        self._tell_all(signal.SIGTERM)
        for pid in self._heard:
            os.waitpid(pid, 0)
        return 0

    def _listen(self) -> None:
        now = time.monotonic()
        for pid, words in self._listener.heard():
            if pid not in self._heard:
                continue
            self._heard[pid] = now
            if READY not in words:
                self._notifier.tell_waiting("its processes")
                continue
            self._ready.add(pid)
            if len(self._ready) == self._workers:
                self._notifier.tell_ready()

    def _kill_silent(self) -> None:
        """Kill what hangs: a part of the requests goes to it, and would wait for ever."""
        limit_s = self._notifier.limit_s
        if limit_s is None:
            return
        now = time.monotonic()
        for pid, heard in self._heard.items():
            if now - heard > (limit_s if pid in self._ready else START_ALLOWANCE_S):
                LOG.error("API process %d gave no sign of life for %.0f s and is killed", pid, now - heard)
                os.kill(pid, signal.SIGKILL)

    def _replace_dead(self) -> None:
        for pid in list(self._heard):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._heard[pid]
            self._ready.discard(pid)
            LOG.error("API process %d ended with %d and is replaced", pid, os.waitstatus_to_exitcode(status))
            if not self._signals.wait(RESTART_PAUSE_S):
                self._fork()

    def _fork(self) -> None:
        began = time.monotonic()
        # A signal to a process that has no handlers of its own yet would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = os.fork()
        if pid:
            self._heard[pid] = began
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._listener.close()
        os.environ["NOTIFY_SOCKET"] = self._listener.address
        if self._notifier.limit_s is not None:
            os.environ["WATCHDOG_USEC"] = str(int(self._notifier.limit_s * 1e6))
        signals = Signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        sys.exit(guarded(SERVICE, lambda: _serve(self._conf, signals, began)))

    def _tell_all(self, number: signal.Signals) -> None:
        for pid in self._heard:
            os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
