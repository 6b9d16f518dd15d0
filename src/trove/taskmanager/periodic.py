"""What a task manager does again and again: sweep up operations that nobody runs, and clear away old finished ones."""

import logging
import random
import threading
from datetime import timedelta

from trove.bus.contract import Admission
from trove.core.clock import utcnow
from trove.core.errors import TroveError
from trove.store import instances, operations
from trove.store.session import Database
from trove.taskmanager.runner import Runner

LOG = logging.getLogger(__name__)

SWEEP_LIMIT = 500
RETENTION_LIMIT = 1000
RETENTION_EVERY = timedelta(hours=1)


class Periodic:
    """A thread that sweeps at once when started and then every `interval_s` seconds, with jitter.

    After its first sweep it lets all guests onto the bus again, in case the broker lost its users.
    """

    def __init__(
        self,
        database: Database,
        runner: Runner,
        *,
        admission: Admission,
        interval_s: float,
        keep_finished_days: int,
    ) -> None:
        self._database = database
        self._admission = admission
        self._readmitted = False
        self._runner = runner
        self._interval_s = interval_s
        self._keep_days = keep_finished_days
        self._stopping = threading.Event()
        self._cleared_at = utcnow() - RETENTION_EVERY
        self._thread = threading.Thread(target=self._loop, name="periodic")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round in hand. May run twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def sweep(self) -> int:
        """Offer unfinished operations to the runner, oldest first; return how many it took.

        Those that waited in vain until their deadline end here, also when no thread of the runner is free.
        """
        with self._database.reading() as tx:
            unfinished = operations.unfinished(tx, limit=SWEEP_LIMIT)
        return sum(self._runner.offer(operation.id) for operation in unfinished if not self._runner.end_overdue(operation))

    def clear(self) -> int:
        """Remove finished operations older than the retention; return how many. Bounded work a round."""
        if not self._keep_days:
            return 0
        before = utcnow() - timedelta(days=self._keep_days)
        return self._database.run(operations.delete_finished, before, RETENTION_LIMIT)

    def readmit(self) -> None:
        """Ensure the bus users of all guests, once."""
        if not self._readmitted:
            with self._database.reading() as tx:
                ids = instances.live_ids(tx)
            self._admission.readmit(sorted(ids))
            self._readmitted = True

    def _loop(self) -> None:
        while True:
            try:
                self.sweep()
                self.readmit()
                if utcnow() - self._cleared_at >= RETENTION_EVERY:
                    removed = self.clear()
                    if removed < RETENTION_LIMIT:
                        self._cleared_at = utcnow()
            except TroveError as error:
                LOG.warning("The sweep is put off: %s", error.message)
            except Exception:
                LOG.exception("The sweep failed and is repeated")
            if self._stopping.wait(self._interval_s * random.uniform(0.75, 1.25)):  # noqa: S311
                return
