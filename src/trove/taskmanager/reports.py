"""Stores the periodic notifications (instances that exist, use of quotas), and bounds how many may wait to be published."""

import logging
import threading
from dataclasses import dataclass

from trove.core.errors import TroveError
from trove.operations.doors import Doors
from trove.operations.notifications.reports import report_instances, report_quotas
from trove.store import notifications

LOG = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """How often what is told, in seconds; 0 never tells it. `most_waiting` bounds what waits for a broker that is away."""

    instances_every_s: float = 0.0
    quotas_every_s: float = 0.0
    most_waiting: int = 100_000


class Reports:
    """A thread that looks every few seconds whether a period is over. Only one of all task managers reports on a period."""

    def __init__(self, doors: Doors, settings: ReportSettings, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._doors = doors
        self._settings = settings
        self._look_every_s = look_every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reports", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End after the report in hand. May run twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def look(self) -> None:
        """Store what is due, and drop the oldest of what waits beyond the bound. Raises `Unavailable`."""
        database, settings = self._doors.database, self._settings
        if settings.instances_every_s:
            told = database.run(report_instances, every_s=settings.instances_every_s)
            if told is not None:
                LOG.info("Told that %d instances exist", told)
        if settings.quotas_every_s:
            database.run(report_quotas, self._doors, every_s=settings.quotas_every_s)
        with database.reading() as tx:
            too_many = notifications.count(tx) > settings.most_waiting
        if too_many:
            lost = database.run(notifications.trim, settings.most_waiting)
            LOG.error("%d notifications are lost: more than %d waited to be published", lost, settings.most_waiting)

    def _loop(self) -> None:
        while True:
            try:
                self.look()
            except TroveError as error:
                LOG.warning("Periodic notifications are put off: %s", error.message)
            except Exception:
                LOG.exception("Periodic notifications failed and are repeated")
            if self._stopping.wait(self._look_every_s):
                return
