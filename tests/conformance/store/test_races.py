"""Actions that contradict each other, at once and many times: one wins, the others hear why, and every count is exact."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from sqlalchemy import update
from tests.support.rows import add_version
from tests.support.world import CALLER, PROJECT, MemoryAdmission, RecordedAnnouncer, request

from trove.bus.memory import MemoryBus
from trove.cloud.memory import MemoryCloud
from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import CloudError, NotFound, NotReady, TroveError, Unavailable
from trove.core.instances import Heartbeat, Instance
from trove.core.operations import Operation, OperationState
from trove.core.quotas import Resource
from trove.core.status import ServerStatus, ServiceStatus, Task
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.catalogue import KINDS
from trove.operations.doors import Doors, Settings
from trove.operations.instance import create, delete, reset_status, restart
from trove.operations.work import Work
from trove.store import datastores, guests, instances, operations, quotas, tables
from trove.store.session import Database, Tx

ADMIN = Caller(project_id="admins", user_id="u2", request_id="req-2", is_admin=True)
ROUNDS = 4
TRIES = 30

Deed = Callable[[], object]


@pytest.fixture
def doors(database: Database) -> Iterator[Doors]:
    """The real store with the rest in memory; no runner: tests end operations themselves."""
    version = add_version(database, version="10.11.6")
    database.run(datastores.put_datastore, "mariadb", version.id)
    bus = MemoryBus()
    yield Doors(
        database=database,
        cloud=MemoryCloud(),
        bus=bus,
        admission=MemoryAdmission(),
        objects=MemoryObjectStore(),
        announcer=RecordedAnnouncer(),
        settings=Settings(),
    )
    bus.close()


def at_once(*deeds: Deed) -> list[TroveError | None]:
    """Do everything at the same time; return, in the order given, what each was refused with.

    Who hears that the database has no connection left now asks again, as clients do.
    """
    outcomes: list[TroveError | None] = [None] * len(deeds)
    broken: list[BaseException] = []
    gate = threading.Barrier(len(deeds))

    def run(number: int, deed: Deed) -> None:
        gate.wait()
        outcomes[number] = Unavailable("not asked yet")
        tries = iter(range(TRIES))
        try:
            while type(outcomes[number]) is Unavailable and next(tries, None) is not None:
                outcomes[number] = _refusal(deed)
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    return outcomes


def _refusal(deed: Deed) -> TroveError | None:
    try:
        deed()
    except TroveError as error:
        return error
    return None


def begin(doors: Doors, operation: Operation) -> Work:
    """Claim an operation, as a runner does."""
    claimed, fence = doors.database.run(operations.claim, operation.id, owner="tester")
    return Work(doors=doors, operation=claimed, fence=fence)


def end(work: Work, error: TroveError | None = None) -> None:
    """End an operation as a runner does, in one transaction."""

    def conclude(tx: Tx) -> None:
        kind = KINDS[work.operation.kind]
        if error is None:
            kind.succeed(tx, work)
        else:
            kind.fail(tx, work, error)
        operations.finish(tx, work.fence, OperationState.FAILED if error else OperationState.SUCCEEDED)

    work.doors.database.run(conclude)


def waiting(doors: Doors, instance_id: str | None = None) -> tuple[Operation, ...]:
    with doors.database.reading() as tx:
        return operations.unfinished(tx, limit=100, resource_id=instance_id)


def found(doors: Doors, instance_id: str) -> Instance:
    with doors.database.reading() as tx:
        return instances.get(tx, instance_id)


def building(doors: Doors) -> tuple[str, Work]:
    made = create.start(doors, CALLER, request(volume_size_gib=1))
    return made.id, begin(doors, waiting(doors, made.id)[0])


def active(doors: Doors) -> str:
    instance_id, work = building(doors)
    end(work)
    beat = Heartbeat(instance_id=instance_id, sent=utcnow(), status=ServiceStatus.HEALTHY)
    doors.database.run(guests.apply_heartbeats, [beat])
    return instance_id


def counts(doors: Doors) -> dict[Resource, tuple[int, int]]:
    with doors.database.reading() as tx:
        return {quota.resource: (quota.in_use, quota.reserved) for quota in quotas.limits_of(tx, PROJECT, {})}


def assert_exact(doors: Doors) -> None:
    assert doors.database.run(quotas.recount, PROJECT) == ()


def test_of_fifty_creations_at_once_the_quota_lets_exactly_ten_through(doors: Doors) -> None:
    asked = [partial(create.start, doors, CALLER, request(volume_size_gib=1)) for _ in range(50)]
    outcomes = Counter(error.code if error else "accepted" for error in at_once(*asked))
    assert outcomes == {"accepted": 10, "quota_exceeded": 40}
    assert counts(doors)[Resource.INSTANCES] == (0, 10)
    assert counts(doors)[Resource.VOLUMES] == (0, 10)
    assert counts(doors)[Resource.RAM] == (0, 5120)
    assert_exact(doors)
    works = [begin(doors, operation) for operation in waiting(doors)]
    assert len(works) == 10
    refusal = CloudError("No valid host was found.")
    assert not any(at_once(*[partial(end, work, refusal if n % 3 else None) for n, work in enumerate(works)]))
    assert counts(doors)[Resource.INSTANCES] == (10, 0), "what failed counts until it is deleted"
    assert_exact(doors)


def test_creations_and_deletions_at_once_keep_every_count_exact(doors: Doors) -> None:
    with doors.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, Resource.INSTANCES, 8)
    standing = [active(doors) for _ in range(4)]
    halfway = [building(doors) for _ in range(2)]

    def make() -> None:
        made = create.start(doors, CALLER, request(volume_size_gib=1))
        end(begin(doors, waiting(doors, made.id)[0]))

    def remove(instance_id: str) -> None:
        delete.start(doors, CALLER, instance_id)
        end(begin(doors, waiting(doors, instance_id)[-1]))

    deeds: list[Deed] = [make for _ in range(10)]
    deeds += [partial(remove, each) for each in standing]
    deeds += [partial(end, work, CloudError("no")) for _, work in halfway]
    outcomes = at_once(*deeds)
    assert all(error is None or error.code == "quota_exceeded" for error in outcomes)
    assert outcomes[10:] == [None] * 6
    made = outcomes[:10].count(None)
    assert 2 <= made <= 6
    assert counts(doors)[Resource.INSTANCES] == (2 + made, 0)
    assert_exact(doors)


def test_a_deletion_that_overtakes_the_creation_takes_nothing_from_others(doors: Doors) -> None:
    """As when the clocks of two API servers disagree: the younger operation seems to be the older one."""
    active(doors)
    instance_id, build = building(doors)
    delete.start(doors, CALLER, instance_id)
    end(begin(doors, waiting(doors, instance_id)[-1]))
    assert counts(doors)[Resource.INSTANCES] == (1, 1)
    assert_exact(doors)
    end(build, NotFound("It is gone."))
    assert counts(doors)[Resource.INSTANCES] == (1, 0)
    assert_exact(doors)


def test_a_creation_from_before_there_were_reservations_ends_without_being_counted_again(doors: Doors) -> None:
    made = create.start(doors, CALLER, request(volume_size_gib=1))
    with doors.database.transaction() as tx:
        tx.execute(update(tables.operations).values(reserved=None))
        tx.execute(update(tables.quota_usages).values(in_use=tables.quota_usages.c.reserved, reserved=0))
    end(begin(doors, waiting(doors, made.id)[0]), CloudError("No valid host was found."))
    assert counts(doors)[Resource.INSTANCES] == (1, 0)
    assert_exact(doors)
    delete.start(doors, CALLER, made.id)
    end(begin(doors, waiting(doors, made.id)[0]))
    assert set(counts(doors).values()) == {(0, 0)}


def test_of_many_restarts_one_wins_and_the_others_hear_why(doors: Doors) -> None:
    for _ in range(ROUNDS):
        instance_id = active(doors)
        lost = [error for error in at_once(*[partial(restart.start, doors, CALLER, instance_id)] * 8) if error]
        assert len(lost) == 7
        assert all(isinstance(error, NotReady) and "REBOOT" in error.message for error in lost)
        assert [each.kind for each in waiting(doors, instance_id)] == [restart.KIND]


def test_of_many_deletions_one_wins_and_the_others_hear_why(doors: Doors) -> None:
    for _ in range(ROUNDS):
        instance_id = active(doors)
        lost = [error for error in at_once(*[partial(delete.start, doors, CALLER, instance_id)] * 8) if error]
        assert len(lost) == 7
        assert all(isinstance(error, NotReady) and "SHUTDOWN" in error.message for error in lost)
        assert [each.kind for each in waiting(doors, instance_id)] == [delete.KIND]


def test_a_deletion_beats_restarts_and_cancels_the_one_that_came_first(doors: Doors) -> None:
    for _ in range(ROUNDS):
        instance_id = active(doors)
        restarts: list[Deed] = [partial(restart.start, doors, CALLER, instance_id)] * 4
        deletions: list[Deed] = [partial(delete.start, doors, CALLER, instance_id)] * 4
        outcomes = at_once(*restarts, *deletions)
        assert outcomes[4:].count(None) == 1
        assert all(error is None or isinstance(error, NotReady) for error in outcomes)
        assert all("REBOOT" in error.message or "SHUTDOWN" in error.message for error in outcomes if error)
        booked = waiting(doors, instance_id)
        assert Counter(each.kind for each in booked) == Counter({restart.KIND: outcomes[:4].count(None), delete.KIND: 1})
        assert all(each.cancel_requested == (each.kind == restart.KIND) for each in booked)
        assert found(doors, instance_id).task is Task.DELETING


def test_a_build_that_ends_while_its_status_is_reset_ends_whole_or_is_left_alone(doors: Doors) -> None:
    for _ in range(2 * ROUNDS):
        instance_id, build = building(doors)
        assert at_once(partial(end, build), partial(reset_status.start, doors, ADMIN, instance_id)) == [None, None]
        left = found(doors, instance_id)
        assert (left.task, left.server_status) in {(Task.NONE, ServerStatus.ACTIVE), (Task.FAILED, ServerStatus.ERROR)}
        assert (left.fault is None) == (left.task is Task.NONE)
        assert_exact(doors)
        delete.start(doors, CALLER, instance_id)
        end(begin(doors, waiting(doors, instance_id)[0]))


@pytest.mark.parametrize("error", [None, CloudError("No valid host was found.")], ids=["well", "badly"])
def test_a_deletion_is_accepted_whenever_a_build_ends_and_nothing_shows_over_it(doors: Doors, error: CloudError | None) -> None:
    for _ in range(ROUNDS):
        instance_id, build = building(doors)
        ended = at_once(partial(end, build, error), partial(delete.start, doors, CALLER, instance_id))
        assert ended == [None, None]
        assert found(doors, instance_id).task is Task.DELETING
        end(begin(doors, waiting(doors, instance_id)[0]))
        assert counts(doors)[Resource.INSTANCES] == (0, 0)


def test_a_reset_and_a_deletion_at_once_leave_what_can_be_deleted(doors: Doors) -> None:
    for _ in range(ROUNDS):
        instance_id, build = building(doors)
        at_once(
            partial(reset_status.start, doors, ADMIN, instance_id),
            partial(delete.start, doors, CALLER, instance_id),
            partial(restart.start, doors, CALLER, instance_id),
            partial(end, build, CloudError("no")),
        )
        left = found(doors, instance_id)
        assert left.task in {Task.DELETING, Task.FAILED}
        with suppress(NotReady):
            delete.start(doors, CALLER, instance_id)
        for operation in waiting(doors, instance_id):
            assert operation.kind == delete.KIND
            end(begin(doors, operation))
        with pytest.raises(NotFound):
            found(doors, instance_id)
        assert counts(doors)[Resource.INSTANCES] == (0, 0)


def test_an_action_that_was_reset_does_not_end_the_one_that_was_accepted_since(doors: Doors) -> None:
    instance_id = active(doors)
    restart.start(doors, CALLER, instance_id)
    first = begin(doors, waiting(doors, instance_id)[0])
    reset_status.start(doors, ADMIN, instance_id)
    beat = Heartbeat(instance_id=instance_id, sent=utcnow(), status=ServiceStatus.HEALTHY)
    doors.database.run(guests.apply_heartbeats, [beat])
    restart.start(doors, CALLER, instance_id)
    end(first, CloudError("Cancelled."))
    left = found(doors, instance_id)
    assert (left.task, left.fault) == (Task.REBOOTING, None)
    end(begin(doors, waiting(doors, instance_id)[0]))
    assert found(doors, instance_id).task is Task.NONE


def test_a_deletion_that_was_reset_can_be_repeated_and_whichever_ends_first_is_the_end(doors: Doors) -> None:
    for first_fails in (True, False):
        instance_id = active(doors)
        delete.start(doors, CALLER, instance_id)
        first = begin(doors, waiting(doors, instance_id)[0])
        reset_status.start(doors, ADMIN, instance_id)
        delete.start(doors, CALLER, instance_id)
        end(first, CloudError("A snapshot holds it.") if first_fails else None)
        if first_fails:
            assert found(doors, instance_id).task is Task.DELETING
        end(begin(doors, waiting(doors, instance_id)[0]))
        with pytest.raises(NotFound):
            found(doors, instance_id)
        assert counts(doors)[Resource.INSTANCES] == (0, 0)
        assert_exact(doors)
