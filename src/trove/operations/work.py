"""One run of one operation: what its steps may use, and when they must stop."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from trove.core.clock import utcnow
from trove.core.errors import Cancelled, DeadlineExceeded
from trove.core.operations import UNFINISHED, Fence, Operation
from trove.operations.doors import Doors
from trove.store import operations as operation_rows
from trove.store.session import Tx

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0


class Interrupted(BaseException):
    """Leave the flow as it stands, as a crash would: the service stops, or another runner owns the operation.

    Not an `Exception`, so that the flow neither records a failure nor reverts.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the steps of a flow get. `stopping` is set when the service is told to stop."""

    doors: Doors
    operation: Operation
    fence: Fence
    stopping: threading.Event = field(default_factory=threading.Event)

    def check(self, tx: Tx, *, waiting_for: str, heard: str, until: datetime | None = None) -> None:
        """Raise `Cancelled`, `DeadlineExceeded` or `Interrupted` when the step must not go on.

        `until` is the step's own deadline where it is nearer than the operation's.
        """
        if self.stopping.is_set():
            raise Interrupted("the service stops")
        row = operation_rows.get(tx, self.operation.id)
        if row.fence != self.fence.number or row.state not in UNFINISHED:
            raise Interrupted("another runner owns the operation")
        if row.cancel_requested:
            raise Cancelled(f"Cancelled while waiting for {waiting_for}.")
        self.check_clock(waiting_for=waiting_for, heard=heard, until=until)

    def check_clock(self, *, waiting_for: str, heard: str, until: datetime | None = None) -> None:
        """Raise `DeadlineExceeded` past the deadline, saying what was waited for and what was last heard."""
        if self.stopping.is_set():
            raise Interrupted("the service stops")
        deadline = min(self.operation.deadline, until) if until else self.operation.deadline
        if utcnow() >= deadline:
            began = self.operation.started or self.operation.created
            waited = int((utcnow() - began).total_seconds())
            raise DeadlineExceeded(f"Gave up after {waited} s waiting for {waiting_for}. Last heard: {heard}.")

    def pause(self, seconds: float) -> None:
        """Wait, but not once the service stops."""
        if self.stopping.wait(seconds):
            raise Interrupted("the service stops")


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
