"""Task managers on strings: each is a thread that moves only when told to, from one point to the next, and one at a time."""

import threading
from dataclasses import dataclass, replace
from typing import Any

from tests.support.stepped import Patience, SteppedWorld, Watched

from trove.core.errors import Unavailable
from trove.core.operations import Operation
from trove.operations.work import Interrupted
from trove.store import operations
from trove.taskmanager.keeper import Hand, Policy
from trove.taskmanager.runner import Runner
from trove.workflow.crash import Killed, Point

STEP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a puppet waits to be moved on."""

    point: Point
    resource_id: str


class Puppet:
    """A task manager of a stepped world. `standing` is None while it has nothing in hand.

    `frozen` ones are not moved and give no sign of life. `late` is set once that lasted longer than a lease.
    """

    def __init__(self, here: SteppedWorld, number: int, policy: Policy) -> None:
        self.name = f"puppet-{number}"
        self.here = here
        self.frozen = False
        self.late = False
        self.standing: Standing | None = None
        self.in_deed = False
        self.failure: BaseException | None = None
        self._resource_id = ""
        self._dying = False
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._order: str | None = None
        doors = replace(
            here.doors,
            database=here.mortal_store,
            cloud=Watched(here.cloud, "cloud", self._reach),
            bus=Watched(here.bus, "bus", self._reach),
            admission=Watched(here.admission, "admission", self._reach),
        )
        self.runner = Runner(
            doors,
            locks=here.locks,  # type: ignore[arg-type]
            owner=self.name,
            workers=1,
            policy=policy,
            probe=lambda task, moment: self._reach(Point(task, moment)),
        )
        self.runner._stopping = Patience(lambda _seconds: self._reach(Point("pause", "in")))  # type: ignore[assignment]
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Tell whether it has nothing in hand."""
        return self.standing is None

    def hands(self) -> list[Hand]:
        """Return what it believes to own."""
        return list(self.runner._keeper._hands)

    def take(self, operation: Operation) -> None:
        """Begin with an operation, up to the first point."""
        assert self.idle
        self._order = operation.id
        self._resource_id = operation.resource_id
        self._move()

    def step(self) -> None:
        """Go on to the next point, or to the end."""
        assert not self.idle
        self._move()

    def kill(self) -> None:
        """Die where it stands; what it held is freed, what it wrote stays."""
        self._dying = True
        self._order = self.failure = None
        self._move()
        self._thread.join(STEP_TIMEOUT_S)
        assert not self._thread.is_alive()

    def beat(self) -> None:
        """Keep the leases, as the keeper's thread would."""
        self.runner._keeper.beat()

    def _move(self) -> None:
        self._go.release()
        assert self._done.acquire(timeout=STEP_TIMEOUT_S), f"{self.name} hangs at {self.standing}"
        if self.failure is not None:
            raise self.failure

    def _live(self) -> None:
        self.here.mortal_store.reach_of[threading.get_ident()] = self._reach
        try:
            while True:
                assert self._go.acquire()
                if self._order is None:
                    return
                try:
                    self.runner.run_now(self._order)
                except (Unavailable, Interrupted):
                    pass
                except Killed:
                    return
                except BaseException as error:
                    self.failure = error
                self.standing, self.in_deed = None, False
                self._done.release()
        finally:
            del self.here.mortal_store.reach_of[threading.get_ident()]
            self.standing, self.in_deed = None, False
            self._done.release()

    def _reach(self, point: Point) -> None:
        if self._dying:
            raise Killed
        self.standing = Standing(point, self._resource_id)
        if point.moment in {"before do", "before undo"}:
            self.in_deed = True
        elif point.moment in {"after do", "after undo"}:
            self.in_deed = False
        self._done.release()
        assert self._go.acquire()
        if self._dying:
            raise Killed


def stale(here: SteppedWorld, hand: Hand) -> bool:
    """Tell whether another has taken over what a task manager believes to own, or ended it."""
    with here.store.reading() as tx:
        row: Any = operations.get(tx, hand.work.operation.id)
    return bool(row.fence != hand.work.fence.number)
