"""Keeps the leases of what a runner has in hand, and finds threads that hang."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trove.core.clock import utcnow
from trove.core.errors import Unavailable
from trove.operations.work import Work
from trove.store import operations
from trove.store.session import Database
from trove.workflow.locks import Lock

LOG = logging.getLogger(__name__)

BEATS_A_LEASE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a runner is believed dead, a thread hung, and an operation hopeless. Times in seconds.

    A runner is believed dead `lease_s` and half as much again after its last sign of life; it gives one every third of
    `lease_s`. A thread counts as hung `hang_grace_s` after its step must have ended. `max_attempts` bounds how often an
    operation is begun.
    """

    lease_s: float = operations.LEASE_S
    hang_grace_s: float = 60.0
    max_attempts: int = 20

    @property
    def grace(self) -> timedelta:
        """Return how much longer than its lease a runner is left alone: how far the clocks of two machines may differ."""
        return timedelta(seconds=self.lease_s / 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hand:
    """An operation that is being run, by which thread, under which lock."""

    work: Work
    lock: Lock
    thread: threading.Thread = field(default_factory=threading.current_thread)

    def hangs(self, now: datetime, grace_s: float) -> bool:
        """Tell whether its step should have ended long ago."""
        until = self.work.pulse.until
        return until is not None and now > until + timedelta(seconds=grace_s)


class Keeper:
    """A thread that renews the leases of all that is in hand with one statement, every third of a lease.

    What hangs is not renewed but handed to `give_up(hand)`, again and again until that returns without `Unavailable`.
    """

    def __init__(self, database: Database, policy: Policy, give_up: Callable[[Hand], None]) -> None:
        self._database = database
        self._policy = policy
        self._give_up = give_up
        self._hands: set[Hand] = set()
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._silent_until: float | None = None
        self._thread = threading.Thread(target=self._loop, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._was_silent()
        self._thread.start()

    def stop(self) -> None:
        """End. What is still in hand keeps its lease for the rest of it. May run twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(self._policy.lease_s)

    @contextmanager
    def holding(self, hand: Hand) -> Iterator[None]:
        """Keep the lease of a run inside the block."""
        with self._guard:
            self._hands.add(hand)
        try:
            yield
        finally:
            self._drop(hand)

    def may_judge(self) -> bool:
        """Tell whether others' leases say something: all run out when the state database was away, or nobody was running.

        True when this runner could have kept leases itself for the time of one.
        """
        return self._silent_until is None or time.monotonic() - self._silent_until >= self._policy.lease_s

    def beat(self) -> None:
        """Renew all leases once, and give up what hangs. Raises `Unavailable`."""
        with self._guard:
            hands = set(self._hands)
        now = utcnow()
        # What was lost a beat ago and is still in hand hangs, too: another has it, and needs the lock.
        hung = {hand for hand in hands if hand.work.pulse.lost or hand.hangs(now, self._policy.hang_grace_s)}
        kept = {hand.work.operation.id: hand for hand in hands - hung}
        if kept:
            fences = [hand.work.fence for hand in kept.values()]
            until = now + timedelta(seconds=self._policy.lease_s)
            for operation_id in self._database.run(operations.renew, fences, until):
                # Perhaps it has just ended; if not, its thread stops at its next step or look.
                kept[operation_id].work.pulse.lost = True
        for hand in hung:
            self._give_up(hand)
            self._drop(hand)

    def _drop(self, hand: Hand) -> None:
        with self._guard:
            self._hands.discard(hand)

    def _was_silent(self) -> None:
        self._silent_until = time.monotonic()

    def _loop(self) -> None:
        pause = self._policy.lease_s / BEATS_A_LEASE
        while not self._stopping.wait(pause):
            try:
                self.beat()
                pause = self._policy.lease_s / BEATS_A_LEASE
            except Exception as error:
                self._was_silent()
                pause = min(1.0, self._policy.lease_s / 10)
                if isinstance(error, Unavailable):
                    LOG.warning("Leases cannot be renewed now: %s", error.message)
                else:
                    LOG.exception("Renewing the leases failed")
