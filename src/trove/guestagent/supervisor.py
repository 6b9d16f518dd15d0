"""Keeps the database server running: sees its death within a second, says so, and brings it back with growing pauses."""

import logging
import threading
import time
from collections.abc import Callable

from trove.core.errors import TroveError
from trove.core.status import ServiceStatus
from trove.datastores.contract import Driver, Host
from trove.guestagent.jobs import Jobs
from trove.guestagent.ledger import Ledger, Prepared

LOG = logging.getLogger(__name__)

PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""How long to wait before the first, second, … restart in a row; the last one repeats."""
TEND_S = 60.0
"""How often the server's logs are looked at."""
SETTLED_S = 60.0
"""A server that ran this long begins with the shortest pause again."""


class Supervisor:
    """Watches one server. `noticed(status)` is called at once with what a death looked like, and after a recovery.

    It acts only while the server is wanted, the instance was prepared, and no job is in progress.
    """

    def __init__(
        self, driver: Driver, host: Host, ledger: Ledger, engine: threading.RLock, *, noticed: Callable[[ServiceStatus], None]
    ) -> None:
        self._driver = driver
        self._host = host
        self._ledger = ledger
        self._engine = engine
        self._noticed = noticed
        self._jobs: Jobs | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._running_since: float | None = None
        self._death_told = False
        self._failures = 0
        self._try_after = 0.0
        self._tend_after = 0.0

    def start(self, jobs: Jobs, *, tick_s: float = 1.0) -> None:
        """Begin to watch, looking every `tick_s` seconds."""
        self._jobs = jobs
        self._thread = threading.Thread(target=self._watch, args=(tick_s,), name="supervisor", daemon=True)
        self._thread.start()

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """Stop watching; the server is left as it is. May run twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def status(self) -> ServiceStatus:
        """Return the state of the instance as it is now: a job or a failure first, else what the server itself answers."""
        kinds = frozenset[str]() if self._jobs is None else self._jobs.running_kinds()
        prepared = self._ledger.facts.prepared
        if "prepare" in kinds:
            return ServiceStatus.BUILDING
        if prepared is not Prepared.YES:
            return ServiceStatus.FAILED if prepared is Prepared.FAILED else ServiceStatus.NEW
        if "restart" in kinds:
            return ServiceStatus.RESTARTING
        return self._driver.probe()

    def tick(self) -> None:
        """Look once and act if need be."""
        facts = self._ledger.facts
        if self._host.server_pid() is not None:
            self._running()
            return
        if self._busy() or not facts.wanted or facts.prepared is not Prepared.YES:
            self._running_since = None
            return
        if not self._death_told and (self._running_since is not None or self._driver.probe() is ServiceStatus.CRASHED):
            self._went_down()
        if time.monotonic() >= self._try_after and self._engine.acquire(blocking=False):
            try:
                if not self._busy() and self._ledger.facts.wanted:
                    self._bring_back()
            finally:
                self._engine.release()

    def _watch(self, tick_s: float) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
            except Exception:
                LOG.exception("the supervisor stumbled")
            self._stopping.wait(tick_s)

    def _busy(self) -> bool:
        return self._jobs is not None and bool(self._jobs.running_kinds())

    def _running(self) -> None:
        now = time.monotonic()
        self._death_told = False
        if self._running_since is None:
            self._running_since = now
        elif self._failures and now - self._running_since > SETTLED_S:
            self._failures = 0
        if now >= self._tend_after and not self._busy():
            self._tend_after = now + TEND_S
            try:
                self._driver.tend_logs()
            except TroveError as error:
                LOG.warning("the server's logs cannot be tended: %s", error)

    def _went_down(self) -> None:
        self._running_since = None
        self._death_told = True
        status = self._driver.probe()
        LOG.error("the database server went down: %s", status.value)
        self._ledger.update(restarts=self._ledger.facts.restarts + 1)
        self._noticed(status)
        self._plan()

    def _bring_back(self) -> None:
        LOG.info("starting the database server")
        try:
            self._driver.start()
        except TroveError as error:
            self._plan()
            LOG.error("the database server does not start: %s; next try in %.0f s", error, self._try_after - time.monotonic())
            return
        self._running()
        self._noticed(self.status())

    def _plan(self) -> None:
        """Set when the next start may be tried."""
        self._try_after = time.monotonic() + PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
