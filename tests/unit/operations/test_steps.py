"""Steps: what is tried again and what is not, how long, and what is said when time is over."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.support.world import CALLER, PROJECT, World, request

from trove.core import errors
from trove.core.clock import told_by, utcnow
from trove.core.operations import Operation, OperationState
from trove.operations.catalogue import KINDS
from trove.operations.instance import create
from trove.operations.operation import cancel
from trove.operations.steps import Deed, line, step
from trove.operations.work import Work
from trove.store import operations
from trove.store.session import OutcomeUnknown


class VirtualTime(threading.Event):
    """Stands for `stopping`: what waits for it passes at once, and the clock of the service goes on by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._began = utcnow()

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert sum(self.waited) < 10_000, "it waits for ever"
        self.waited.append(timeout)
        return False

    def now(self):
        return self._began + timedelta(seconds=sum(self.waited))


@dataclass
class Run:
    """How an operation of one step went."""

    calls: list[str] = field(default_factory=list)
    time: VirtualTime = field(default_factory=VirtualTime)
    operation: Operation | None = None

    @property
    def state(self) -> OperationState:
        assert self.operation is not None
        return self.operation.state

    @property
    def error(self) -> str | None:
        assert self.operation is not None
        return self.operation.error


Go = Callable[..., Run]


@pytest.fixture
def go(here: World) -> Go:
    """Run an operation whose flow is two steps: the first is undone by `undo`, the second is `do`."""

    def go(do: Deed, *, undo: Deed | None = None, timeout_s: float | None = None, revert_s: float = 600.0) -> Run:
        run = Run()

        def first(_work: Work) -> None:
            run.calls.append("first")

        def flow(work: Work):
            return line(
                work,
                step(work, first, waiting_for="the beginning", undo=undo),
                step(work, do, waiting_for="the thing", name="thing", timeout_s=timeout_s),
            )

        doors = replace(here.doors, settings=replace(here.doors.settings, revert_timeout_s=revert_s))
        runner = here.runner(doors=doors)
        runner._kinds = {create.KIND: replace(KINDS[create.KIND], flow=flow)}
        runner._stopping = run.time
        with told_by(run.time.now):
            create.start(doors, CALLER, request())
            with here.database.reading() as tx:
                operation_id = operations.page(tx, project_id=PROJECT, limit=1).items[0].id
            runner.run_now(operation_id)
            with here.database.reading() as tx:
                run.operation = operations.get(tx, operation_id)
        return run

    return go


def failing(error: Exception, times: int, calls: list[str]) -> Deed:
    def do(_work: Work) -> None:
        calls.append("do")
        if len(calls) <= times:
            raise error

    return do


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.Unavailable("The bus is away."), True),
        (errors.Unavailable("The state database does not answer now; try again."), True),
        (OutcomeUnknown("The state database was lost while it stored a change."), True),
        (errors.GuestTimeout("The guest agent did not answer."), True),
        (errors.CloudBusy("Too many requests."), True),
        (errors.CloudBusy("Too many requests.", retry_after_s=90), True),
        (errors.CloudError("No valid host was found."), False),
        (errors.GuestError("The disk is full."), False),
        (errors.InvalidInput("volume: size is wrong"), False),
        (errors.Conflict("The address is taken."), False),
        (errors.NotFound("Image 'x' cannot be found."), False),
        (errors.QuotaExceeded("No volumes are left."), False),
        (errors.Unsupported("This cloud has no volumes."), False),
        (RuntimeError("a defect"), False),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, Exception) else "",
)
def test_what_passes_is_tried_again_and_what_does_not_fails_at_once(go: Go, error: Exception, again: bool):
    calls: list[str] = []
    run = go(failing(error, 3, calls))
    if again:
        assert (run.state, len(calls)) == (OperationState.SUCCEEDED, 4)
        assert len(run.time.waited) >= 3
    else:
        assert (run.state, len(calls), run.time.waited) == (OperationState.FAILED, 1, [])
        expected = (
            str(error) if isinstance(error, errors.TroveError) else "The service itself failed while waiting for the thing."
        )
        assert str(run.error).startswith(expected)


def test_a_cloud_that_asks_for_patience_gets_it_and_not_more_than_there_is(go: Go):
    calls: list[str] = []
    run = go(failing(errors.CloudBusy("Too many requests.", retry_after_s=90), 2, calls))
    assert 180 <= sum(run.time.waited) <= 185
    assert max(run.time.waited) <= 5  # so that a cancellation is noticed meanwhile
    run = go(failing(errors.CloudBusy("Too many requests.", retry_after_s=90), 99, []), timeout_s=100)
    assert run.state is OperationState.FAILED
    assert sum(run.time.waited) < 101


def test_pauses_grow_and_are_never_alike(go: Go):
    runs = [go(failing(errors.Unavailable("The bus is away."), 12, [])).time.waited for _ in range(2)]
    assert runs[0] != runs[1]
    assert all(early[0] < 0.06 and 2.5 <= early[-1] <= 5 for early in runs)


def test_a_step_that_takes_too_long_fails_long_before_its_operation_and_says_what_it_heard(go: Go):
    run = go(failing(errors.CloudBusy("Volume quota is being counted."), 10**6, []), timeout_s=20)
    assert run.state is OperationState.FAILED
    assert run.error == "Gave up after 20 s waiting for the thing. Last heard: Volume quota is being counted."


def test_a_step_without_a_time_of_its_own_has_that_of_its_operation(go: Go, here: World):
    run = go(failing(errors.Unavailable("The bus is away."), 10**6, []))
    waited = int(here.doors.settings.build_timeout_s)
    assert run.error == f"Gave up after {waited} s waiting for the thing. Last heard: The bus is away."


def test_undoing_is_tried_again_while_the_cloud_is_away_but_not_for_ever(go: Go):
    refused: Deed = failing(errors.CloudError("No valid host was found."), 10**6, [])
    undone: list[str] = []
    run = go(refused, undo=failing(errors.Unavailable("The cloud is away."), 9, undone))
    assert (run.state, len(undone)) == (OperationState.FAILED, 10)
    undone.clear()
    run = go(refused, undo=failing(errors.Unavailable("The cloud is away."), 10**6, undone), revert_s=60)
    assert (run.state, run.error) == (OperationState.FAILED, "No valid host was found.")
    assert 5 < len(undone) < 100
    assert 50 < sum(run.time.waited) <= 60


def test_a_cancellation_is_heard_during_a_long_rest(go: Go, here: World):
    calls: list[str] = []

    def do(work: Work) -> None:
        calls.append("do")
        cancel.start(here.doors, CALLER, work.operation.id)
        raise errors.CloudBusy("Too many requests.", retry_after_s=600)

    run = go(do)
    assert (run.state, run.error) == (OperationState.CANCELLED, "Cancelled while waiting for the thing.")
    assert sum(run.time.waited) <= 10
    assert calls == ["do"]
