"""Publishes the notifications that wait in the state database: oldest first, by one task manager at a time, at least once."""

import logging
import random
import threading
from dataclasses import replace

from trove.bus.contract import NotificationTransport
from trove.core.clock import utcnow
from trove.core.errors import TroveError
from trove.operations.doors import Doors
from trove.operations.notifications.reports import with_flavor_name
from trove.store import notifications
from trove.workflow.locks import Locks

LOG = logging.getLogger(__name__)

LOCK = "notifications"
BATCH = 20
"""So many are published before they are taken off: as many may be published twice when a task manager dies."""
EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
HUNG_AFTER_S = 600.0


class Relay:
    """A thread that publishes what waits, at once when started and then every second.

    A broker that is away holds it up, and nothing else. What was published is removed afterwards: a death in between makes
    another task manager publish it again.
    """

    def __init__(self, doors: Doors, transport: NotificationTransport, *, locks: Locks) -> None:
        self._doors = doors
        self._transport = transport
        self._locks = locks
        self._stopping = threading.Event()
        # A daemon: publishing may wait for a broker for ever, and must not keep the service from ending.
        self._thread = threading.Thread(target=self._loop, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End after the notification in hand, or leave it behind after `timeout_s` seconds. May run twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._transport.close()

    def publish(self) -> int:
        """Publish all that waits, and return how many; 0 also when another task manager is at it.

        Raises `Unavailable` without the state database or the lock service, and what the transport raises.
        """
        with self._doors.database.reading() as tx:
            first = notifications.waiting(tx, 1)
        if not first:
            return 0
        lock = self._locks.try_lock(LOCK)
        if lock is None:
            waited_s = (utcnow() - first[0].created).total_seconds()
            if waited_s > HUNG_AFTER_S and self._locks.break_lock(LOCK, lambda: True):
                LOG.error("A notification waits for %d s, and a task manager seems to hang over it: taken over", waited_s)
            return 0
        published = 0
        with lock:
            while (batch := self._publish_batch()) and not self._stopping.is_set():
                published += batch
        return published + batch

    def _publish_batch(self) -> int:
        with self._doors.database.reading() as tx:
            batch = notifications.waiting(tx, BATCH)
        done: list[int] = []
        try:
            for each in batch:
                if self._stopping.is_set():
                    break
                self._transport.publish(replace(each, payload=with_flavor_name(self._doors, each.payload)))
                done.append(each.number)
        finally:
            if done:
                self._doors.database.run(notifications.forget, done)
        return len(done)

    def _loop(self) -> None:
        pause_s = EVERY_S
        while True:
            try:
                self.publish()
                pause_s = EVERY_S
            except Exception as error:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                if isinstance(error, TroveError):
                    LOG.warning("Notifications are published later: %s", error.message)
                else:
                    LOG.exception("Notifications cannot be published now; they are kept and tried again")
            if self._stopping.wait(pause_s * random.uniform(0.75, 1.25)):  # noqa: S311
                return
