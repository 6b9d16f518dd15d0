"""trove-api: the REST API, served by Granian in this process, or in several forked ones."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trove.cmd import logs
from trove.cmd.service import Signals, configured, guarded, say_ready, until_there
from trove.config import opts

LOG = logging.getLogger(__name__)

SERVICE = "trove-api"
DESCRIPTION = """Serve Trove's REST API (v1.0) on bind_host:bind_port. Stateless: any number of them may run.
SIGTERM: requests in hand are finished. SIGHUP: logging is configured again."""

PASTE_NAME = "trove"
RESTART_PAUSE_S = 1.0
LOOK_UP_S = 0.5


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
    return _Crew(conf, workers).run()


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
    from trove.cmd import wiring

    base = wiring.foundation(conf)
    until_there("The state database", lambda: wiring.probe_database(base.database), signals)
    bus = until_there("The bus", lambda: wiring.bus(base, SERVICE), signals)
    try:
        application = load_application(conf, wiring.doors(base, bus))
        where = f"{conf.bind_host}:{conf.bind_port}"
        _server(conf, ready=lambda: say_ready(SERVICE, began, f"http://{where}")).serve(
            target_loader=lambda: application, wrap_loader=False
        )
    finally:
        bus.close()
        base.close()


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


class _WakefulEvent(threading.Event):
    """An event whose wait without end looks up each half second: a signal just before the wait began would not end it."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; return whether it is."""
        if timeout is not None:
            return super().wait(timeout)
        while not super().wait(LOOK_UP_S):
            pass
        return True


def _server(conf: Any, *, ready: Callable[[], None]) -> Any:
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.mt import MTServer

    class Server(MTServer):
        """Granian's threaded server in this very process; the check for a free-threaded Python does not concern WSGI."""

        def _check_gil(self) -> None:
            pass

        def signal_handler_reload(self, *_: object, **__: object) -> None:
            logs.reread(conf)

    server = Server(
        "trove",
        address=conf.bind_host,
        port=conf.bind_port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        blocking_threads=conf.trove_api_threads,
        websockets=False,
        log_level=LogLevels.warning,
        log_enabled=False,
    )
    server.main_loop_interrupt = _WakefulEvent()
    server.on_startup(ready)
    return server


class _Crew:
    """Several API processes behind one port: starts them, restarts those that die, passes signals on."""

    def __init__(self, conf: Any, workers: int) -> None:
        self._conf = conf
        self._workers = workers
        self._pids: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """Keep the crew complete until told to stop; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        for _ in range(self._workers):
            self._fork()
        while self._pids:
            pid, status = os.wait()
            self._pids.discard(pid)
            if not self._stopping:
                LOG.error("API process %d ended with %d and is replaced", pid, os.waitstatus_to_exitcode(status))
                time.sleep(RESTART_PAUSE_S)
                if not self._stopping:
                    self._fork()
        return 0

    def _fork(self) -> None:
        began = time.monotonic()
        pid = os.fork()
        if pid:
            self._pids.add(pid)
            return
        signals = Signals()
        sys.exit(guarded(SERVICE, lambda: _serve(self._conf, signals, began)))

    def _pass_on(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            logs.reread(self._conf)
        else:
            self._stopping = True
        for pid in self._pids:
            os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
