"""The reconciler: finds what disagrees, repairs it once it is sure, and never harms what somebody works on."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.cloud.contract import NicRequest
from trove.core.clock import told_by, utcnow
from trove.core.errors import CloudError, NotFound, Unavailable
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.operations import OperationState
from trove.core.orphans import HeldKind, Orphan
from trove.core.quotas import Resource
from trove.core.replication import ReplicaState
from trove.core.status import Task, shown_status
from trove.operations.instance import create, delete, restart
from trove.operations.reconcile.round import ReconcileSettings
from trove.store import instances, operations, orphans, quotas, tables
from trove.taskmanager.reconciler import LOCK, Reconciler
from trove.workflow.locks import Locks

VANISHED = "vanished from the cloud"


def reconciler(here: World, **settings: object) -> Reconciler:
    """Return a reconciler as of a task manager that has just started; the runner that gets its offers is `here`'s own."""
    locks = Locks(f"file://{here.lock_dir}", "tester")
    return Reconciler(
        here.doors,
        locks=locks,
        offer=lambda operation_id: bool(here.announcer.announced.append(operation_id)) or True,
        settings=ReconcileSettings(**settings),  # type: ignore[arg-type]
        interval_s=60.0,
    )


def rounds(found: Reconciler, number: int = 2) -> Counter[str]:
    """Make rounds; return what the last one found."""
    for _ in range(number):
        counts = found.round()
        assert counts is not None
    return counts


def built(here: World, **changes: object) -> str:
    """Build an instance."""
    instance_id = create.start(here.doors, CALLER, request(**changes)).id
    run_all(here)
    assert state(here, instance_id) == "ACTIVE"
    return instance_id


def run_all(here: World) -> None:
    while True:
        with here.database.reading() as tx:
            waiting = operations.unfinished(tx, limit=1)
        if not waiting:
            return
        here.runner().run_now(waiting[0].id)


def shown(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)


def state(here: World, instance_id: str) -> str:
    found = shown(here, instance_id)
    return shown_status(found.task, found.server_status)


def fault(here: World, instance_id: str) -> str | None:
    found = shown(here, instance_id).fault
    return None if found is None else found.message


def recorded(here: World) -> list[Orphan]:
    with here.database.reading() as tx:
        return list(orphans.all(tx))


def change(here: World, statement: sa.Executable) -> None:
    """Change the rows behind the service's back."""
    with here.database.transaction() as tx:
        tx.execute(statement)


def set_instance(here: World, instance_id: str, **values: object) -> None:
    change(here, sa.update(tables.instances).where(tables.instances.c.id == instance_id).values(**values))


def heard_long_ago(here: World, *ids: str) -> None:
    old = utcnow() - timedelta(hours=1)
    change(
        here,
        sa.update(tables.service_statuses).where(tables.service_statuses.c.instance_id.in_(ids)).values(heard_at=old, sent=old),
    )


def listening(found: Reconciler) -> Reconciler:
    """Pretend that it has run for hours, and that reports have arrived all the time."""
    found._memory.began = found._memory.listening_since = utcnow() - timedelta(hours=2)
    return found


# -- servers ----------------------------------------------------------------------------------------------------------------


def test_a_healthy_service_is_left_as_it_is(here: World):
    ids = [built(here, name=f"db{number}") for number in range(3)]
    before = [shown(here, one) for one in ids]
    counts = rounds(listening(reconciler(here)), 3)
    assert counts == {"servers compared": 3}
    assert [shown(here, one) for one in ids] == before
    assert recorded(here) == []


def test_a_vanished_server_is_shown_after_two_rounds_and_forgiven_when_it_is_back(here: World):
    instance_id = built(here)
    spec = here.cloud.specs[instance_id]
    here.cloud.delete_server(instance_id)
    found = reconciler(here)
    assert "servers vanished" not in rounds(found, 1)
    assert state(here, instance_id) == "ACTIVE"
    assert rounds(found, 1)["servers vanished"] == 1
    assert state(here, instance_id) == "ERROR"
    assert VANISHED in str(fault(here, instance_id))
    assert "servers vanished" not in rounds(found, 2)

    here.cloud.ensure_server(spec)
    assert rounds(found, 1)["servers recovered"] == 1
    assert (state(here, instance_id), fault(here, instance_id)) == ("ACTIVE", None)


def test_a_server_that_is_gone_for_one_round_only_is_not_told(here: World):
    instance_id = built(here)
    spec = here.cloud.specs[instance_id]
    found = reconciler(here)
    here.cloud.delete_server(instance_id)
    rounds(found, 1)
    here.cloud.ensure_server(spec)
    rounds(found, 1)
    here.cloud.delete_server(instance_id)
    rounds(found, 1)
    assert (state(here, instance_id), fault(here, instance_id)) == ("ACTIVE", None)


def test_an_instance_whose_server_vanished_can_be_deleted(here: World):
    instance_id = built(here)
    here.cloud.delete_server(instance_id)
    rounds(reconciler(here))
    delete.start(here.doors, CALLER, instance_id)
    run_all(here)
    with pytest.raises(NotFound):
        shown(here, instance_id)


def test_the_clouds_words_become_the_fault_of_a_broken_server(here: World):
    instance_id = built(here)
    here.cloud.break_server(instance_id, "The host burned down.")
    found = reconciler(here)
    assert rounds(found)["servers broken"] == 1
    assert (state(here, instance_id), fault(here, instance_id)) == ("ERROR", "The host burned down.")
    here.cloud.start_server(instance_id)
    rounds(found, 1)
    assert (state(here, instance_id), fault(here, instance_id)) == ("ACTIVE", None)


def test_a_server_that_was_shut_down_is_shown_so_until_it_runs_again(here: World):
    instance_id = built(here)
    here.cloud.stop_server(instance_id, timeout_s=1)
    found = reconciler(here)
    rounds(found)
    assert state(here, instance_id) == "SHUTDOWN"
    assert "shut down in the cloud" in str(fault(here, instance_id))
    here.cloud.start_server(instance_id)
    rounds(found, 1)
    assert (state(here, instance_id), fault(here, instance_id)) == ("ACTIVE", None)


def test_an_instance_whose_server_was_shut_down_can_be_restarted(here: World):
    instance_id = built(here)
    here.cloud.stop_server(instance_id, timeout_s=1)
    rounds(reconciler(here))
    assert state(here, instance_id) == "SHUTDOWN"
    restart.start(here.doors, CALLER, instance_id)
    run_all(here)
    assert (state(here, instance_id), fault(here, instance_id)) == ("ACTIVE", None)
    assert here.cloud.leftovers().servers == (instance_id,)


def test_a_fault_of_an_operation_is_not_cleared_by_a_healthy_server(here: World):
    instance_id = built(here)
    with here.database.transaction() as tx:
        instances.record_fault(tx, instance_id, "The restart failed.", "Operation 1")
    rounds(listening(reconciler(here)), 3)
    assert fault(here, instance_id) == "The restart failed."


def test_many_servers_missing_at_once_are_not_believed(here: World, caplog: pytest.LogCaptureFixture):
    ids = [built(here, name=f"db{number}") for number in range(3)]
    for instance_id in ids[:2]:
        here.cloud.delete_server(instance_id)
    counts = rounds(reconciler(here), 3)
    assert counts["servers missing but not believed"] == 2
    assert [state(here, one) for one in ids] == ["ACTIVE"] * 3
    assert "lists 1 of 3 servers" in caplog.text
    rounds(reconciler(here, vanished_percent=100))
    assert sorted(state(here, one) for one in ids) == ["ACTIVE", "ERROR", "ERROR"]


def test_a_cloud_that_is_away_is_no_cloud_without_servers(here: World, caplog: pytest.LogCaptureFixture):
    ids = [built(here, name=f"db{number}") for number in range(2)]
    before = [shown(here, one) for one in ids]
    here.cloud.order_fault("leftovers", Unavailable("The cloud's API does not answer."), times=None)
    rounds(reconciler(here), 3)
    here.cloud.clear_faults()
    here.cloud.order_fault("find_server", Unavailable("The cloud's API does not answer."), times=None)
    counts = rounds(reconciler(here), 3)
    assert counts["comparisons put off"] == 1
    assert [shown(here, one) for one in ids] == before
    assert recorded(here) == []
    assert "does not answer" in caplog.text


def test_what_cannot_be_compared_does_not_keep_the_rest_from_being_compared(here: World):
    ids = sorted(built(here, name=f"db{number}") for number in range(3))
    for instance_id in ids:
        here.cloud.break_server(instance_id)
    found = reconciler(here)
    rounds(found, 1)
    here.cloud.order_fault("find_server", CloudError("This one is damaged."), times=1)
    counts = rounds(found, 1)
    assert (counts["comparisons failed"], counts["servers broken"]) == (1, 2)


def test_a_finding_that_crashes_does_not_keep_the_others_from_being_made(here: World, monkeypatch: pytest.MonkeyPatch):
    instance_id = built(here)
    here.cloud.break_server(instance_id)

    def crash(this: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("trove.taskmanager.reconciler.FINDINGS", {"broken": crash, **_findings()})
    counts = rounds(reconciler(here))
    assert (counts["comparisons put off"], counts["servers broken"]) == (1, 1)


def _findings() -> dict[str, Callable[..., None]]:
    from trove.taskmanager.reconciler import FINDINGS

    return dict(FINDINGS)


def test_each_round_does_a_bounded_part_and_all_are_gone_through(here: World):
    ids = {built(here, name=f"db{number}") for number in range(5)}
    here.cloud.calls.clear()
    found = reconciler(here, batch=2)
    asked: list[set[str]] = []
    for _ in range(3):
        rounds(found, 1)
        asked.append({one for verb, one in here.cloud.calls if verb == "find_server"})
        here.cloud.calls.clear()
    assert [len(one) for one in asked] == [2, 2, 1]
    assert set().union(*asked) == ids


def test_what_an_operation_changes_meanwhile_is_not_overwritten(here: World):
    """The cloud is asked, then an operation runs from begin to end, then the reconciler would write what it had seen."""
    instance_id = built(here)
    here.cloud.stop_server(instance_id, timeout_s=1)
    found = reconciler(here)
    rounds(found, 1)
    ask = here.cloud.find_server

    def ask_and_restart(one: str) -> object:
        answer = ask(one)
        here.cloud.find_server = ask  # type: ignore[method-assign]
        restart.start(here.doors, CALLER, one)
        run_all(here)
        return answer

    here.cloud.find_server = ask_and_restart  # type: ignore[assignment,method-assign]
    rounds(found, 1)
    assert (state(here, instance_id), fault(here, instance_id)) == ("ACTIVE", None)


def test_two_reconcilers_do_not_work_at_once(here: World):
    first, second = reconciler(here), reconciler(here)
    lock = first._locks.try_lock(LOCK)
    assert lock is not None
    with lock:
        assert second.round() is None
    assert second.round() is not None


def test_a_task_manager_that_hangs_in_a_round_does_not_end_reconciling_for_all(here: World):
    hung, other = reconciler(here), reconciler(here)
    lock = hung._locks.try_lock(LOCK)
    assert lock is not None
    now = utcnow()
    for minutes, made in ((0, False), (9, False), (11, False), (12, True)):
        with told_by(lambda then=now + timedelta(minutes=minutes): then):
            assert (other.round() is not None) is made
    lock.release()
    assert other.round() is not None


# -- guests -----------------------------------------------------------------------------------------------------------------


def test_a_guest_that_fell_silent_is_told_with_since_when_and_forgiven_when_heard(here: World):
    silent, heard = built(here, name="silent"), built(here, name="heard")
    heard_long_ago(here, silent)
    found = listening(reconciler(here))
    rounds(found, 1)
    assert fault(here, silent) is None
    assert rounds(found, 1)["guests silent"] == 1
    assert "has not been heard since 20" in str(fault(here, silent))
    assert (state(here, silent), fault(here, heard)) == ("ACTIVE", None)
    here.guests.beat(silent)
    until(lambda: shown(here, silent).guest.heard_at > utcnow() - timedelta(minutes=1))  # type: ignore[operator]
    assert rounds(found, 1)["guests heard again"] == 1
    assert fault(here, silent) is None


def test_replicas_that_do_not_follow_are_named_in_the_log_once(here: World, caplog: pytest.LogCaptureFixture):
    source, astray, well = built(here, name="source"), built(here, name="astray"), built(here, name="well")
    for each, following in ((source, False), (astray, False), (well, True)):
        set_instance(here, each, slave_of_id=None if each == source else source)
        told = ReplicaState(following=following, problem=None if following else "purged").to_json()
        row = sa.update(tables.service_statuses).where(tables.service_statuses.c.instance_id == each)
        change(here, row.values(replica_state=json.dumps(told)))
    found = reconciler(here)
    for number in range(3):
        assert rounds(found, 1)["replicas that do not follow"] == 1
        said = [each for each in caplog.messages if "does not follow its source" in each]
        assert len(said) == min(number, 1)
    assert said == [f"Replica {astray} does not follow its source: purged"]
    assert fault(here, astray) is None


def test_guests_get_time_to_be_heard_again_after_the_control_plane_was_away(here: World):
    """Reports have only just begun to arrive again: nobody counts as silent before one expiry has passed."""
    ids = [built(here, name=f"db{number}") for number in range(3)]
    heard_long_ago(here, *ids[:2])
    rounds(reconciler(here), 4)
    assert [fault(here, one) for one in ids] == [None] * 3


def test_when_no_report_arrives_at_all_guests_that_answer_are_not_blamed(here: World, caplog: pytest.LogCaptureFixture):
    ids = [built(here, name=f"db{number}") for number in range(2)]
    heard_long_ago(here, *ids)
    rounds(listening(reconciler(here)), 3)
    assert [fault(here, one) for one in ids] == [None] * 2
    assert "look at trove-conductor" in caplog.text


def test_when_no_report_arrives_at_all_guests_that_do_not_answer_are_blamed(here: World):
    instance_id = built(here)
    heard_long_ago(here, instance_id)
    here.guests.stop()
    found = listening(reconciler(replace_settings(here, guest_call_timeout_s=0.05)))
    rounds(found, 1)
    assert fault(here, instance_id) is None
    rounds(found, 1)
    assert "has not been heard since" in str(fault(here, instance_id))


def test_guests_are_not_asked_before_they_had_time_to_be_heard(here: World, caplog: pytest.LogCaptureFixture):
    """The whole service was away for an hour and has just started: that no report is fresh means nothing yet."""
    instance_id = built(here)
    heard_long_ago(here, instance_id)
    here.guests.stop()
    rounds(reconciler(replace_settings(here, guest_call_timeout_s=0.05)), 3)
    assert (fault(here, instance_id), caplog.text.count("guest agent")) == (None, 0)


def replace_settings(here: World, **values: object) -> World:
    settings = replace(here.doors.settings, **values)  # type: ignore[arg-type]
    return replace(here, doors=replace(here.doors, settings=settings))


def test_silence_does_not_replace_the_fault_of_an_operation(here: World):
    silent, _ = built(here, name="silent"), built(here, name="heard")
    with here.database.transaction() as tx:
        instances.record_fault(tx, silent, "The restart failed.", "Operation 1")
    heard_long_ago(here, silent)
    rounds(listening(reconciler(here)))
    assert fault(here, silent) == "The restart failed."


# -- tasks and operations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Task.REBOOTING, Task.RESIZING, Task.PROMOTING, Task.UPGRADING])
def test_a_busy_instance_without_an_operation_fails(here: World, task: Task):
    instance_id = built(here)
    set_instance(here, instance_id, task=task)
    assert rounds(reconciler(here), 1)["tasks given up"] == 1
    assert state(here, instance_id) == "ERROR"
    assert "with nothing working on it" in str(fault(here, instance_id))
    delete.start(here.doors, CALLER, instance_id)


def test_a_forgotten_deletion_goes_on(here: World):
    instance_id = built(here)
    set_instance(here, instance_id, task=Task.DELETING)
    assert rounds(reconciler(here), 1)["deletions resumed"] == 1
    with here.database.reading() as tx:
        booked = operations.unfinished(tx, limit=2)
    assert [one.kind for one in booked] == [delete.KIND]
    assert here.announcer.announced[-1] == booked[0].id
    assert "deletions resumed" not in rounds(reconciler(here), 1)
    run_all(here)
    with pytest.raises(NotFound):
        shown(here, instance_id)
    with here.database.reading() as tx:
        assert all(quota.in_use == 0 for quota in quotas.limits_of(tx, PROJECT, {}))


@pytest.mark.parametrize("task", [Task.REBOOTING, Task.DELETING])
def test_a_stranded_instance_that_somebody_takes_meanwhile_is_left_to_them(here: World, task: Task):
    """Between finding and repairing, the tenant deletes it, or another reconciler repairs it."""
    instance_id = built(here)
    set_instance(here, instance_id, task=task)

    class Late:
        """The state database, in which somebody is quicker at the first repair."""

        def __init__(self) -> None:
            self.reading = here.database.reading
            self.transaction = here.database.transaction
            self.taken = False

        def run(self, *words: object, **more: object) -> object:
            if not self.taken:
                self.taken = True
                if task is Task.REBOOTING:
                    delete.start(here.doors, CALLER, instance_id)
                else:
                    rounds(reconciler(here), 1)
            return here.database.run(*words, **more)  # type: ignore[arg-type]

    late = replace(here, doors=replace(here.doors, database=Late()))  # type: ignore[arg-type]
    locks, found = Locks(f"file://{here.lock_dir}-other", "tester"), reconciler(late)
    found._locks = locks
    counts = rounds(found, 1)
    assert not {"tasks given up", "deletions resumed", "comparisons put off"} & set(counts)
    with here.database.reading() as tx:
        assert [one.kind for one in operations.unfinished(tx, limit=9)] == [delete.KIND]
    assert (shown(here, instance_id).task, fault(here, instance_id)) == (Task.DELETING, None)


def test_a_busy_instance_with_an_operation_is_left_alone(here: World):
    instance_id = create.start(here.doors, CALLER, request()).id
    assert "tasks given up" not in rounds(reconciler(here))
    assert shown(here, instance_id).task is Task.BUILDING
    run_all(here)
    restart.start(here.doors, CALLER, instance_id)
    assert "tasks given up" not in rounds(reconciler(here))
    assert shown(here, instance_id).task is Task.REBOOTING


def test_an_operation_that_nobody_runs_is_taken_up(here: World, caplog: pytest.LogCaptureFixture):
    create.start(here.doors, CALLER, request())
    operation_id = here.announcer.announced.pop()
    rounds(reconciler(here), 1)
    assert here.announcer.announced == []
    old = utcnow() - timedelta(minutes=10)
    change(here, sa.update(tables.operations).values(updated=old, created=old))
    assert rounds(reconciler(here), 1)["operations taken up"] == 1
    assert here.announcer.announced == [operation_id]
    assert operation_id in caplog.text


def test_an_operation_whose_lease_runs_is_left_to_its_runner(here: World):
    create.start(here.doors, CALLER, request())
    here.announcer.announced.clear()
    old = utcnow() - timedelta(minutes=10)
    soon = utcnow() + timedelta(minutes=1)
    change(here, sa.update(tables.operations).values(updated=old, lease_until=soon, state=OperationState.RUNNING))
    rounds(reconciler(here), 1)
    assert here.announcer.announced == []
    change(here, sa.update(tables.operations).values(lease_until=old))
    rounds(reconciler(here), 1)
    assert len(here.announcer.announced) == 1


# -- leftovers and orphans --------------------------------------------------------------------------------------------------


def leave(here: World, instance_id: str) -> None:
    """Leave a server, a volume, a port and a bus user in the cloud, as a call that lands late does."""
    here.cloud.ensure_port(instance_id, NicRequest(), None, (3306,))
    here.cloud.ensure_volume(instance_id, size_gib=1, volume_type=None)
    here.admission.admit(instance_id)


def held(here: World) -> set[str]:
    found = here.cloud.leftovers()
    return {*found.servers, *found.volumes, *found.ports, *here.admission.admitted}


def test_what_is_left_of_a_deleted_instance_is_removed_once_it_is_seen_twice(here: World):
    instance_id, other = built(here, name="gone"), built(here, name="stays")
    spec = here.cloud.specs[instance_id]
    delete.start(here.doors, CALLER, instance_id)
    run_all(here)
    leave(here, instance_id)
    here.cloud.ensure_server(spec)
    found = reconciler(here)
    rounds(found, 1)
    assert held(here) == {instance_id, other}
    here.cloud.calls.clear()
    assert rounds(found, 1)["leftovers removed"] == 4
    assert held(here) == {other}
    removals = [verb for verb, one in here.cloud.calls if one == instance_id and verb.startswith("delete")]
    assert removals == ["delete_server", "delete_volume", "delete_port"]
    rounds(found, 1)
    assert recorded(here) == []


def test_a_name_that_is_left_of_a_deleted_instance_is_removed_and_one_of_nobody_is_not(here: World):
    here.doors = replace(here.doors, names=here.cloud)
    gone, stays, unknown = built(here, name="gone"), built(here, name="stays"), new_id()
    delete.start(here.doors, CALLER, gone)
    run_all(here)
    for one in (gone, unknown):
        here.cloud.ensure_name(one, ())  # as a call does that lands late
    found = reconciler(here)
    here.cloud.order_fault("held_names", Unavailable("away"))
    assert rounds(found, 1)["orphans found"] == 0
    rounds(found, 2)
    assert set(here.cloud.names) == {stays, unknown}
    assert [(orphan.kind, orphan.instance_id) for orphan in recorded(here)] == [(HeldKind.NAME, unknown)]


def test_what_is_left_of_a_deleted_instance_stays_while_somebody_works_on_it(here: World):
    instance_id = built(here)
    delete.start(here.doors, CALLER, instance_id)
    run_all(here)
    leave(here, instance_id)
    found = reconciler(here)
    lock = found._locks.try_lock(f"instance-{instance_id}")
    assert lock is not None
    with lock:
        rounds(found, 3)
        assert held(here) == {instance_id}
    change(here, sa.update(tables.operations).values(state=OperationState.RUNNING))
    rounds(found, 3)
    assert held(here) == {instance_id}


def test_what_cannot_be_removed_is_listed_with_the_clouds_words_until_it_can(here: World):
    instance_id = built(here)
    delete.start(here.doors, CALLER, instance_id)
    run_all(here)
    leave(here, instance_id)
    here.cloud.order_fault("delete_volume", CloudError("A snapshot holds it."), times=2)
    found = reconciler(here)
    rounds(found)
    [orphan] = recorded(here)
    assert (orphan.kind, orphan.instance_id) == (HeldKind.VOLUME, instance_id)
    assert "A snapshot holds it." in orphan.reason
    rounds(found, 3)
    assert (recorded(here), held(here)) == ([], set())


def test_what_the_state_database_does_not_know_is_listed_and_never_removed(here: World, caplog: pytest.LogCaptureFixture):
    unknown = new_id()
    leave(here, unknown)
    found = reconciler(here)
    rounds(found, 1)
    first = recorded(here)
    assert [orphan.kind for orphan in first] == [HeldKind.VOLUME, HeldKind.PORT, HeldKind.BUS_USER]
    assert {orphan.instance_id for orphan in first} == {unknown}
    assert "never had this instance" in first[0].reason
    told = caplog.text.count(f"Orphan: volume of {unknown}")
    rounds(found, 4)
    assert caplog.text.count(f"Orphan: volume of {unknown}") == told == 1
    assert held(here) == {unknown}
    again = recorded(here)
    assert [orphan.first_seen for orphan in again] == [orphan.first_seen for orphan in first]
    assert again[0].last_seen > first[0].last_seen


def test_an_empty_state_database_removes_nothing(here: World):
    """As after a wrong `connection`, or an old copy: a database without rows must not cost anybody's data."""
    ids = {built(here, name=f"db{number}") for number in range(3)}
    for table in (tables.operations, tables.service_statuses, tables.instances):
        change(here, sa.delete(table))
    rounds(reconciler(here), 5)
    assert held(here) == ids
    assert {orphan.instance_id for orphan in recorded(here)} == ids


def test_an_orphan_that_is_gone_or_adopted_vanishes_from_the_list(here: World):
    gone, adopted = new_id(), built(here)
    leave(here, gone)
    change(here, sa.update(tables.instances).values(id=new_id()))
    found = reconciler(here)
    rounds(found, 1)
    assert {orphan.instance_id for orphan in recorded(here)} == {gone, adopted}
    here.cloud.delete_volume(gone)
    here.cloud.delete_port(gone)
    here.admission.expel(gone)
    change(here, sa.update(tables.instances).values(id=adopted))
    assert rounds(found, 1)["orphans gone"] == 7
    assert recorded(here) == []


def test_orphans_stay_listed_while_the_cloud_is_away(here: World):
    leave(here, new_id())
    found = reconciler(here)
    rounds(found, 1)
    here.cloud.order_fault("leftovers", Unavailable("away"))
    rounds(found, 1)
    assert len(recorded(here)) == 3


def test_names_that_no_instance_can_have_are_told_once_and_left_alone(here: World, caplog: pytest.LogCaptureFixture):
    here.cloud.ensure_volume("lost+found", size_gib=1, volume_type=None)
    rounds(reconciler(here), 3)
    assert (recorded(here), caplog.text.count("lost+found")) == ([], 1)
    assert here.cloud.leftovers().volumes == ("lost+found",)


def test_guests_whose_bus_users_are_lost_are_let_in_again(here: World):
    instance_id = built(here)
    here.admission.expel(instance_id)
    found = reconciler(here)
    rounds(found, 1)
    assert here.admission.admitted == set()
    assert rounds(found, 1)["guests readmitted"] == 1
    assert here.admission.admitted == {instance_id}


# -- quotas and rows --------------------------------------------------------------------------------------------------------


def test_a_wrong_count_of_a_quota_is_set_right(here: World, caplog: pytest.LogCaptureFixture):
    built(here)
    change(
        here, sa.update(tables.quota_usages).where(tables.quota_usages.c.resource == "instances").values(in_use=7, reserved=2)
    )
    assert rounds(reconciler(here), 1)["quotas set right"] == 1
    with here.database.reading() as tx:
        [found] = [quota for quota in quotas.limits_of(tx, PROJECT, {}) if quota.resource is Resource.INSTANCES]
    assert (found.in_use, found.reserved) == (1, 0)
    assert "in use 1, not 7" in caplog.text


def test_rows_that_nothing_needs_are_removed_and_others_stay(here: World):
    live, gone = built(here, name="live"), new_id()
    running = create.start(here.doors, CALLER, request(name="running"))
    with here.database.reading() as tx:
        [unfinished] = operations.unfinished(tx, limit=2, resource_id=running.id)
    now = utcnow()
    job = {"kind": "prepare", "state": "DONE", "percent": 100, "step": ""}
    with here.database.transaction() as tx:
        tx.execute(sa.insert(tables.service_statuses).values(instance_id=gone, status="new", status_updated=now, restarts=0))
        for instance_id, name, sent in ((gone, "a", now), (live, "fresh", now), (live, "old", now - timedelta(days=3))):
            tx.execute(sa.insert(tables.guest_jobs).values(instance_id=instance_id, name=name, sent=sent, **job))
        for flow_id in (unfinished.id, new_id()):
            tx.execute(sa.insert(tables.workflow_items).values(flow_id=flow_id, path="/a", value=b"{}"))
    counts = rounds(reconciler(here), 1)
    assert (counts["flows forgotten"], counts["reports forgotten"], counts["jobs forgotten"]) == (1, 2, 1)
    with here.database.reading() as tx:
        assert tx.execute(sa.select(tables.workflow_items.c.flow_id)).scalars().all() == [unfinished.id]
        assert set(tx.execute(sa.select(tables.service_statuses.c.instance_id)).scalars()) == {live, running.id}
        names = set(tx.execute(sa.select(tables.guest_jobs.c.name)).scalars())
    assert "fresh" in names
    assert not names & {"a", "old"}


# -- the thread---------------------------------------------------------------------------------------------------------------


def test_the_thread_makes_a_round_at_once_and_stops_when_told(here: World):
    instance_id = built(here)
    set_instance(here, instance_id, task=Task.REBOOTING)
    found = reconciler(here)
    found.start()
    try:
        until(lambda: state(here, instance_id) == "ERROR")
    finally:
        found.stop(timeout_s=10)
    assert not found._thread.is_alive()


def test_a_state_database_that_is_away_ends_a_round_quietly(here: World, caplog: pytest.LogCaptureFixture):
    built(here)

    class Away:
        def reading(self) -> object:
            raise Unavailable("The state database does not answer now; try again.")

        def run(self, *_: object, **__: object) -> None:
            raise Unavailable("The state database does not answer now; try again.")

    away = replace(here, doors=replace(here.doors, database=Away()))  # type: ignore[arg-type]
    counts = rounds(reconciler(away), 1)
    assert set(counts) == {"comparisons put off"}
    assert "put off" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
