"""The reconciler: rounds that compare rows, cloud, bus and reports, one at a time among all task managers."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from trove.core.clock import utcnow
from trove.core.errors import TroveError
from trove.operations.doors import Doors
from trove.operations.reconcile import admissions, clusters, guests, leftovers, quotas, replicas, rows, runs, servers, tasks
from trove.operations.reconcile.round import Memory, ReconcileSettings, Round, survey
from trove.workflow.locks import Locks

LOG = logging.getLogger(__name__)

LOCK = "reconciler"
HUNG_AFTER_S = 600.0
HUNG_AFTER_ROUNDS = 5

FINDINGS: Mapping[str, Callable[[Round], None]] = {
    "operations without a runner": runs.offer,
    "busy clusters without an operation": clusters.release,
    "busy instances without an operation": tasks.release,
    "servers": servers.compare,
    "guest agents": guests.compare,
    "replicas": replicas.tell,
    "bus users": admissions.readmit,
    "leftovers": leftovers.compare,
    "quotas": quotas.recount,
    "rows": rows.clear,
}
"""What a round goes through, in this order: an instance is freed before its server is compared, and so on."""


class Reconciler:
    """A thread that makes a round at once when started and then every `interval_s` seconds, with jitter; 0 makes none.

    Rounds need no memory of other task managers and no fence: each repair writes only what still is as it was seen. The lock
    keeps two task managers from doing the same work at the same time.
    """

    def __init__(
        self,
        doors: Doors,
        *,
        locks: Locks,
        offer: Callable[[str], bool],
        settings: ReconcileSettings,
        interval_s: float,
    ) -> None:
        self._doors = doors
        self._locks = locks
        self._offer = offer
        self._settings = settings
        self._interval_s = interval_s
        self._memory = Memory(began=utcnow())
        self._refused_since: datetime | None = None
        self._stopping = threading.Event()
        # A daemon: a call of a cloud that hangs must not keep the service from ending. A round may break off anywhere.
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._interval_s:
            self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End after the comparison in hand, or leave it behind after `timeout_s` seconds. May run twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def round(self) -> Counter[str] | None:
        """Make one round and return what was found and done; None when another task manager makes one now.

        A finding that fails is logged and does not keep the others from being made. Raises `Unavailable` without lock service.
        """
        lock = self._locks.try_lock(LOCK)
        if lock is None:
            self._free_from_hung_holder()
            return None
        self._refused_since = None
        with lock:
            return self._round()

    def _free_from_hung_holder(self) -> None:
        """Break the lock once it was refused for long: rounds are short. A holder that wakes up does no harm, see above."""
        now = utcnow()
        self._refused_since = self._refused_since or now
        if (now - self._refused_since).total_seconds() < max(HUNG_AFTER_S, HUNG_AFTER_ROUNDS * self._interval_s):
            return
        if self._locks.break_lock(LOCK, lambda: True):
            LOG.error("A task manager has held the reconciler's lock for too long and seems to hang: the lock is taken from it")
            self._refused_since = None

    def _round(self) -> Counter[str]:
        began = time.monotonic()
        self._memory.turn()
        this = Round(
            doors=self._doors,
            settings=self._settings,
            memory=self._memory,
            began=utcnow(),
            # Before any row is read: rows are older than what is made for them, so nothing can look ownerless by chance.
            survey=survey(self._doors, self._memory),
            lock=self._locks.try_lock,
            offer=self._offer,
            stopping=self._stopping,
        )
        for name, find in FINDINGS.items():
            if self._stopping.is_set():
                break
            try:
                find(this)
            except TroveError as error:
                LOG.warning("The comparison of %s is put off to the next round: %s", name, error.message)
                this.count("comparisons put off")
            except Exception:
                LOG.exception("The comparison of %s failed and is repeated in the next round", name)
                this.count("comparisons put off")
        found = ", ".join(f"{what} {number}" for what, number in sorted(this.counts.items())) or "nothing to compare"
        LOG.info("Reconciled in %.2f s: %s", time.monotonic() - began, found)
        return this.counts

    def _loop(self) -> None:
        while True:
            try:
                self.round()
            except TroveError as error:
                LOG.warning("The round of the reconciler is put off: %s", error.message)
            except Exception:
                LOG.exception("The round of the reconciler failed and is repeated")
            if self._stopping.wait(self._interval_s * random.uniform(0.75, 1.25)):  # noqa: S311
                return
