"""Publishing: in order, at least once, by one task manager at a time; and what is told periodically, once a period."""

from datetime import timedelta

import pytest
from tests.support.notices import PUBLISHER, forget, stored, told, types
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.bus.memory import MemoryNotifications
from trove.core.clock import utcnow
from trove.operations.instance import create, delete
from trove.store import notifications
from trove.store.tables import notification_periods
from trove.store.tables import notifications as rows
from trove.taskmanager.relay import BATCH, LOCK, Relay
from trove.taskmanager.reports import Reports, ReportSettings
from trove.workflow.locks import Locks


@pytest.fixture
def here(here: World) -> World:
    """A world whose processes have a publisher."""
    here.database.publisher = PUBLISHER
    return here


def relay(here: World, transport: MemoryNotifications) -> Relay:
    return Relay(here.doors, transport, locks=Locks(f"file://{here.lock_dir}", "tester"))


def store(here: World, *names: str) -> None:
    with here.database.transaction() as tx:
        for name in names:
            notifications.put(tx, name, {"name": name})


def run_all(here: World) -> None:
    runner = here.runner()
    for operation_id in here.announcer.announced:
        assert runner.run_now(operation_id)


def age(here: World, name: str, seconds: float) -> None:
    """Let a period have begun some time ago."""
    with here.database.transaction() as tx:
        began = utcnow() - timedelta(seconds=seconds)
        tx.execute(notification_periods.update().where(notification_periods.c.name == name).values(began=began))


def test_what_waits_is_published_in_order_and_then_gone(here: World):
    names = [f"n{number}" for number in range(2 * BATCH + 3)]
    store(here, *names)
    transport = MemoryNotifications()
    assert relay(here, transport).publish() == len(names)
    assert transport.types() == names
    assert transport.published[0].publisher_id == PUBLISHER.id
    assert stored(here) == ()


def test_what_cannot_be_published_is_kept(here: World):
    store(here, "a", "b")
    transport = MemoryNotifications()
    transport.failing = ConnectionError("the broker is away")
    with pytest.raises(ConnectionError):
        relay(here, transport).publish()
    assert types(stored(here)) == ["a", "b"]
    transport.failing = None
    assert relay(here, transport).publish() == 2
    assert transport.types() == ["a", "b"]


def test_two_task_managers_publish_nothing_twice(here: World):
    class Slow(MemoryNotifications):
        def publish(self, notification: object) -> None:
            assert relay(here, other).publish() == 0
            super().publish(notification)  # type: ignore[arg-type]

    other, slow = MemoryNotifications(), Slow()
    store(here, "a", "b")
    assert relay(here, slow).publish() == 2
    assert (slow.types(), other.types()) == (["a", "b"], [])


def test_who_hangs_over_a_notification_is_relieved(here: World):
    store(here, "a")
    with here.database.transaction() as tx:
        tx.execute(rows.update().values(created=utcnow() - timedelta(hours=1)))
    held = Locks(f"file://{here.lock_dir}", "hung").try_lock(LOCK)
    assert held is not None
    transport = MemoryNotifications()
    with held:
        relay(here, transport).publish()
        assert relay(here, transport).publish() == 1
    assert transport.types() == ["a"]


def test_usage_is_published_with_the_name_of_the_flavor(here: World):
    create.start(here.doors, CALLER, request())
    run_all(here)
    transport = MemoryNotifications()
    relay(here, transport).publish()
    (usage,) = (each for each in transport.published if each.event_type == "trove.instance.create")
    assert usage.payload["instance_type"] == here.cloud.flavor("2").name


def test_the_relay_publishes_by_itself_and_ends(here: World):
    transport = MemoryNotifications()
    running = relay(here, transport)
    running.start()
    try:
        store(here, "a")
        until(lambda: transport.types() == ["a"], what="the notification")
    finally:
        running.stop(timeout_s=20)


def test_every_live_instance_is_told_to_exist_once_a_period(here: World):
    instances = [create.start(here.doors, CALLER, request(name=f"db{number}", volume_size_gib=1)) for number in range(3)]
    run_all(here)
    delete.start(here.doors, CALLER, instances[0].id)
    run_all(here)
    forget(here)
    settings = ReportSettings(instances_every_s=3600)
    first, second = Reports(here.doors, settings), Reports(here.doors, settings)
    first.look()
    assert stored(here) == ()
    age(here, "trove.instance.exists", 3700)
    first.look()
    second.look()
    found = stored(here)
    assert types(found) == ["trove.instance.exists"] * 2
    assert {each.payload["instance_id"] for each in found} == {each.id for each in instances[1:]}
    payload = found[0].payload
    assert str(payload["audit_period_beginning"]) < str(payload["audit_period_ending"])
    assert payload["display_name"] == payload["name"]


def test_periods_follow_one_another_without_a_gap(here: World):
    create.start(here.doors, CALLER, request())
    forget(here)
    reports = Reports(here.doors, ReportSettings(instances_every_s=60))
    reports.look()
    ends = []
    for _ in range(2):
        with here.database.transaction() as tx:
            (began,) = tx.execute(notification_periods.select().with_only_columns(notification_periods.c.began)).one()
            tx.execute(notification_periods.update().values(began=began - timedelta(minutes=5)))
        reports.look()
        payload = told(here, "trove.instance.exists").payload
        ends.append((payload["audit_period_beginning"], payload["audit_period_ending"]))
        forget(here)
    assert ends[1][0] <= ends[0][1] <= ends[1][1]


def test_use_of_quotas_is_told(here: World):
    create.start(here.doors, CALLER, request())
    run_all(here)
    forget(here)
    reports = Reports(here.doors, ReportSettings(quotas_every_s=60))
    reports.look()
    age(here, "dbaas.quota", 61)
    reports.look()
    found = {each.payload["resource"]: each.payload for each in stored(here)}
    assert found["volumes"].items() >= {"tenant_id": PROJECT, "in_use": 2, "reserved": 0, "limit": 40}.items()
    assert set(found) >= {"instances", "ram", "volumes", "backups"}
    assert found["instances"]["updated"]


def test_what_waits_is_bounded_and_the_loss_is_told_loudly(here: World, caplog: pytest.LogCaptureFixture):
    store(here, "a", "b", "c")
    Reports(here.doors, ReportSettings(most_waiting=2)).look()
    assert types(stored(here)) == ["b", "c"]
    assert "1 notifications are lost" in caplog.text


def test_nothing_is_told_periodically_unless_asked_for(here: World):
    create.start(here.doors, CALLER, request())
    forget(here)
    Reports(here.doors, ReportSettings()).look()
    assert stored(here) == ()
    with here.database.reading() as tx:
        assert tx.execute(notification_periods.select()).first() is None
