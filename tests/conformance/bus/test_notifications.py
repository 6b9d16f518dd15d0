"""Notifications reach a real consumer: oslo.messaging's own listener, on a real RabbitMQ, configured as operators do it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from tests.support.listening import DEADLINE_S, listening, url_of
from tests.support.notices import PUBLISHER, stored
from tests.support.rabbitmq import RabbitServer
from tests.support.world import CALLER, PASSWORD, PROJECT, World, request, until, world

from trove.bus.contract import NotificationTransport
from trove.bus.notifications import OsloTransport
from trove.cmd import notifications as wiring
from trove.config import opts
from trove.core.errors import InvalidInput
from trove.operations.instance import create, delete, resize_flavor
from trove.store import notifications
from trove.taskmanager.relay import Relay
from trove.workflow.locks import Locks


def configured(directory: Path, text: str) -> cfg.ConfigOpts:
    path = directory / "trove.conf"
    path.write_text(text)
    conf = cfg.ConfigOpts()
    return opts.load(conf, [f"--config-file={path}"], prog="test", description="")


@pytest.fixture
def transport(rabbitmq: RabbitServer, tmp_path: Path) -> Iterator[NotificationTransport]:
    """What a task manager publishes by."""
    notify = f"driver = messagingv2\ntransport_url = {url_of(rabbitmq)}"
    made = wiring.transport(configured(tmp_path, f"[oslo_messaging_notifications]\n{notify}\n"))
    assert isinstance(made, OsloTransport)
    yield made
    made.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """A control plane that stores notifications."""
    directory = tmp_path / "world"
    directory.mkdir()
    with world(directory) as made:
        made.database.publisher = PUBLISHER
        yield made


def relay(here: World, transport: NotificationTransport) -> Relay:
    return Relay(here.doors, transport, locks=Locks(f"file://{here.lock_dir}", "tester"))


def run_all(here: World) -> None:
    runner = here.runner()
    for operation_id in here.announcer.announced:
        assert runner.run_now(operation_id)
    here.announcer.announced.clear()


def test_consumers_hear_the_life_of_an_instance(rabbitmq: RabbitServer, transport: NotificationTransport, here: World) -> None:
    with listening(rabbitmq) as heard:
        instance = create.start(here.doors, CALLER, request())
        run_all(here)
        resize_flavor.start(here.doors, CALLER, instance.id, "3")
        run_all(here)
        delete.start(here.doors, CALLER, instance.id)
        run_all(here)
        assert relay(here, transport).publish() == 9
        messages = [heard.next() for _ in range(9)]
    assert [event_type for _, event_type, _ in messages] == [
        "dbaas.instance_create.start",
        "trove.instance.create",
        "dbaas.instance_create.end",
        "dbaas.instance_resize_instance.start",
        "trove.instance.modify_flavor",
        "dbaas.instance_resize_instance.end",
        "dbaas.instance_delete.start",
        "trove.instance.delete",
        "dbaas.instance_delete.end",
    ]
    assert {publisher for publisher, _, _ in messages} == {PUBLISHER.id}
    usage = messages[1][2]
    assert (usage["instance_id"], usage["tenant_id"], usage["instance_type"]) == (instance.id, PROJECT, "db.small")
    assert usage["service_id"] == PUBLISHER.service_ids["mariadb"]
    assert PASSWORD not in str(messages)
    assert stored(here) == ()


def test_what_happens_while_the_broker_is_away_is_heard_later(
    rabbitmq: RabbitServer, transport: NotificationTransport, here: World
) -> None:
    with here.database.transaction() as tx:
        notifications.put(tx, "dbaas.before.start", {})
    running = relay(here, transport)
    with listening(rabbitmq) as heard:
        running.start()
        try:
            assert heard.types(1) == ["dbaas.before.start"]
            rabbitmq.kill()
            try:
                with here.database.transaction() as tx:
                    notifications.put_all(tx, "dbaas.meanwhile.start", [{"number": 1}, {"number": 2}])
                assert len(stored(here)) == 2
            finally:
                rabbitmq.start()
            numbers: list[int] = []
            while not {1, 2} <= set(numbers):
                numbers.append(heard.next()[2]["number"])
            until(lambda: stored(here) == (), seconds=DEADLINE_S, what="what was published to be gone")
        finally:
            running.stop(timeout_s=DEADLINE_S)


def test_topics_and_exchange_are_oslo_messagings(rabbitmq: RabbitServer, tmp_path: Path, here: World) -> None:
    conf = configured(
        tmp_path,
        f"""[DEFAULT]
transport_url = {url_of(rabbitmq)}
control_exchange = trove
[oslo_messaging_notifications]
driver = messagingv2
topics = billing
""",
    )
    made = wiring.transport(conf)
    assert made is not None
    try:
        with listening(rabbitmq, topic="billing", exchange="trove") as heard:
            with here.database.transaction() as tx:
                notifications.put(tx, "dbaas.quota", {"resource": "ram"})
            relay(here, made).publish()
            assert heard.next() == (PUBLISHER.id, "dbaas.quota", {"resource": "ram"})
    finally:
        made.close()


def test_a_bus_that_oslo_messaging_does_not_know_is_named(tmp_path: Path) -> None:
    conf = configured(
        tmp_path,
        "[DEFAULT]\ntransport_url = valkey+unix:///tmp/bus.sock?password=s3cr3t\n"
        "[oslo_messaging_notifications]\ndriver = messagingv2\n",
    )
    with pytest.raises(InvalidInput, match=r"transport_url: .*valkey\+unix://") as caught:
        wiring.transport(conf)
    assert "s3cr3t" not in str(caught.value)
