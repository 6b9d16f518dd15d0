"""The runner: bounded, exclusive on a resource, fenced, and resumable after a stop."""

import contextlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.rows import add_operation
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.bus.contract import TASKMANAGER_TOPIC, Message
from trove.core.clock import utcnow
from trove.core.errors import Refused, Unavailable
from trove.core.operations import Operation, OperationState
from trove.operations.catalogue import KINDS
from trove.operations.instance import create
from trove.operations.work import Interrupted
from trove.store import instances, operations
from trove.taskmanager import periodic as periodic_module
from trove.taskmanager import runner as runner_module
from trove.taskmanager.manager import Manager
from trove.taskmanager.periodic import Periodic
from trove.workflow.locks import Locks

LONG_AGO = "'2001-01-01 00:00:00.000000'"
AGE = f"update operations set created = {LONG_AGO}, finished = {LONG_AGO} where finished is not null"


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def all_ended(here: World) -> bool:
    with here.database.reading() as tx:
        return not operations.unfinished(tx, limit=1)


def test_many_operations_end_on_few_threads(here: World):
    doors = replace(
        here.doors, settings=replace(here.doors.settings, limits=replace(here.doors.settings.limits, max_volumes_gib=-1))
    )
    for number in range(8):
        create.start(doors, CALLER, request(name=f"db{number}"))
    runner = here.runner(workers=3)
    runner.start()
    try:
        for operation_id in here.announcer.announced:
            assert runner.offer(operation_id)
        until(lambda: all_ended(here), what="all operations")
    finally:
        assert runner.stop(timeout_s=10)
    assert len(here.cloud.leftovers().servers) == 8


def test_an_operation_in_hand_is_not_taken_twice(here: World):
    create.start(here.doors, CALLER, request())
    runner = here.runner()
    assert runner.offer(newest(here).id)
    assert not runner.offer(newest(here).id)
    assert runner.in_hand() == 1


def test_a_full_backlog_takes_no_more(here: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner_module, "BACKLOG", 1)
    runner = here.runner()
    assert runner.offer("a")
    assert not runner.offer("b")


def test_a_locked_resource_is_left_alone(here: World):
    instance = create.start(here.doors, CALLER, request())
    first, second = here.runner(), here.runner()
    lock = first._locks.try_lock(f"instance-{instance.id}")
    assert lock is not None
    with lock:
        assert not second.run_now(newest(here).id)
    assert newest(here).state is OperationState.PENDING
    assert second.run_now(newest(here).id)


def test_a_runner_that_was_overtaken_writes_nothing_more(here: World):
    """A zombie: another task manager claims the operation while this one is in the middle of a step."""
    create.start(here.doors, CALLER, request())
    operation_id = newest(here).id

    def overtake(task: str, moment: str) -> None:
        if (task, moment) == ("ensure_volume", "before do"):
            here.database.run(operations.claim, operation_id, owner="another")

    with pytest.raises(Interrupted):
        here.runner(probe=overtake).run_now(operation_id)
    assert (newest(here).state, newest(here).owner) == (OperationState.RUNNING, "another")
    here.runner().run_now(operation_id)
    assert newest(here).state is OperationState.SUCCEEDED


def test_a_zombie_that_failed_does_not_revert_what_its_successor_builds(here: World, tmp_path: Path):
    instance = create.start(here.doors, CALLER, request())
    operation_id = newest(here).id
    zombie_at_work, successor_done = threading.Event(), threading.Event()

    def hang(task: str, moment: str) -> None:
        if (task, moment) == ("ensure_server", "before do"):
            zombie_at_work.set()
            assert successor_done.wait(20)
            raise Unavailable("The zombie's network is gone.")

    ended: list[type[BaseException]] = []

    def be_a_zombie() -> None:
        try:
            here.runner(probe=hang).run_now(operation_id)
        except BaseException as error:
            ended.append(type(error))

    thread = threading.Thread(target=be_a_zombie)
    thread.start()
    assert zombie_at_work.wait(20)
    # The lock of a zombie is gone: that is why it is one.
    successor = here.runner()
    successor._locks = Locks(f"file://{tmp_path}/other-locks", "successor")
    assert successor.run_now(operation_id)
    successor_done.set()
    thread.join()
    assert ended == [Interrupted]
    assert newest(here).state is OperationState.SUCCEEDED
    assert here.cloud.find_server(instance.id) is not None


def test_a_stop_breaks_off_waiting_and_another_resumes(here: World):
    here.script.silent.add("prepare")
    instance = create.start(here.doors, CALLER, request())
    runner = here.runner()
    runner.start()
    runner.offer(newest(here).id)
    until(lambda: here.cloud.find_server(instance.id), what="the server")
    assert runner.stop(timeout_s=10)
    assert newest(here).state is OperationState.RUNNING
    assert not runner.offer(newest(here).id)
    here.script.silent.clear()
    here.runner().run_now(newest(here).id)
    assert newest(here).state is OperationState.SUCCEEDED
    # Nothing was wrong with it, so the first attempt does not count.
    assert newest(here).attempts == 1
    assert [verb for verb, _ in here.cloud.calls].count("ensure_server") == 1


def test_a_deadline_that_passed_while_nobody_ran_fails_the_build(here: World):
    doors = replace(here.doors, settings=replace(here.doors.settings, build_timeout_s=-1))
    instance = create.start(doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    assert newest(here).state is OperationState.FAILED
    with here.database.reading() as tx:
        fault = instances.get(tx, instance.id).fault
    assert fault is not None
    assert fault.message == "Gave up after 0 s waiting to begin. Last heard: no task manager was free."
    assert "ensure_port" not in [verb for verb, _ in here.cloud.calls]


@pytest.mark.parametrize(("timeout_s", "state"), [(-1, OperationState.FAILED), (60, OperationState.RUNNING)])
def test_a_flow_that_cannot_even_be_made_is_tried_until_its_deadline(here: World, timeout_s: float, state: OperationState):
    doors = replace(here.doors, settings=replace(here.doors.settings, build_timeout_s=timeout_s))
    create.start(doors, CALLER, request())

    def broken(_work: object) -> None:
        raise RuntimeError("an upgrade forgot this step")

    runner = here.runner()
    runner._kinds = {"instance.create": replace(KINDS["instance.create"], flow=broken)}
    with contextlib.suppress(RuntimeError):
        runner.run_now(newest(here).id)
    assert newest(here).state is state


def test_an_unknown_kind_fails_and_says_so(here: World):
    create.start(here.doors, CALLER, request())
    runner = here.runner()
    runner._kinds = {}
    runner.run_now(newest(here).id)
    assert newest(here).state is OperationState.FAILED
    assert "instance.create" in str(newest(here).error)


def test_an_operation_that_is_gone_or_ended_is_nothing_to_do(here: World):
    assert here.runner().run_now("no-such-id")
    create.start(here.doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    assert here.runner().run_now(newest(here).id)
    assert newest(here).attempts == 1


def test_the_manager_takes_announcements_and_refuses_the_rest(here: World):
    runner = here.runner()
    manager = Manager(runner)
    subscription = here.bus.serve(TASKMANAGER_TOPIC, manager, workers=1)
    here.bus.cast(TASKMANAGER_TOPIC, "run_operation", {"operation_id": "x"})
    until(lambda: runner.in_hand() == 1)
    subscription.stop()
    with pytest.raises(Refused):
        manager(Message(sender="control", method="format_disk", args={}, sent=utcnow()))
    with pytest.raises(Refused):
        manager(Message(sender="control", method="run_operation", args={}, sent=utcnow()))


def test_the_sweep_finds_what_nobody_announced(here: World):
    create.start(here.doors, CALLER, request())
    runner = here.runner()
    runner.start()
    periodic = Periodic(here.database, runner, admission=here.admission, interval_s=60, keep_finished_days=1)
    periodic.start()
    try:
        until(lambda: all_ended(here), what="the operation")
    finally:
        periodic.stop()
        assert runner.stop(timeout_s=10)
    assert newest(here).state is OperationState.SUCCEEDED


def test_old_finished_operations_are_cleared_away(here: World):
    create.start(here.doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    kept = Periodic(here.database, here.runner(), admission=here.admission, interval_s=1, keep_finished_days=0)
    assert kept.clear() == 0
    cleared = Periodic(here.database, here.runner(), admission=here.admission, interval_s=1, keep_finished_days=1)
    assert cleared.clear() == 0
    with here.database.transaction() as tx:
        tx.connection.exec_driver_sql(AGE)
    assert cleared.clear() == 1


def test_finished_operations_go_in_bounded_batches_and_unfinished_ones_stay(here: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(periodic_module, "RETENTION_LIMIT", 2)
    made = [add_operation(here.database) for _ in range(6)]
    for each in made[:5]:
        here.database.run(operations.finish, here.database.run(operations.claim, each.id, owner="a")[1], OperationState.FAILED)
    with here.database.transaction() as tx:
        tx.connection.exec_driver_sql(AGE)
    periodic = Periodic(here.database, here.runner(), admission=here.admission, interval_s=1, keep_finished_days=1)
    assert [periodic.clear() for _ in range(4)] == [2, 2, 1, 0]
    with here.database.reading() as tx:
        assert [each.id for each in operations.page(tx, project_id="p", limit=9).items] == [made[5].id]


def test_every_kind_is_named_after_its_resource_and_verb():
    nouns = {"backup", "cluster", "instance", "module"}
    assert all(kind.split(".")[0] in nouns and len(kind.split(".")) == 2 for kind in KINDS)
