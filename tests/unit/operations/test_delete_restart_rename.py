"""Deleting in every state, restarting, renaming."""

import threading

import pytest
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.core.callers import Caller
from trove.core.errors import CloudError, Forbidden, NotFound, NotReady, TroveError, Unavailable
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.status import Task
from trove.operations.instance import create, delete, rename, restart
from trove.store import instances, operations, quotas
from trove.store.tables import instances as rows

STRANGER = Caller(project_id="other", user_id="u2", request_id="req-2")
ADMIN = Caller(project_id="admins", user_id="u3", request_id="req-3", is_admin=True)


@pytest.fixture
def built(here: World) -> Instance:
    """An instance that is ACTIVE."""
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    here.guests.jobs.clear()
    return found(here, instance.id)


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def found(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)


def assert_gone(here: World, instance_id: str) -> None:
    with pytest.raises(NotFound):
        found(here, instance_id)
    leftovers = here.cloud.leftovers()
    assert (leftovers.servers, leftovers.volumes, leftovers.ports) == ((), (), ())
    assert here.admission.admitted == set()
    with here.database.reading() as tx:
        assert {(quota.in_use, quota.reserved) for quota in quotas.limits_of(tx, PROJECT, {})} == {(0, 0)}


def test_a_deletion_frees_everything(here: World, built: Instance):
    delete.start(here.doors, CALLER, built.id)
    assert found(here, built.id).task is Task.DELETING
    here.runner().run_now(newest(here).id)
    assert newest(here).state is OperationState.SUCCEEDED
    assert_gone(here, built.id)


def test_two_deletions_at_once_are_one(here: World, built: Instance):
    outcomes: list[str] = []

    def ask() -> None:
        try:
            delete.start(here.doors, CALLER, built.id)
            outcomes.append("accepted")
        except (NotReady, NotFound) as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted", *["not_ready"] * 4]
    here.runner().run_now(newest(here).id)
    with pytest.raises(NotFound):
        delete.start(here.doors, CALLER, built.id)


def test_a_deletion_ends_a_build_that_runs(here: World):
    here.script.silent.add("prepare")
    instance = create.start(here.doors, CALLER, request())
    building = newest(here).id
    go_on = threading.Event()

    def hold(_task: str, moment: str) -> None:
        if moment == "before undo":
            go_on.wait(60)

    runner = here.runner(probe=hold)
    thread = threading.Thread(target=runner.run_now, args=(building,))
    thread.start()
    try:
        until(lambda: here.cloud.find_server(instance.id), what="the server")
        delete.start(here.doors, CALLER, instance.id)
        assert not runner.run_now(newest(here).id), "another runs on the resource"
    finally:
        go_on.set()
        thread.join()
    with here.database.reading() as tx:
        assert operations.get(tx, building).state is OperationState.CANCELLED
        assert operations.unfinished(tx, limit=9) == ()
    assert_gone(here, instance.id)


def test_a_deletion_overtakes_a_build_that_never_began(here: World):
    instance = create.start(here.doors, CALLER, request())
    building = newest(here).id
    delete.start(here.doors, CALLER, instance.id)
    here.runner().run_now(newest(here).id)
    with here.database.reading() as tx:
        assert operations.get(tx, building).state is OperationState.CANCELLED
    assert not any(verb == "ensure_server" for verb, _ in here.cloud.calls)
    assert_gone(here, instance.id)


def test_a_deletion_that_fails_shows_why_and_can_be_repeated(here: World, built: Instance):
    here.cloud.order_fault("delete_volume", CloudError("The volume is in use by a snapshot."))
    delete.start(here.doors, CALLER, built.id)
    here.runner().run_now(newest(here).id)
    left = found(here, built.id)
    assert left.task is Task.FAILED
    assert left.fault is not None
    assert "snapshot" in left.fault.message
    delete.start(here.doors, CALLER, built.id)
    here.runner().run_now(newest(here).id)
    assert_gone(here, built.id)


def test_a_deletion_waits_for_a_cloud_that_is_away(here: World, built: Instance):
    here.cloud.order_fault("delete_server", Unavailable("The cloud is away."), times=3)
    delete.start(here.doors, CALLER, built.id)
    here.runner().run_now(newest(here).id)
    assert_gone(here, built.id)


def test_strangers_find_nothing_to_delete_and_administrators_do(here: World, built: Instance):
    with pytest.raises(NotFound):
        delete.start(here.doors, STRANGER, built.id)
    delete.start(here.doors, ADMIN, built.id)
    assert newest(here).project_id == PROJECT


def test_a_source_of_replicas_stays(here: World, built: Instance):
    replica = create.start(here.doors, CALLER, request(name="replica"))
    with here.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == replica.id).values(slave_of_id=built.id))
    with pytest.raises(Forbidden) as caught:
        delete.start(here.doors, CALLER, built.id)
    assert replica.id in caught.value.message


def test_a_member_of_a_cluster_is_deleted_through_it(here: World, built: Instance):
    with here.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == built.id).values(cluster_id="c1"))
    for verb in (delete.start, restart.start):
        with pytest.raises(TroveError) as caught:
            verb(here.doors, CALLER, built.id)
        assert caught.value.code == "unsupported"


def test_a_restart_reaches_the_guest(here: World, built: Instance):
    restart.start(here.doors, CALLER, built.id)
    assert found(here, built.id).task is Task.REBOOTING
    here.runner().run_now(newest(here).id)
    assert found(here, built.id).task is Task.NONE
    ((_, kind, args),) = here.guests.jobs
    assert kind == "restart"
    assert args["config"]


def test_a_restart_starts_a_stopped_server(here: World, built: Instance):
    here.cloud.stop_server(built.id, timeout_s=1)
    restart.start(here.doors, CALLER, built.id)
    here.runner().run_now(newest(here).id)
    assert ("start_server", built.id) in here.cloud.calls
    assert newest(here).state is OperationState.SUCCEEDED


def test_a_restart_that_fails_lets_go_and_says_why(here: World, built: Instance):
    here.script.failing["restart"] = "The disk is full."
    restart.start(here.doors, CALLER, built.id)
    here.runner().run_now(newest(here).id)
    after = found(here, built.id)
    assert after.task is Task.NONE
    assert after.fault is not None
    assert after.fault.message == "The disk is full."
    here.script.failing.clear()
    restart.start(here.doors, CALLER, built.id)
    here.runner().run_now(newest(here).id)
    assert found(here, built.id).fault is None


def test_of_two_restarts_one_wins(here: World, built: Instance):
    restart.start(here.doors, CALLER, built.id)
    with pytest.raises(NotReady) as caught:
        restart.start(here.doors, CALLER, built.id)
    assert "REBOOT" in caught.value.message


def test_what_is_being_built_cannot_be_restarted(here: World):
    instance = create.start(here.doors, CALLER, request())
    with pytest.raises(NotReady) as caught:
        restart.start(here.doors, CALLER, instance.id)
    assert "BUILD" in caught.value.message


def test_a_guest_that_says_nothing_good_blocks_a_restart_by_name(here: World, built: Instance):
    here.guests.beat(built.id, "failed to spawn")
    until(lambda: found(here, built.id).guest.status == "failed to spawn")
    with pytest.raises(NotReady) as caught:
        restart.start(here.doors, CALLER, built.id)
    assert "failed to spawn" in caught.value.message


def test_a_deletion_cancels_a_restart(here: World, built: Instance):
    here.script.silent.add("restart")
    restart.start(here.doors, CALLER, built.id)
    thread = threading.Thread(target=here.runner().run_now, args=(newest(here).id,))
    thread.start()
    until(lambda: newest(here).state is OperationState.RUNNING)
    delete.start(here.doors, CALLER, built.id)
    thread.join()
    here.runner().run_now(newest(here).id)
    assert_gone(here, built.id)


def test_a_name_changes_at_once_also_while_busy(here: World, built: Instance):
    restart.start(here.doors, CALLER, built.id)
    rename.start(here.doors, CALLER, built.id, "billing")
    assert found(here, built.id).name == "billing"
    with pytest.raises(NotFound):
        rename.start(here.doors, STRANGER, built.id, "mine")
