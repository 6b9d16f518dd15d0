"""One run of one operation: what its steps may use, and when they must stop."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trove.core.clock import utcnow
from trove.core.errors import Cancelled, DeadlineExceeded, Fenced, TroveError
from trove.core.operations import Fence, Operation
from trove.operations.doors import Doors
from trove.store import operations as operation_rows
from trove.store.session import Tx

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0


class Interrupted(BaseException):
    """Leave the flow as it stands, as a crash would: the service stops, or another runner owns the operation.

    Not an `Exception`, so that the flow neither records a failure nor reverts.
    """


@dataclass(slots=True)
class Pulse:
    """What a run is at, for its own steps and for whoever watches over its thread.

    `until` is when the step in hand, or its undoing, must have ended; None between steps. Of steps that run at the same time it
    is the last one to begin. `failed` is why the flow is undone, where it failed in this run. `lost` is set when the run was
    found to own its operation no more.
    """

    step: str = ""
    since: datetime | None = None
    until: datetime | None = None
    undo_until: datetime | None = None
    failed: str | None = None
    lost: bool = False

    @property
    def undoing(self) -> bool:
        """Tell whether the flow is being undone."""
        return self.undo_until is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the steps of a flow get. `stopping` is set when the service is told to stop.

    `condemned` says why the operation must not be carried on but only undone; None for nearly all.
    """

    doors: Doors
    operation: Operation
    fence: Fence
    stopping: threading.Event = field(default_factory=threading.Event)
    condemned: str | None = None
    pulse: Pulse = field(default_factory=Pulse)

    def begin(self, step: str, timeout_s: float | None = None) -> None:
        """Note that a step begins, and how long it may take by itself."""
        now = utcnow()
        deadline = self.operation.deadline
        until = deadline if timeout_s is None else min(deadline, now + timedelta(seconds=timeout_s))
        self.pulse.step, self.pulse.since, self.pulse.until = step, now, until

    def begin_undo(self, step: str) -> datetime:
        """Note that a step is being undone; return when all undoing in this run must have ended."""
        now = utcnow()
        if self.pulse.undo_until is None:
            self.pulse.undo_until = now + timedelta(seconds=self.doors.settings.revert_timeout_s)
        self.pulse.step, self.pulse.since, self.pulse.until = step, now, self.pulse.undo_until
        return self.pulse.undo_until

    def end(self) -> None:
        """Note that the step, or its undoing, has ended."""
        self.pulse.until = None

    def check(self, tx: Tx, *, waiting_for: str, heard: str, until: datetime | None = None) -> None:
        """Raise `Cancelled`, `DeadlineExceeded` or `Interrupted` when the step must not go on, `TroveError` when condemned.

        `until` is a deadline of what is waited for, where it is nearer than those of the step and the operation. Undoing is
        bound by its own deadline alone: neither a cancellation nor the end of the operation's time ends it.
        """
        self._check_right()
        try:
            cancelled = operation_rows.must_stop(tx, self.fence)
        except Fenced as error:
            raise Interrupted("another runner owns the operation") from error
        if self.pulse.undoing:
            self.check_clock(waiting_for=waiting_for, heard=heard, until=until)
            return
        if self.condemned is not None:
            raise TroveError(self.condemned)
        if cancelled:
            raise Cancelled(f"Cancelled while waiting for {waiting_for}.")
        self.check_clock(waiting_for=waiting_for, heard=heard, until=until)

    def check_clock(self, *, waiting_for: str, heard: str, until: datetime | None = None) -> None:
        """Raise `DeadlineExceeded` past the deadline, saying what was waited for, for how long, and what was last heard."""
        self._check_right()
        began = self.operation.started or self.operation.created
        since = self.pulse.since or began
        limits = [(self.operation.deadline, began)] if self.pulse.undo_until is None else [(self.pulse.undo_until, since)]
        limits += [(limit, since) for limit in (self.pulse.until, until) if limit is not None]
        deadline, since = min(limits)
        if (now := utcnow()) >= deadline:
            waited = int((now - since).total_seconds())
            raise DeadlineExceeded(f"Gave up after {waited} s waiting for {waiting_for}. Last heard: {heard}.")

    def left_s(self) -> float:
        """Return the seconds that the step in hand has left."""
        return ((self.pulse.until or self.operation.deadline) - utcnow()).total_seconds()

    def pause(self, seconds: float) -> None:
        """Wait, but not once the service stops."""
        if self.stopping.wait(seconds):
            raise Interrupted("the service stops")

    def _check_right(self) -> None:
        if self.stopping.is_set():
            raise Interrupted("the service stops")
        if self.pulse.lost:
            raise Interrupted("another runner owns the operation")


@dataclass(slots=True)
class Pauses:
    """Growing pauses with jitter, in seconds."""

    next_s: float = FIRST_PAUSE_S
    longest_s: float = LONGEST_PAUSE_S
    factor: float = 2.0
    jitter: Callable[[], float] = random.random

    def __next__(self) -> float:
        """Return the next pause: between half of it and all of it."""
        pause = self.next_s
        self.next_s = min(self.longest_s, self.next_s * self.factor)
        return pause * (0.5 + self.jitter() / 2)
