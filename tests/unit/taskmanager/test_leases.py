"""Leases: who works on a resource is known, whoever died or hangs is replaced, and nothing waits for ever."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.core.clock import utcnow
from trove.core.errors import CloudError, Unavailable
from trove.core.instances import Fault
from trove.core.operations import Operation, OperationState
from trove.operations.catalogue import KINDS
from trove.operations.instance import create, delete
from trove.operations.operation import cancel
from trove.operations.work import Interrupted
from trove.store import instances, operations
from trove.store.session import Database, OutcomeUnknown, Tx
from trove.taskmanager.keeper import Hand, Keeper, Policy
from trove.taskmanager.periodic import Periodic
from trove.taskmanager.runner import UNDO_ATTEMPTS, Runner
from trove.workflow.crash import Killed
from trove.workflow.locks import Locks

SHORT = Policy(lease_s=0.2, hang_grace_s=0.1, max_attempts=3)
ENDED = {OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED}


class Hanging:
    """A door of whose verbs one hangs until `let_go`, for the first `times` calls; then it does its work."""

    def __init__(self, door: Any, verb: str, *, times: int = 1) -> None:
        self._door = door
        self._verb = verb
        self._left = times
        self.called = threading.Event()
        self.let_go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._door, name)
        return self._hang(found) if name == self._verb else found

    def _hang(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def hang(*words: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left >= 0:
                self.called.set()
                assert self.let_go.wait(60)
            return call(*words, **named)

        return hang


@pytest.fixture
def crew(here: World) -> Iterator[Callable[..., Runner]]:
    """Make runners; those that were started are stopped at the end."""
    with ExitStack() as stack:

        def make(name: str = "one", *, policy: Policy = SHORT, start: bool = False, **options: Any) -> Runner:
            locks = Locks(f"file://{here.lock_dir}", name)
            made = Runner(options.pop("doors", here.doors), locks=locks, owner=name, policy=policy, **options)
            if start:
                made.start()
                stack.callback(lambda: made.stop(timeout_s=20))
            return made

        yield make


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def operation(here: World, operation_id: str) -> Operation:
    with here.database.reading() as tx:
        return operations.get(tx, operation_id)


def fault(here: World, instance_id: str) -> Fault | None:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id).fault


def impatient(here: World, cloud: Any, **settings: float) -> Any:
    return replace(here.doors, cloud=cloud, settings=replace(here.doors.settings, **settings))


@contextmanager
def zombie(runner: Runner, operation_id: str, at_work: threading.Event) -> Iterator[list[BaseException | None]]:
    """Run an operation in a thread that stops in the middle; it goes on when the block ends. Yields how its run ended."""
    ended: list[BaseException | None] = []

    def be_one() -> None:
        try:
            runner.run_now(operation_id)
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=be_one)
    thread.start()
    assert at_work.wait(20)
    yield ended
    thread.join(20)


def test_a_runner_renews_its_lease_while_it_works(here: World, crew: Callable[..., Runner]):
    cloud = Hanging(here.cloud, "ensure_volume")
    create.start(here.doors, CALLER, request())
    crew(doors=replace(here.doors, cloud=cloud), start=True).offer(newest(here).id)
    assert cloud.called.wait(20)
    first = newest(here).lease_until
    assert first is not None
    until(lambda: (newest(here).lease_until or first) > first, what="a renewal")
    assert newest(here).fence == 1
    cloud.let_go.set()
    until(lambda: newest(here).state in ENDED)
    assert newest(here).state is OperationState.SUCCEEDED


def test_nobody_takes_a_resource_whose_lease_runs(here: World, crew: Callable[..., Runner]):
    cloud = Hanging(here.cloud, "ensure_volume")
    create.start(here.doors, CALLER, request())
    operation_id = newest(here).id
    patient = Policy(lease_s=60)
    with zombie(crew(doors=replace(here.doors, cloud=cloud), policy=patient), operation_id, cloud.called) as ended:
        assert not crew("two", policy=patient).run_now(operation_id)
        cloud.let_go.set()
    assert ended == [None]
    assert (newest(here).state, newest(here).fence) == (OperationState.SUCCEEDED, 1)


def test_a_zombie_that_wakes_up_writes_nothing_and_takes_nothing_back(here: World, crew: Callable[..., Runner]):
    """Stopped in the middle of a call to the cloud, past its lease, under a lock that it still holds."""
    cloud = Hanging(here.cloud, "ensure_volume")
    instance = create.start(here.doors, CALLER, request())
    operation_id = newest(here).id
    with zombie(crew(doors=replace(here.doors, cloud=cloud)), operation_id, cloud.called) as ended:
        successor = crew("two")
        until(lambda: successor.run_now(operation_id), what="the take-over")
        done = operation(here, operation_id)
        # The lock is free again for others while the zombie believes to hold it.
        next_lock = successor._locks.try_lock(f"instance-{instance.id}")
        assert next_lock is not None
        cloud.let_go.set()
    assert [type(error) for error in ended] == [Interrupted]
    assert crew("three")._locks.try_lock(f"instance-{instance.id}") is None
    next_lock.release()
    assert operation(here, operation_id) == done
    assert (done.state, done.owner, done.fence) == (OperationState.SUCCEEDED, "two", 2)
    assert len(here.cloud.leftovers().servers) == 1


def test_a_runner_that_stopped_before_it_claimed_holds_nobody_up(here: World, crew: Callable[..., Runner]):
    instance = create.start(here.doors, CALLER, request())
    stopped = Locks(f"file://{here.lock_dir}", "stopped").try_lock(f"instance-{instance.id}")
    assert stopped is not None
    runner = crew("two")
    assert not runner.run_now(newest(here).id)
    until(lambda: runner.run_now(newest(here).id), what="the take-over")
    assert newest(here).state is OperationState.SUCCEEDED
    stopped.release()


def test_a_task_manager_that_has_just_come_does_not_judge_others(here: World, crew: Callable[..., Runner]):
    """After an outage of the state database all leases have run out, and those who live are about to renew theirs."""
    instance = create.start(here.doors, CALLER, request())
    with here.database.transaction() as tx:
        operations.claim(tx, newest(here).id, owner="another", lease_s=-100)
    held = Locks(f"file://{here.lock_dir}", "another").try_lock(f"instance-{instance.id}")
    runner = crew(policy=Policy(lease_s=0.6), start=True)
    assert not runner.run_now(newest(here).id)
    until(lambda: runner.run_now(newest(here).id), what="the take-over")
    assert held is not None


def test_leases_that_could_not_be_renewed_say_nothing_about_others(here: World):
    class Away(Database):
        def run(self, *_words: Any, **_named: Any) -> Any:
            raise Unavailable("The state database is away.")

    store = Away(str(here.database.engine.url), vault=here.database.vault)
    create.start(here.doors, CALLER, request())
    with here.database.transaction() as tx:
        claimed, fence = operations.claim(tx, newest(here).id, owner="one")
    work = create_work(here, claimed, fence)
    keeper = Keeper(store, Policy(lease_s=0.3), give_up=lambda _hand: None)
    assert keeper.may_judge()
    keeper.start()
    try:
        lock = Locks(f"file://{here.lock_dir}", "one").try_lock("x")
        assert lock is not None
        with keeper.holding(Hand(work=work, lock=lock)):
            until(lambda: not keeper.may_judge())
            assert work.pulse.lost is False
        until(keeper.may_judge)
    finally:
        keeper.stop()
        store.close()


def create_work(here: World, claimed: Operation, fence: Any) -> Any:
    from trove.operations.work import Work

    return Work(doors=here.doors, operation=claimed, fence=fence)


def test_a_thread_that_hangs_is_given_up_and_another_ends_the_operation(
    here: World, crew: Callable[..., Runner], caplog: pytest.LogCaptureFixture
):
    cloud = Hanging(here.cloud, "ensure_volume")
    create.start(here.doors, CALLER, request())
    runner = crew(doors=impatient(here, cloud, volume_timeout_s=0.1), workers=1, start=True)
    operation_id = newest(here).id
    assert runner.offer(operation_id)
    assert cloud.called.wait(20)
    # The sweep offers it until somebody takes it: the one thread that there was hangs.
    until(lambda: (runner.offer(operation_id) and False) or newest(here).state in ENDED, what="the end")
    assert newest(here).state is OperationState.SUCCEEDED
    (told,) = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert operation_id in told
    assert "ensure_volume" in told
    done = operation(here, operation_id)
    cloud.let_go.set()
    assert runner.stop(timeout_s=20)
    assert operation(here, operation_id) == done
    assert "came back and ends" in caplog.text


def test_an_operation_that_an_operator_takes_away_goes_on_at_once_in_the_same_task_manager(
    here: World, crew: Callable[..., Runner]
):
    """Its thread hangs, but not for so long that it would be given up."""
    cloud = Hanging(here.cloud, "ensure_volume")
    create.start(here.doors, CALLER, request())
    runner = crew(doors=replace(here.doors, cloud=cloud), workers=1, start=True)
    operation_id = newest(here).id
    assert runner.offer(operation_id)
    assert cloud.called.wait(20)
    assert here.database.run(operations.disown, operation_id)
    until(lambda: (runner.offer(operation_id) and False) or newest(here).state in ENDED, what="the end")
    assert newest(here).state is OperationState.SUCCEEDED
    cloud.let_go.set()


def test_no_more_threads_hang_than_a_runner_has_twice(
    here: World, crew: Callable[..., Runner], caplog: pytest.LogCaptureFixture
):
    cloud = Hanging(here.cloud, "ensure_volume", times=99)
    create.start(here.doors, CALLER, request())
    runner = crew(doors=impatient(here, cloud, volume_timeout_s=0.1), policy=replace(SHORT, max_attempts=99), workers=1)
    runner.start()
    try:
        until(lambda: (runner.offer(newest(here).id) and False) or "no more are started" in caplog.text, what="the bound")
        assert sum(thread.is_alive() for thread in runner._threads) == 2
        assert newest(here).state is OperationState.RUNNING
        # They do not keep the process from ending.
        assert not runner.stop(timeout_s=0.1)
        assert all(thread.daemon for thread in runner._threads)
    finally:
        cloud.let_go.set()
        assert runner.stop(timeout_s=20)


def test_an_operation_whose_undoing_hangs_ends_and_says_so(here: World, crew: Callable[..., Runner]):
    here.cloud.order_fault("ensure_server", CloudError("No valid host was found."))
    cloud = Hanging(here.cloud, "delete_volume")
    instance = create.start(here.doors, CALLER, request())
    crew(doors=impatient(here, cloud, revert_timeout_s=0.1), workers=1, start=True).offer(newest(here).id)
    until(lambda: newest(here).state in ENDED, what="the end")
    assert newest(here).state is OperationState.FAILED
    told = fault(here, instance.id)
    assert told is not None
    assert told.message.startswith("No valid host was found. Undoing ensure_volume did not end within ")
    cloud.let_go.set()
    delete.start(here.doors, CALLER, instance.id)
    until(lambda: crew("two").run_now(newest(here).id) and newest(here).state in ENDED)
    assert newest(here).state is OperationState.SUCCEEDED
    left = here.cloud.leftovers()
    assert (left.servers, left.volumes, left.ports) == ((), (), ())


@pytest.mark.parametrize("undone", [True, False], ids=["and is undone", "and kills it in its undoing, too"])
def test_an_operation_that_kills_its_runner_each_time_ends(here: World, crew: Callable[..., Runner], undone: bool):
    instance = create.start(here.doors, CALLER, request())

    def kill(task: str, moment: str) -> None:
        # The deed, not what comes before it: a step looks whether it may begin first.
        if (task, moment) == ("ensure_volume", "after do") or (not undone and (task, moment) == ("ensure_port", "before undo")):
            raise Killed

    deaths = 0
    while newest(here).state not in ENDED:
        try:
            crew(probe=kill).run_now(newest(here).id)
        except Killed:
            deaths += 1
        assert deaths < 20
    assert deaths == SHORT.max_attempts + (0 if undone else UNDO_ATTEMPTS)
    assert newest(here).state is OperationState.FAILED
    told = fault(here, instance.id)
    assert told is not None
    assert told.message.startswith("Gave up after 3 attempts: each time the service died or hung in it.")
    left = here.cloud.leftovers()
    assert (len(left.ports), len(left.volumes)) == ((0, 0) if undone else (1, 0))
    with here.database.reading() as tx:
        assert tx.connection.exec_driver_sql("select count(*) from workflow_items").scalar() == 0


def test_an_operation_for_which_something_is_always_away_ends_after_its_deadline(here: World, crew: Callable[..., Runner]):
    create.start(here.doors, CALLER, request())

    def flow(_work: Any) -> Any:
        raise Unavailable("The catalogue of flavors is away.")

    runner = crew(kinds={create.KIND: replace(KINDS[create.KIND], flow=flow)})
    for _ in range(SHORT.max_attempts + UNDO_ATTEMPTS + 1):
        with pytest.raises(Unavailable):
            runner.run_now(newest(here).id)
    assert newest(here).attempts == 0
    with here.database.transaction() as tx:
        tx.connection.exec_driver_sql("update operations set deadline = '2001-01-01 00:00:00.000000'")
    for _ in range(SHORT.max_attempts + UNDO_ATTEMPTS):
        with pytest.raises(Unavailable):
            runner.run_now(newest(here).id)
    runner.run_now(newest(here).id)
    assert newest(here).state is OperationState.FAILED
    assert "Gave up after 3 attempts" in str(newest(here).error)


def test_a_stop_is_no_attempt_and_gives_the_lease_back(here: World, crew: Callable[..., Runner]):
    here.script.silent.add("prepare")
    create.start(here.doors, CALLER, request())
    for _ in range(SHORT.max_attempts + 2):
        runner = crew(policy=replace(SHORT, lease_s=60))
        runner.start()
        runner.offer(newest(here).id)
        until(lambda: newest(here).step == "ensure_server" and (newest(here).lease_until or utcnow()) > utcnow())
        assert runner.stop(timeout_s=20)
        assert newest(here).lease_until == operations.NEVER
    here.script.silent.clear()
    crew().run_now(newest(here).id)
    assert newest(here).state is OperationState.SUCCEEDED


def test_a_cancelled_operation_that_waits_never_begins(here: World, crew: Callable[..., Runner]):
    instance = create.start(here.doors, CALLER, request())
    cancel.start(here.doors, CALLER, newest(here).id)
    assert here.announcer.announced[-1] == newest(here).id
    crew().run_now(newest(here).id)
    assert (newest(here).state, newest(here).error) == (OperationState.CANCELLED, "Cancelled before it began.")
    assert "ensure_port" not in [verb for verb, _ in here.cloud.calls]
    told = fault(here, instance.id)
    assert told is not None
    assert told.message == "Cancelled before it began."
    with here.database.reading() as tx:
        assert tx.connection.exec_driver_sql("select count(*) from operations where secrets is not null").scalar() == 0


def test_what_nobody_could_begin_until_its_deadline_fails_without_a_free_thread(here: World, crew: Callable[..., Runner]):
    """The sweep alone ends it: all threads may hang."""
    hasty = replace(here.doors, settings=replace(here.doors.settings, delete_timeout_s=-1))
    instance = create.start(here.doors, CALLER, request())
    building = newest(here)
    here.database.run(operations.claim, building.id, owner="another")
    delete.start(hasty, CALLER, instance.id)
    periodic = Periodic(here.database, crew(), admission=here.admission, interval_s=60, keep_finished_days=1)
    assert periodic.sweep() == 1
    assert newest(here).kind == delete.KIND
    assert newest(here).state is OperationState.FAILED
    assert newest(here).error == "Gave up after 0 s waiting to begin. Last heard: instance.create was not done yet."
    assert operation(here, building.id).state is OperationState.RUNNING


class Forgetful(Database):
    """Loses the connection at the end of a transaction once it is `armed`: after its commit, or before it."""

    armed = False
    stored = True

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with super().transaction() as tx:
            yield tx
            lost, self.armed = self.armed, False
            if lost and not self.stored:
                raise OutcomeUnknown("lost")
        if lost:
            raise OutcomeUnknown("lost")


@pytest.mark.parametrize("stored", [True, False])
def test_what_a_commit_without_an_answer_did_is_looked_up(here: World, crew: Callable[..., Runner], stored: bool):
    create.start(here.doors, CALLER, request())
    store = Forgetful(str(here.database.engine.url), vault=here.database.vault)
    store.stored = stored
    succeeded: list[int] = []

    def succeed(tx: Tx, work: Any) -> None:
        create.succeed(tx, work)
        succeeded.append(1)
        store.armed = len(succeeded) == 1

    kinds = {**KINDS, create.KIND: replace(KINDS[create.KIND], succeed=succeed)}
    runner = crew(doors=replace(here.doors, database=store), kinds=kinds)
    if stored:
        runner.run_now(newest(here).id)
    else:
        with pytest.raises(Unavailable):
            runner.run_now(newest(here).id)
        assert newest(here).state is OperationState.RUNNING
        runner.run_now(newest(here).id)
    assert newest(here).state is OperationState.SUCCEEDED
    assert len(succeeded) == (1 if stored else 2)
    store.close()
