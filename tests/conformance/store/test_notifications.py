"""The outbox on every database: in order, with what it tells of or not at all, and one report a period."""

import threading
from datetime import timedelta

import pytest
from tests.support.notices import PUBLISHER
from tests.support.rows import add_instance, add_operation, add_version

from trove.core.clock import utcnow
from trove.core.transitions import Event
from trove.store import instances, notifications, operations, usage
from trove.store.session import Database, Tx
from trove.store.tables import notification_periods


@pytest.fixture
def outbox(database: Database) -> Database:
    database.publisher = PUBLISHER
    return database


def waiting(outbox: Database) -> list[str]:
    with outbox.reading() as tx:
        return [each.event_type for each in notifications.waiting(tx, 100)]


def test_what_is_stored_comes_out_in_order_and_unchanged(outbox: Database) -> None:
    payload = {"name": "Ünïcode 🐬", "size": 3, "none": None, "list": ["a", {"b": True}]}
    with outbox.transaction() as tx:
        notifications.put(tx, "first", payload)
        notifications.put_all(tx, "next", [{"number": number} for number in range(5)])
    with outbox.reading() as tx:
        found = notifications.waiting(tx, 4)
    assert [each.event_type for each in found] == ["first", "next", "next", "next"]
    assert [each.payload.get("number") for each in found[1:]] == [0, 1, 2]
    assert found[0].payload == payload
    assert found[0].publisher_id == PUBLISHER.id
    with outbox.transaction() as tx:
        notifications.forget(tx, [each.number for each in found])
        notifications.forget(tx, [each.number for each in found])
    with outbox.reading() as tx:
        assert [each.payload["number"] for each in notifications.waiting(tx, 10)] == [3, 4]
        assert notifications.count(tx) == 2


def test_a_number_is_never_given_twice(outbox: Database) -> None:
    numbers: list[int] = []
    for _ in range(3):
        with outbox.transaction() as tx:
            notifications.put(tx, "one", {})
        with outbox.transaction() as tx:
            (found,) = notifications.waiting(tx, 10)
            notifications.forget(tx, [found.number])
        numbers.append(found.number)
    assert numbers == sorted(set(numbers))


def test_what_is_rolled_back_is_not_told(outbox: Database) -> None:
    def change(tx: Tx) -> None:
        notifications.put(tx, "never", {})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        outbox.run(change)
    assert waiting(outbox) == []


def test_the_oldest_are_dropped_beyond_a_bound(outbox: Database) -> None:
    with outbox.transaction() as tx:
        notifications.put_all(tx, "n", [{"number": number} for number in range(10)])
        assert notifications.trim(tx, 10) == 0
        assert notifications.trim(tx, 3) == 7
        assert [each.payload["number"] for each in notifications.waiting(tx, 10)] == [7, 8, 9]


def test_one_of_many_reports_on_a_period(outbox: Database) -> None:
    def ask() -> object:
        return outbox.run(notifications.begin_period, "reports", length_s=60)

    assert ask() is None
    with outbox.transaction() as tx:
        tx.execute(notification_periods.update().values(began=utcnow() - timedelta(minutes=2)))
    together, found = threading.Barrier(4), []

    def asker() -> None:
        together.wait(20)
        found.append(ask())

    threads = [threading.Thread(target=asker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    (period,) = (each for each in found if each is not None)
    assert isinstance(period, tuple)
    assert period[1] - period[0] >= timedelta(minutes=2)


def test_usage_tells_who_asked_and_what_the_row_says(outbox: Database) -> None:
    version = add_version(outbox)
    instance = add_instance(outbox, version, availability_zone="z1", region="r1")
    booked = add_operation(outbox, resource_id=instance.id, user_id="ann", client_ip="2001:db8::1")
    with outbox.transaction() as tx:
        claimed, fence = operations.claim(tx, booked.id, owner="me")
        instances.apply(tx, instance.id, Event.BUILT, fence=fence)
    assert claimed.client_ip == "2001:db8::1"
    with outbox.transaction() as tx:
        instances.record_size(tx, instance.id, fence=fence, flavor_id="3", ram_mib=1024, volume_size_gib=4)
        instances.record_size(tx, instance.id, fence=fence, flavor_id="3", ram_mib=1024, volume_size_gib=4)
    with outbox.transaction() as tx:
        instances.mark_deleted(tx, instance.id, fence=fence)
    names = ["create", "modify_flavor", "modify_volume", "delete"]
    assert waiting(outbox) == [f"trove.instance.{name}" for name in names]
    with outbox.reading() as tx:
        created, _, grown, deleted = notifications.waiting(tx, 10)
        assert usage.page(tx, limit=10) == ()
    wanted = {"user_id": "ann", "availability_zone": "z1", "region": "r1", "volume_size": 3, "state": "active"}
    assert created.payload.items() >= wanted.items()
    assert (grown.payload["volume_size"], grown.payload["old_volume_size"]) == (4, 3)
    assert deleted.payload["deleted_at"]


def test_live_instances_come_page_by_page(outbox: Database) -> None:
    version = add_version(outbox)
    ids = sorted(add_instance(outbox, version).id for _ in range(5))
    found: list[str] = []
    with outbox.reading() as tx:
        while page := usage.page(tx, limit=2, after=found[-1] if found else ""):
            found += [each.instance_id for each in page]
    assert found == ids
