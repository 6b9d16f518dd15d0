"""Reports of guests: the latest counts, the unknown are named, and a batch is a few statements."""

from datetime import timedelta

from tests.support.rows import add_instance, add_version

from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.instances import Guest, Heartbeat, Job
from trove.core.status import ServiceStatus
from trove.store import guests, instances
from trove.store.session import Database

RUNNING, HEALTHY = ServiceStatus.RUNNING, ServiceStatus.HEALTHY


def guest_of(database: Database, instance_id: str) -> Guest:
    with database.reading() as tx:
        return instances.get(tx, instance_id).guest


def test_an_older_heartbeat_changes_nothing(database: Database) -> None:
    made = add_instance(database, add_version(database))
    now = utcnow()
    for sent, status in ((now, HEALTHY), (now - timedelta(seconds=1), RUNNING)):
        with database.transaction() as tx:
            beat = Heartbeat(instance_id=made.id, sent=sent, status=status, restarts=1 if status == HEALTHY else 9)
            assert guests.apply_heartbeats(tx, [beat]) == frozenset()
    found = guest_of(database, made.id)
    assert (found.status, found.restarts) == (HEALTHY, 1)


def test_of_one_batch_the_latest_of_each_instance_counts(database: Database) -> None:
    version = add_version(database)
    made = [add_instance(database, version) for _ in range(3)]
    now = utcnow()
    beats = [
        Heartbeat(instance_id=each.id, sent=now + timedelta(seconds=offset), status=status)
        for each in made
        for offset, status in ((2, HEALTHY), (1, RUNNING))
    ]
    with database.transaction() as tx:
        guests.apply_heartbeats(tx, beats)
    assert {guest_of(database, each.id).status for each in made} == {HEALTHY}


def test_the_status_time_is_that_of_its_last_change(database: Database) -> None:
    made = add_instance(database, add_version(database))
    found = []
    for status in (RUNNING, RUNNING, HEALTHY):
        with database.transaction() as tx:
            guests.apply_heartbeats(tx, [Heartbeat(instance_id=made.id, sent=utcnow(), status=status)])
        found.append(guest_of(database, made.id))
    first, second, third = found
    assert first.status_updated == second.status_updated
    assert second.status_updated is not None
    assert third.status_updated is not None
    assert second.status_updated < third.status_updated
    assert first.heard_at is not None
    assert second.heard_at is not None
    assert first.heard_at < second.heard_at


def test_instances_that_are_unknown_or_deleted_are_named_and_not_stored(database: Database) -> None:
    version = add_version(database)
    live, deleted = add_instance(database, version), add_instance(database, version)
    unknown = new_id()
    now = utcnow()
    with database.transaction() as tx:
        instances.mark_deleted(tx, deleted.id, fence=None)
        ids = (live.id, deleted.id, unknown)
        assert guests.apply_heartbeats(tx, []) == frozenset()
        beats = [Heartbeat(instance_id=each, sent=now, status=RUNNING) for each in ids]
        assert guests.apply_heartbeats(tx, beats) == {deleted.id, unknown}
        jobs = [Job(instance_id=each, name="j", kind="prepare", state="RUNNING", sent=now) for each in ids]
        assert guests.apply_jobs(tx, jobs) == {deleted.id, unknown}
        assert guests.job(tx, unknown, "j") is None
    assert guest_of(database, live.id).status is RUNNING


def test_a_batch_of_thousands_is_applied_whole(database: Database) -> None:
    version = add_version(database)
    made = [add_instance(database, version) for _ in range(3)]
    now = utcnow()
    strangers = [new_id() for _ in range(2500)]
    beats = [Heartbeat(instance_id=each, sent=now, status=RUNNING) for each in (*strangers, *(one.id for one in made))]
    with database.transaction() as tx:
        assert guests.apply_heartbeats(tx, beats) == frozenset(strangers)
    assert {guest_of(database, each.id).status for each in made} == {RUNNING}


def test_jobs_keep_their_latest_state_and_are_forgotten_with_the_guest(database: Database) -> None:
    made = add_instance(database, add_version(database))
    now = utcnow()

    def report(state: str, seconds: int, **values: object) -> Job:
        sent = now + timedelta(seconds=seconds)
        return Job(instance_id=made.id, name="prepare-1", kind="prepare", state=state, sent=sent, **values)  # type: ignore[arg-type]

    done = report("DONE", 3, percent=100, step="done", result={"port": 3306, "names": ["a", "é"]})
    with database.transaction() as tx:
        guests.apply_jobs(tx, [report("RUNNING", 1, percent=10, step="start")])
        guests.apply_jobs(tx, [done, report("RUNNING", 2, percent=50)])
        guests.apply_jobs(tx, [done, report("FAILED", 0, error="old")])
        assert guests.job(tx, made.id, "prepare-1") == done
        assert guests.job(tx, made.id, "other") is None
        guests.forget(tx, made.id)
        assert guests.job(tx, made.id, "prepare-1") is None
        assert instances.get(tx, made.id).guest == Guest()
