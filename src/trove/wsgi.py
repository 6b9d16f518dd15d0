"""`trove.wsgi:application`: the API for any WSGI server, with the same trove.conf and api-paste.ini as `trove-api`.

`OS_TROVE_CONFIG_FILES` names the configuration files, with semicolons; without it they are found as `trove-api` finds them.
Each process builds the application for itself at its first request, so a server may load this module before it forks.
"""

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

FILES = "OS_TROVE_CONFIG_FILES"
SERVICE = "trove-wsgi"
TRY_AGAIN_S = 1.0

LOG = logging.getLogger(__name__)


class Application:
    """A WSGI application that builds the real one when it is first needed, and answers 503 while that cannot be done."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._pid = 0
        self._built: Any = None
        self._open: list[ExitStack] = []
        """What is open, also what belongs to a process that we were forked from: closing that would disturb it."""
        self._try_at = 0.0

    def __call__(
        self, environ: dict[str, Any] | None = None, start_response: Callable[..., Any] | None = None
    ) -> Iterable[bytes] | int:
        """Answer one request. Called without one, as the program `trove-wsgi` does, tell what this is for; return 2."""
        if environ is None or start_response is None:
            print(f"{SERVICE} is to be loaded by a WSGI server; `trove-api` serves by itself.", file=sys.stderr)  # noqa: T201
            return 2
        app = self._built if self._pid == os.getpid() else self._build()
        if app is None:
            return self._refuse(start_response)
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    def _build(self) -> Any:
        """Return the application of this process, None when it cannot work now; that is tried again after a while."""
        from trove.core.errors import TroveError

        with self._lock:
            if self._pid == os.getpid():
                return self._built
            if time.monotonic() < self._try_at:
                return None
            try:
                self._built = self._load()
            except (TroveError, SystemExit) as error:
                self._failed(error.message if isinstance(error, TroveError) else "the configuration cannot be read")
                return None
            except Exception as error:
                LOG.exception("Unexpected failure")
                self._failed(type(error).__name__)
                return None
            self._pid = os.getpid()
            return self._built

    def _load(self) -> Any:
        from trove.cmd.api import application_of
        from trove.cmd.service import configured

        files = [name for name in self._environment.get(FILES, "").split(";") if name]
        conf = configured(SERVICE, "", [f"--config-file={name}" for name in files])
        pid = os.getpid()
        with ExitStack() as opening:
            built = opening.enter_context(application_of(conf, lambda _what, attempt: attempt()))
            opened = opening.pop_all()
        self._open.append(opened)
        atexit.register(lambda: opened.close() if os.getpid() == pid else None)
        LOG.info("%s is ready in process %d", SERVICE, pid)
        return built

    def _failed(self, why: str) -> None:
        self._try_at = time.monotonic() + TRY_AGAIN_S
        LOG.critical("%s cannot work: %s", SERVICE, why)

    def _refuse(self, start_response: Callable[..., Any]) -> list[bytes]:
        from trove.api import faults
        from trove.api.filters.faultwrapper import send

        message = "The service cannot work at the moment; its log says why."
        return send(start_response, faults.reply(503, message, headers={"Retry-After": str(faults.RETRY_AFTER_S)}))


application = Application(os.environ)
