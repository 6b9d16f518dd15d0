"""Operations: taken by one owner at a time, fenced when taken over, secrets sealed and emptied."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.support.rows import add_operation

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.operations import Fence, OperationState
from trove.store import operations
from trove.store.session import Database


def test_a_new_operation_is_pending_and_shows_no_secret(database: Database) -> None:
    args = {"name": "Größe", "databases": [{"name": "a"}], "size": 3}
    made = add_operation(database, args=args, secrets={"password": "hunter2"})
    with database.reading() as tx:
        found = operations.get(tx, made.id, project_id="p")
        stored = tx.execute(text("SELECT secrets FROM operations")).scalar_one()
        with pytest.raises(errors.NotFound):
            operations.get(tx, made.id, project_id="other")
        with pytest.raises(errors.NotFound):
            operations.get(tx, new_id())
    assert found == made
    assert (found.state, found.args, found.secrets, found.fence, found.attempts) == (OperationState.PENDING, args, {}, 0, 0)
    assert b"hunter2" not in bytes(stored)


def test_a_claim_fences_the_former_owner_and_hands_out_the_secrets(database: Database) -> None:
    made = add_operation(database, secrets={"password": "hunter2"})
    with database.transaction() as tx:
        first, old = operations.claim(tx, made.id, owner="a")
        second, new = operations.claim(tx, made.id, owner="b")
    assert (first.state, first.owner, first.attempts, first.secrets) == ("RUNNING", "a", 1, {"password": "hunter2"})
    assert (second.state, second.owner, second.attempts, second.started) == ("RUNNING", "b", 2, first.started)
    assert (old.number, new.number) == (1, 2)
    assert "hunter2" not in repr(second)
    with database.transaction() as tx:
        operations.check(tx, new)
        operations.progress(tx, new, step="server", percent=20)
        for write in (
            lambda: operations.check(tx, old),
            lambda: operations.progress(tx, old, step="x", percent=1),
            lambda: operations.reverting(tx, old),
            lambda: operations.finish(tx, old, OperationState.SUCCEEDED),
            lambda: operations.check(tx, Fence(operation_id=new_id(), number=1)),
        ):
            with pytest.raises(errors.Fenced):
                write()
        found = operations.get(tx, made.id)
        assert (found.step, found.percent, found.state) == ("server", 20, OperationState.RUNNING)


def test_a_claim_of_a_reverting_operation_goes_on_reverting(database: Database) -> None:
    made = add_operation(database)
    with database.transaction() as tx:
        _, fence = operations.claim(tx, made.id, owner="a")
        operations.reverting(tx, fence)
        operations.reverting(tx, fence)
        again, _ = operations.claim(tx, made.id, owner="b")
    assert again.state is OperationState.REVERTING


def test_the_end_empties_the_secrets_and_forbids_everything_after(database: Database) -> None:
    made = add_operation(database, secrets={"password": "hunter2"})
    with database.transaction() as tx:
        _, fence = operations.claim(tx, made.id, owner="a")
        operations.finish(tx, fence, OperationState.FAILED, "no room")
        operations.finish(tx, fence, OperationState.FAILED, "no room")
        assert tx.execute(text("SELECT secrets FROM operations")).scalar_one() is None
        found = operations.get(tx, made.id)
        assert (found.state, found.error, found.percent) == (OperationState.FAILED, "no room", 0)
        assert found.finished is not None
        with pytest.raises(errors.Conflict, match="FAILED"):
            operations.claim(tx, made.id, owner="b")
        with pytest.raises(errors.Fenced):
            operations.finish(tx, fence, OperationState.SUCCEEDED)
        with pytest.raises(errors.Fenced):
            operations.check(tx, fence)
        with pytest.raises(errors.NotFound):
            operations.claim(tx, new_id(), owner="b")
        assert operations.request_cancel(tx, made.id) is False


def test_success_is_a_hundred_percent(database: Database) -> None:
    made = add_operation(database)
    with database.transaction() as tx:
        _, fence = operations.claim(tx, made.id, owner="a")
        operations.finish(tx, fence, OperationState.SUCCEEDED)
        assert operations.get(tx, made.id).percent == 100


def test_cancelling_is_a_request_that_the_runner_reads(database: Database) -> None:
    made = add_operation(database)
    with database.transaction() as tx:
        assert operations.cancel_requested(tx, made.id) is False
        assert operations.request_cancel(tx, made.id) is True
        assert operations.request_cancel(tx, made.id) is True
        assert operations.cancel_requested(tx, made.id) is True
        for ask in (operations.request_cancel, operations.cancel_requested):
            with pytest.raises(errors.NotFound):
                ask(tx, new_id())


def test_lists_filter_and_page_newest_first(database: Database) -> None:
    mine = [add_operation(database, resource_id=f"r{number % 2}") for number in range(5)]
    add_operation(database, project_id="other", kind="instance.delete")
    with database.transaction() as tx:
        operations.claim(tx, mine[0].id, owner="a")
        first = operations.page(tx, project_id="p", limit=3)
        second = operations.page(tx, project_id="p", limit=3, marker=first.next_marker)
        assert [each.id for each in (*first.items, *second.items)] == [each.id for each in reversed(mine)]
        assert second.next_marker is None
        assert len(operations.page(tx, project_id="p", resource_id="r1", limit=9).items) == 2
        assert [each.id for each in operations.page(tx, project_id="p", state=OperationState.RUNNING, limit=9).items] == [
            mine[0].id
        ]
        assert len(operations.page(tx, project_id=None, limit=9).items) == 6
        assert len(operations.page(tx, project_id=None, kind="instance.delete", limit=9).items) == 1
        with pytest.raises(errors.InvalidInput):
            operations.page(tx, project_id="other", limit=3, marker=mine[0].id)


def test_unfinished_ones_come_oldest_first_and_finished_ones_can_be_removed(database: Database) -> None:
    made = [add_operation(database, resource_id=f"r{number}") for number in range(4)]
    with database.transaction() as tx:
        for each in made[:2]:
            operations.finish(tx, operations.claim(tx, each.id, owner="a")[1], OperationState.SUCCEEDED)
        assert [each.id for each in operations.unfinished(tx, limit=9)] == [made[2].id, made[3].id]
        assert [each.id for each in operations.unfinished(tx, limit=1)] == [made[2].id]
        assert [each.id for each in operations.unfinished(tx, limit=9, resource_id="r3")] == [made[3].id]
        assert operations.delete_finished(tx, utcnow() - timedelta(hours=1), 10) == 0
        assert operations.delete_finished(tx, utcnow() + timedelta(hours=1), 1) == 1
        assert operations.delete_finished(tx, utcnow() + timedelta(hours=1), 10) == 1
        assert operations.delete_finished(tx, utcnow() + timedelta(hours=1), 10) == 0
        assert len(operations.page(tx, project_id="p", limit=9).items) == 2


def test_whether_at_least_so_many_have_not_ended(database: Database) -> None:
    made = [add_operation(database) for _ in range(3)]
    with database.transaction() as tx:
        operations.claim(tx, made[0].id, owner="a")
        _, fence = operations.claim(tx, made[1].id, owner="a")
        assert [operations.are_unfinished(tx, count) for count in (1, 3, 4)] == [True, True, False]
        operations.finish(tx, fence, OperationState.FAILED, "x")
        assert [operations.are_unfinished(tx, count) for count in (1, 2, 3)] == [True, True, False]


def test_of_many_that_claim_at_once_the_last_one_only_can_write(database: Database) -> None:
    made = add_operation(database)
    fences: list[Fence] = []

    def claim() -> None:
        fences.append(database.run(operations.claim, made.id, owner=threading.current_thread().name)[1])

    threads = [threading.Thread(target=claim) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fence.number for fence in fences) == list(range(1, 13))
    valid = []
    for fence in fences:
        with database.transaction() as tx:
            try:
                operations.check(tx, fence)
            except errors.Fenced:
                continue
            valid.append(fence.number)
    assert valid == [12]


def test_nobody_can_claim_between_the_check_of_a_fence_and_its_commit(database: Database) -> None:
    made = add_operation(database)
    fence = database.run(operations.claim, made.id, owner="a")[1]
    order: list[str] = []
    started = threading.Event()

    def take_over() -> None:
        started.set()
        database.run(operations.claim, made.id, owner="b")
        order.append("claimed")

    thread = threading.Thread(target=take_over)
    with database.transaction() as tx:
        operations.check(tx, fence)
        thread.start()
        started.wait(5)
        thread.join(0.2)
        order.append("written")
    thread.join()
    assert order == ["written", "claimed"]


def test_a_claim_begins_a_lease_and_the_runner_renews_all_that_it_still_owns_at_once(database: Database) -> None:
    mine = [add_operation(database) for _ in range(3)]
    with database.transaction() as tx:
        claims = [operations.claim(tx, each.id, owner="a", lease_s=20) for each in mine]
        first = claims[0][0]
        assert first.lease_until is not None
        assert timedelta(seconds=15) < first.lease_until - utcnow() <= timedelta(seconds=20)
        operations.claim(tx, mine[1].id, owner="b")
        operations.finish(tx, claims[2][1], OperationState.SUCCEEDED)
        until = utcnow() + timedelta(hours=1)
        assert operations.renew(tx, [claims[0][1]], until) == set()
        assert operations.renew(tx, [fence for _, fence in claims], until) == {mine[1].id, mine[2].id}
        assert [operations.get(tx, each.id).lease_until == until for each in mine] == [True, False, False]


def test_a_lease_that_runs_is_respected_by_whom_asks_for_expired_ones_only(database: Database) -> None:
    made = add_operation(database)
    with database.transaction() as tx:
        operations.claim(tx, made.id, owner="a", lease_s=20)
        with pytest.raises(errors.Conflict, match="has a runner, a, until"):
            operations.claim(tx, made.id, owner="b", expired_before=utcnow())
        later = utcnow() + timedelta(seconds=21)
        assert operations.claim(tx, made.id, owner="b", expired_before=later)[0].owner == "b"
        # Without it the lock decides, and its new holder is right.
        assert operations.claim(tx, made.id, owner="c")[1].number == 3


def test_what_is_let_go_can_be_taken_at_once_and_still_be_ended_by_its_owner(database: Database) -> None:
    made = add_operation(database)
    with database.transaction() as tx:
        _, fence = operations.claim(tx, made.id, owner="a")
        operations.let_go(tx, fence)
        operations.check(tx, fence)
        _, newer = operations.claim(tx, made.id, owner="b", expired_before=utcnow())
        operations.let_go(tx, fence)
        lease = operations.get(tx, made.id).lease_until
        assert lease is not None
        assert lease > utcnow()
        operations.check(tx, newer)


def test_what_is_taken_away_from_an_owner_fences_it_off_even_before_another_claims(database: Database) -> None:
    made = add_operation(database)
    with database.transaction() as tx:
        _, old = operations.claim(tx, made.id, owner="a")
        _, fence = operations.claim(tx, made.id, owner="b")
        assert not operations.disown(tx, made.id, old)
        operations.check(tx, fence)
        assert operations.disown(tx, made.id, fence)
        with pytest.raises(errors.Fenced):
            operations.check(tx, fence)
        assert operations.disown(tx, made.id)
        assert operations.claim(tx, made.id, owner="c", expired_before=utcnow())[0].state is OperationState.RUNNING
        operations.finish(tx, Fence(operation_id=made.id, number=5), OperationState.SUCCEEDED)
        assert not operations.disown(tx, made.id)


def test_the_last_sign_of_a_runner_on_a_resource_is_its_latest_lease(database: Database) -> None:
    first, second = (add_operation(database, resource_id="r") for _ in range(2))
    add_operation(database, resource_id="other")

    def sign() -> float | None:
        with database.reading() as tx:
            until = operations.leased_until(tx, "r", lease_s=100)
        return None if until is None else round((until - first.created).total_seconds(), -1)

    assert sign() == 100
    fence = database.run(operations.claim, first.id, owner="a", lease_s=500)[1]
    assert sign() == 500
    # Its runner goes on to the next operation of the resource under the same lock.
    database.run(operations.finish, fence, OperationState.SUCCEEDED)
    assert sign() == 500
    database.run(operations.let_go, fence)
    assert sign() == 100
    database.run(operations.finish, database.run(operations.claim, second.id, owner="a")[1], OperationState.SUCCEEDED)
    assert sign() is None


def test_an_operation_begun_before_there_were_leases_counts_as_leased_for_a_while(database: Database) -> None:
    made = add_operation(database, resource_id="r")
    with database.transaction() as tx:
        operations.claim(tx, made.id, owner="a")
        tx.execute(text("UPDATE operations SET lease_until = NULL, created = '2001-01-01 00:00:00.000000'"))
        until = operations.leased_until(tx, "r", lease_s=100)
        assert until is not None
        assert until > utcnow() + timedelta(seconds=50)
