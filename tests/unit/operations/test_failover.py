"""Replicas through their life, with guests that follow a script: built, promoted, ejected, detached, and what goes wrong."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.scenes import one_replica, replicated_set, silent_source
from tests.support.stepped import SteppedWorld, idle_instance, stepped_world, unseen
from tests.support.world import CALLER

from trove.core.errors import CloudError, Forbidden, InvalidInput, NotReady
from trove.core.instances import Access, Instance
from trove.core.operations import Operation
from trove.core.status import ServerStatus, shown_status
from trove.operations.instance import delete, detach, eject, promote, replicate, reset_status, update_access
from trove.store import census, instances, operations


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    with stepped_world(tmp_path) as made:
        yield made


def get(here: SteppedWorld, instance_id: str) -> Instance:
    with here.store.reading() as tx:
        return instances.get(tx, instance_id)


def last_operation(here: SteppedWorld) -> Operation:
    with here.store.reading() as tx:
        return operations.page(tx, project_id=CALLER.project_id, limit=1).items[0]


def shown(here: SteppedWorld, *ids: str) -> list[str]:
    return [shown_status(each.task, each.server_status) for each in (get(here, one) for one in ids)]


def the_set(here: SteppedWorld, source: str) -> tuple[str, str, str]:
    first, second = get(here, source).replicas
    return source, first, second


def jobs(here: SteppedWorld, instance_id: str) -> list[str]:
    return [kind for guest, kind, _ in here.guests.jobs if guest == instance_id]


def given(here: SteppedWorld, instance_id: str, kind: str) -> Mapping[str, object]:
    return [args for guest, done, args in here.guests.jobs if (guest, done) == (instance_id, kind)][-1]


def test_a_replica_is_built_from_a_snapshot_with_an_account_of_its_own(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    assert [job for job in jobs(here, source) if job != "backup"] == ["prepare", *["get_replication_snapshot"] * 2]
    for replica in (first, second):
        assert jobs(here, replica) == ["prepare_replica"]
        args = given(here, replica, "prepare_replica")
        assert args["snapshot"]["of"] == source  # type: ignore[index]
        assert args["source"]["host"] == get(here, source).addresses[0].address  # type: ignore[index]
        assert "first.cnf" not in here.cloud.specs[replica].files
    accounts = [given(here, each, "prepare_replica")["source"]["account"] for each in (first, second)]  # type: ignore[index]
    passwords = {account["password"] for account in accounts}
    assert len(passwords) == 2
    stored = here.path.read_bytes() + here.path.with_name("trove.sqlite-wal").read_bytes()
    assert not [password for password in passwords if password.encode() in stored]


def test_a_promotion_swaps_the_roles_of_the_whole_set(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    promote.start(here.doors, CALLER, second)
    assert shown(here, source, first, second) == ["PROMOTE"] * 3
    here.run_until_quiet(unseen)
    assert shown(here, source, first, second) == ["ACTIVE"] * 3
    assert get(here, second).replica_of is None
    assert get(here, second).replicas == tuple(sorted((source, first)))
    roles = here.guests.replication
    assert (roles.role(second).writable, roles.role(source).writable, roles.role(first).writable) == (True, False, False)
    assert {roles.role(each).follows for each in (source, first)} == {get(here, second).addresses[0].address}
    assert not roles.split
    assert jobs(here, source)[-2:] == ["attach_replica", "demote_replication_master"]
    assert not [each for each in (source, first, second) if get(here, each).fault]


def test_the_source_is_closed_before_the_last_write_is_asked_for_and_the_candidate_opened(here: SteppedWorld) -> None:
    source, first, _ = the_set(here, replicated_set(here))
    before = len(here.guests.jobs)
    promote.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    names = {source: "source", first: "candidate"}
    order = [(names.get(guest, "other"), kind) for guest, kind, _ in here.guests.jobs[before:]]
    assert order[:7] == [
        ("source", "get_latest_txn_id"),
        ("candidate", "wait_for_txn"),
        ("source", "make_read_only"),
        ("source", "get_latest_txn_id"),
        ("candidate", "wait_for_txn"),
        ("candidate", "detach_replica"),
        ("candidate", "enable_as_master"),
    ]


def test_a_promotion_that_fails_before_the_roles_change_leaves_all_as_it_was(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    here.script.failing["detach_replica"] = "It lags by an hour."
    promote.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    assert last_operation(here).error == "It lags by an hour."
    assert shown(here, source, first, second) == ["ACTIVE"] * 3
    assert [get(here, each).replica_of for each in (source, first, second)] == [None, source, source]
    assert here.guests.replication.role(source).writable
    assert here.guests.replication.role(first).follows
    assert get(here, first).fault.message == "It lags by an hour."  # type: ignore[union-attr]
    assert get(here, source).fault is None


def test_a_source_of_which_is_not_known_whether_it_takes_writes_says_so(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    here.script.silent.add("make_read_only")
    promote.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    assert shown(here, source, first, second) == ["ERROR", "ACTIVE", "ACTIVE"]
    assert "not known whether it takes writes" in get(here, source).fault.message  # type: ignore[union-attr]


def test_a_new_source_that_does_not_open_is_not_taken_back_but_shown(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    here.script.failing["enable_as_master"] = "Out of memory."
    promote.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    assert get(here, source).replica_of == first
    assert shown(here, source, first, second) == ["ERROR"] * 3
    assert not [each for each in (source, first, second) if here.guests.replication.role(each).writable]
    # The way out: their owner frees them and makes the old source the source again.
    here.script.failing.clear()
    for each in (source, first, second):
        reset_status.start(here.doors, CALLER, each)
        here.guests.beat(each)
    while here.bus.order:
        here.deliver(unseen)
    promote.start(here.doors, CALLER, source)
    here.run_until_quiet(unseen)
    assert shown(here, source, first, second) == ["ACTIVE"] * 3
    assert get(here, source).replicas == tuple(sorted((first, second)))
    assert here.guests.replication.role(source).writable


def test_who_does_not_follow_is_left_behind_and_the_others_are_not(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    here.cloud._servers.pop(second)
    promote.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    assert shown(here, source, first, second) == ["ACTIVE", "ACTIVE", "ERROR"]
    assert "vanished" in get(here, second).fault.message  # type: ignore[union-attr]
    assert last_operation(here).state == "SUCCEEDED"


def test_an_ejection_fences_the_source_and_chooses_who_has_received_most(here: SteppedWorld) -> None:
    source, first, second = the_set(here, silent_source(here))
    best = max((first, second), key=lambda each: here.guests.replication.received[each])
    other = first if best == second else second
    eject.start(here.doors, CALLER, source)
    assert shown(here, source, first, second) == ["EJECT"] * 3
    here.run_until_quiet(unseen)
    assert here.cloud._servers[source].status is ServerStatus.SHUTDOWN
    assert [get(here, each).replica_of for each in (source, best, other)] == [None, None, best]
    assert get(here, source).replicas == ()
    assert shown(here, source, best, other) == ["SHUTDOWN", "ACTIVE", "ACTIVE"]
    assert here.guests.replication.role(best).writable
    assert not here.guests.replication.split
    assert "ejected" in get(here, source).fault.message  # type: ignore[union-attr]
    # It stands alone: it can be started again, or deleted.
    delete.start(here.doors, CALLER, source)


def test_a_source_is_not_deleted_in_the_middle_of_its_ejection(here: SteppedWorld) -> None:
    source, first, second = the_set(here, silent_source(here))
    eject.start(here.doors, CALLER, source)
    refused: list[str] = []

    def delete_it(_point: object) -> None:
        if get(here, source).replica_of is not None and not refused:  # the roles were recorded: it is no source any more
            with pytest.raises(Forbidden, match="ejected"):
                delete.start(here.doors, CALLER, source)
            refused.append(source)

    here.run_until_quiet(delete_it)
    assert refused
    assert shown(here, source, first, second) == ["SHUTDOWN", "ACTIVE", "ACTIVE"]


def test_a_source_that_cannot_be_fenced_is_not_ejected(here: SteppedWorld) -> None:
    source, first, second = the_set(here, silent_source(here))
    here.cloud.order_fault("stop_server", CloudError("The host does not answer."), times=None)
    eject.start(here.doors, CALLER, source)
    here.run_until_quiet(unseen)
    assert last_operation(here).error == "The host does not answer."
    assert [get(here, each).replica_of for each in (source, first, second)] == [None, source, source]
    assert not here.guests.replication.role(first).writable


def test_a_detached_replica_stands_alone_and_its_source_is_told(here: SteppedWorld) -> None:
    replica = one_replica(here)
    source = get(here, replica).replica_of
    assert source is not None
    detach.start(here.doors, CALLER, replica)
    assert shown(here, replica, source) == ["DETACH", "ACTIVE"]
    here.run_until_quiet(unseen)
    assert get(here, replica).replica_of is None
    assert here.guests.replication.role(replica).writable
    assert jobs(here, source)[-1] == "cleanup_source_on_replica_detach"
    delete.start(here.doors, CALLER, source)


def test_what_parted_is_shown_as_parted_although_the_operation_failed(here: SteppedWorld) -> None:
    replica = one_replica(here)
    detach.start(here.doors, CALLER, replica)

    def break_off(point: object) -> None:
        if str(point) == "after do detach_replica":
            raise CloudError("A bolt from the blue.")

    here.run_until_quiet(break_off)
    assert get(here, replica).replica_of is None
    assert here.guests.replication.role(replica).writable


def test_a_deletion_of_the_candidate_is_waited_for_and_frees_the_others(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    promote.start(here.doors, CALLER, first)
    delete.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    assert shown(here, source, second) == ["ACTIVE", "ACTIVE"]
    assert get(here, source).replicas == (second,)
    assert here.guests.replication.role(source).writable


def test_a_source_is_not_deleted_while_it_has_replicas(here: SteppedWorld) -> None:
    source, _, _ = the_set(here, replicated_set(here))
    with pytest.raises(Forbidden):
        delete.start(here.doors, CALLER, source)


def test_members_that_one_operation_holds_are_not_stranded(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    promote.start(here.doors, CALLER, first)
    with here.store.reading() as tx:
        assert census.stranded(tx, limit=9) == ()
    with here.store.transaction() as tx:
        tx.connection.exec_driver_sql("update operations set state = 'FAILED'")
    with here.store.reading() as tx:
        assert {each.instance_id for each in census.stranded(tx, limit=9)} == {source, first, second}


def test_a_set_is_not_taken_again_before_the_last_one_has_let_it_go(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    promote.start(here.doors, CALLER, first)
    for each in (source, first, second):
        reset_status.start(here.doors, CALLER, each)
        here.guests.beat(each)
    while here.bus.order:
        here.deliver(unseen)
    with pytest.raises(NotReady, match="has not ended yet"):
        promote.start(here.doors, CALLER, second)
    here.run_until_quiet(unseen)
    promote.start(here.doors, CALLER, second)


def test_who_waited_for_a_restart_still_waits_after_a_promotion(here: SteppedWorld) -> None:
    source, first, second = the_set(here, replicated_set(here))
    with here.store.transaction() as tx:
        tx.connection.exec_driver_sql("update instances set task = 'RESTART_REQUIRED' where id in (?, ?)", (source, first))
    promote.start(here.doors, CALLER, first)
    here.run_until_quiet(unseen)
    assert shown(here, source, first, second) == ["RESTART_REQUIRED", "RESTART_REQUIRED", "ACTIVE"]


def test_access_is_opened_anew_or_left_as_it_was(here: SteppedWorld) -> None:
    instance_id = idle_instance(here)
    wanted = Access(is_public=True, allowed_cidrs=("10.0.0.0/8",))
    update_access.start(here.doors, CALLER, instance_id, wanted)
    here.run_until_quiet(unseen)
    assert get(here, instance_id).access == here.cloud.accesses[instance_id] == wanted
    here.cloud.order_fault("update_access", CloudError("No such group."))
    update_access.start(here.doors, CALLER, instance_id, Access())
    here.run_until_quiet(unseen)
    assert get(here, instance_id).access == here.cloud.accesses[instance_id] == wanted
    assert shown(here, instance_id) == ["ACTIVE"]
    assert get(here, instance_id).fault.message == "No such group."  # type: ignore[union-attr]


def test_there_are_at_most_three_at_once(here: SteppedWorld) -> None:
    source = idle_instance(here)
    with pytest.raises(InvalidInput, match="replica_count"):
        replicate.start(here.doors, CALLER, replicate.CreateReplicas(name="r", source_id=source, count=4))
