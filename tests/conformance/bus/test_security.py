"""What the buses with a broker promise against forged, replayed and stolen things."""

import time
import uuid
import zlib
from collections.abc import Callable

import pytest
from tests.conformance.bus.conftest import Stage, guest_key
from tests.support.valkey import ValkeyServer
from tests.support.waiting import until

from trove.bus.admission import SharedAdmission, admission
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, TASKMANAGER_TOPIC, Message, guest_topic
from trove.bus.inbox import INBOX_SUFFIX
from trove.bus.links import Outgoing, guest_exchange
from trove.bus.sealing import FixedKeys, Request, Sealer
from trove.core.errors import TroveError, Unavailable, Unsupported

Guest = tuple[str, str]
MakeGuest = Callable[[], Guest]


def raw(topic: str, body: bytes, *, sealed_by: str = CONTROL, exchange: str = "") -> Outgoing:
    return Outgoing(queue=topic, exchange=exchange, body=body, sealed_by=sealed_by)


def sealed(topic: str, method: str, *, sender: str = CONTROL, key: bytes | None = None, sent: float | None = None) -> bytes:
    sealer = Sealer(sender, FixedKeys({sender: key or b"c" * 32}))
    return sealer.seal_request(topic, Request(sender=sender, method=method, args={}, sent=sent or time.time()))


def test_what_is_not_sealed_is_set_aside_and_the_next_is_handled(broker: Stage) -> None:
    topic = broker.topic()
    seen: list[str] = []
    bus = broker.bus()
    subscription = bus.serve(topic, lambda message: seen.append(message.method), workers=1)
    link = broker.link()
    bus.cast(topic, "first", {})
    for body in (b"", b"\0", b"rubbish" * 50, b'{"method": "evil", "args": {}}'):
        link.publish(raw(topic, body), timeout_s=10)
    bus.cast(topic, "last", {})
    until(lambda: seen == ["first", "last"])
    subscription.stop()
    assert len(broker.poison(topic, 4)) == 4


@pytest.mark.parametrize("batches", [False, True])
def test_wrong_keys_unknown_senders_and_old_messages_are_not_executed(broker: Stage, *, batches: bool) -> None:
    topic = broker.topic()
    seen: list[str] = []
    bus = broker.bus()
    stranger = str(uuid.uuid4())
    bus.serve(topic, lambda message: None).stop()
    link = broker.link()
    for body, sealed_by in (
        (sealed(topic, "wrong key", key=b"x" * 32), CONTROL),
        (sealed("another", "wrong topic"), CONTROL),
        (sealed(topic, "unknown", sender=stranger, key=b"y" * 32), stranger),
        (sealed(topic, "no such way", sender=stranger, key=guest_key(stranger)), stranger),
        (sealed(topic, "false name", sender=stranger, key=guest_key(stranger)), CONTROL),
        (sealed(topic, "old", sent=time.time() - 1000), CONTROL),
        (sealed(topic, "of the future", sent=time.time() + 1000), CONTROL),
    ):
        link.publish(raw(topic, body, sealed_by=sealed_by), timeout_s=10)
    bus.cast(topic, "good", {})
    if batches:
        subscription = bus.serve_batches(topic, lambda messages: seen.extend(each.method for each in messages))
    else:
        subscription = bus.serve(topic, lambda message: seen.append(message.method), workers=1)
    until(lambda: seen)
    until(lambda: broker.size(topic) == 0)
    subscription.stop()
    assert seen == ["good"]
    assert len(broker.poison(topic, 7)) == 7


def test_a_replayed_message_is_not_executed_again(broker: Stage) -> None:
    topic = broker.topic()
    seen: list[str] = []
    bus = broker.bus()
    bus.serve(topic, lambda message: seen.append(message.method), workers=1)
    link = broker.link()
    bus.cast(topic, "first", {})
    body = sealed(topic, "pay")
    link.publish(raw(topic, body), timeout_s=10)
    until(lambda: seen == ["first", "pay"])
    link.publish(raw(topic, body), timeout_s=10)
    bus.cast(topic, "last", {})
    until(lambda: "last" in seen)
    assert seen == ["first", "pay", "last"]


def test_a_guest_and_the_control_plane_talk(broker: Stage, make_guest: MakeGuest) -> None:
    instance_id, url = make_guest()
    guest = broker.guest_bus(instance_id, url)
    seen: list[Message] = []
    guest.serve(guest_topic(instance_id), lambda message: {"pong": message.sender})
    conductor = broker.bus()
    conductor.serve_batches(CONDUCTOR_TOPIC, seen.extend)
    assert broker.bus().call(guest_topic(instance_id), "rpc_ping", {}, timeout_s=30) == {"pong": CONTROL}
    guest.cast(CONDUCTOR_TOPIC, "heartbeat", {"status": "healthy"})
    until(lambda: any(each.sender == instance_id for each in seen))
    with pytest.raises(Unsupported):
        guest.call(CONDUCTOR_TOPIC, "ask", {}, timeout_s=5)


def test_a_stolen_guest_cannot_speak_for_another(broker: Stage, make_guest: MakeGuest) -> None:
    thief, url = make_guest()
    victim, _ = make_guest()
    seen: list[str] = []
    conductor = broker.bus()
    conductor.serve_batches(CONDUCTOR_TOPIC, lambda messages: seen.extend(each.sender for each in messages))
    link = broker.link(url)
    body = sealed(CONDUCTOR_TOPIC, "heartbeat", sender=victim, key=guest_key(thief))
    link.publish(raw(CONDUCTOR_TOPIC, body, sealed_by=victim, exchange=guest_exchange(thief)), timeout_s=10)
    broker.guest_bus(thief, url).cast(CONDUCTOR_TOPIC, "heartbeat", {})
    until(lambda: thief in seen)
    assert victim not in seen


def test_a_guest_without_key_is_not_heard(broker: Stage, make_guest: MakeGuest) -> None:
    deleted, deleted_url = make_guest()
    living, living_url = make_guest()
    broker.keys.unknown.add(deleted)
    seen: list[str] = []
    broker.bus().serve_batches(CONDUCTOR_TOPIC, lambda messages: seen.extend(each.sender for each in messages))
    broker.guest_bus(deleted, deleted_url).cast(CONDUCTOR_TOPIC, "heartbeat", {})
    broker.guest_bus(living, living_url).cast(CONDUCTOR_TOPIC, "heartbeat", {})
    until(lambda: living in seen)
    assert deleted not in seen


def test_a_guests_credential_writes_to_the_conductor_only(broker: Stage, make_guest: MakeGuest) -> None:
    thief, url = make_guest()
    victim, _ = make_guest()
    broker.bus().serve(TASKMANAGER_TOPIC, lambda message: None).stop()
    guest = broker.guest_bus(thief, url)
    for topic in (guest_topic(victim), TASKMANAGER_TOPIC):
        sizes = broker.size(topic)
        with pytest.raises(TroveError):
            guest.cast(topic, "start_job", {})
        for exchange in ("", guest_exchange(thief), guest_exchange(victim), "amq.topic"):
            _refused(broker, url, topic, exchange)
        assert broker.size(topic) == sizes


def _refused(broker: Stage, url: str, topic: str, exchange: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the broker's clients raise their own
        broker.link(url).publish(raw(topic, b"evil", exchange=exchange), timeout_s=10)
    assert "REFUSED" in str(caught.value) or type(caught.value).__name__ == "QueueMissingError"


def test_a_guests_credential_reads_its_own_queue_only(broker: Stage, make_guest: MakeGuest) -> None:
    _, url = make_guest()
    victim, _ = make_guest()
    bus = broker.bus()
    bus.cast(guest_topic(victim), "start_job", {"secret": 1})
    stolen: list[object] = []
    for queue in (guest_topic(victim), CONDUCTOR_TOPIC, guest_topic(victim) + ".poison"):
        link = broker.link(url)
        with pytest.raises(Exception, match=r"ACCESS_REFUSED|NOPERM"):  # noqa: PT012 - refused when asking or when waiting
            link.consume(queue, stolen.append, prefetch=1)
            link.wait(0, 2)
            link.wait(0, 2)
    assert stolen == []
    assert broker.size(guest_topic(victim)) == 1


def test_a_guests_credential_manages_nothing(broker: Stage, make_guest: MakeGuest) -> None:
    thief, url = make_guest()
    victim, _ = make_guest()
    if isinstance(broker.server, ValkeyServer):
        channel = broker.link(url).channel
        for command in (
            ("XADD", CONDUCTOR_TOPIC, "MAXLEN", 0, "*", "a", "b"),
            ("XADD", CONDUCTOR_TOPIC, "18446744073709551615-1", "a", "b"),
            ("LPOP", CONDUCTOR_TOPIC + INBOX_SUFFIX),
            ("LRANGE", CONDUCTOR_TOPIC + INBOX_SUFFIX, 0, -1),
            ("DEL", CONDUCTOR_TOPIC + INBOX_SUFFIX),
            ("XTRIM", CONDUCTOR_TOPIC, "MAXLEN", 0),
            ("XDEL", CONDUCTOR_TOPIC, "1-1"),
            ("XACK", CONDUCTOR_TOPIC, "trove", "1-1"),
            ("DEL", guest_topic(victim)),
            ("DEL", guest_topic(thief)),
            ("XRANGE", guest_topic(victim), "-", "+"),
            ("XADD", guest_topic(victim), "*", "a", "b"),
            ("XREADGROUP", "GROUP", "trove", "x", "STREAMS", CONDUCTOR_TOPIC, ">"),
            ("KEYS", "*"),
            ("SCAN", 0),
            ("ACL", "LIST"),
            ("ACL", "SETUSER", "evil"),
            ("CONFIG", "GET", "*"),
            ("CLIENT", "LIST"),
            ("EVAL", "return 1", 0),
            ("SUBSCRIBE", "x"),
            ("FLUSHALL",),
            ("SELECT", 1),
        ):
            with pytest.raises(Exception, match="NOPERM"):
                channel._command(*command)
        return
    for work in (
        lambda channel: channel.queue_purge(guest_topic(victim)),
        lambda channel: channel.queue_delete(guest_topic(victim)),
        lambda channel: channel.queue_delete(guest_topic(thief)),
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.queue_declare("", exclusive=True),
        lambda channel: channel.exchange_declare("evil", "direct"),
        lambda channel: channel.exchange_delete(guest_exchange(thief)),
        lambda channel: channel.queue_bind(guest_topic(victim), guest_exchange(thief), routing_key="x"),
        lambda channel: channel.queue_bind(guest_topic(thief), guest_exchange(victim), routing_key=CONDUCTOR_TOPIC),
    ):
        with pytest.raises(Exception, match="ACCESS_REFUSED"):
            work(broker.link(url).channel)


def test_a_copy_header_reaches_nobody_else(broker: Stage, make_guest: MakeGuest) -> None:
    if isinstance(broker.server, ValkeyServer):
        return  # no headers route there
    thief, url = make_guest()
    victim, _ = make_guest()
    channel = broker.link(url).channel
    headers = {"CC": [guest_topic(victim), TASKMANAGER_TOPIC], "BCC": [guest_topic(victim)]}
    message = channel.prepare_message(b"evil", headers=headers)
    channel.basic_publish(message, exchange=guest_exchange(thief), routing_key=CONDUCTOR_TOPIC)
    assert broker.size(guest_topic(victim)) == 0


def test_malformed_frames_of_a_stolen_guest_do_not_stop_the_conductor(broker: Stage, make_guest: MakeGuest) -> None:
    instance_id, url = make_guest()
    seen: list[str] = []
    conductor = broker.bus()
    subscription = conductor.serve_batches(CONDUCTOR_TOPIC, lambda messages: seen.extend(each.sender for each in messages))
    link = broker.link(url)
    if isinstance(broker.server, ValkeyServer):
        for frame in (
            b"",
            b"rubbish",
            b"5 {}",
            b"4 nullx",
            b"7 [1,2,3]x",
            b"0 ",
            b"2 {}",
            b"9999999999999 x",
            b'16 {"headers":[1]}x',
        ):
            link.channel._command("RPUSH", CONDUCTOR_TOPIC + INBOX_SUFFIX, frame)
    for headers in (
        {},
        {"sealed-by": instance_id, "compression": "application/x-gzip"},
        {"sealed-by": [1], "compression": [1]},
        {"sealed-by": CONTROL},
    ):
        message = link.channel.prepare_message(
            zlib.compress(bytes(1_000_000)), headers=headers, content_encoding="utf-9", properties={"correlation_id": "c"}
        )
        link.channel.basic_publish(message, exchange=guest_exchange(instance_id), routing_key=CONDUCTOR_TOPIC)
    broker.guest_bus(instance_id, url).cast(CONDUCTOR_TOPIC, "heartbeat", {})
    until(lambda: instance_id in seen)
    until(lambda: broker.size(CONDUCTOR_TOPIC) == 0)
    subscription.stop()


def test_admitting_twice_gives_the_same_credential(broker: Stage, make_guest: MakeGuest) -> None:
    instance_id, url = make_guest()
    assert broker.admission().admit(instance_id).url == url
    assert url not in repr(broker.admission().admit(instance_id))


def test_who_is_let_in_can_be_listed(broker: Stage, make_guest: MakeGuest) -> None:
    stays, goes = make_guest()[0], make_guest()[0]
    held = broker.admission().held()
    assert held is not None
    assert {stays, goes} <= held
    broker.admission().expel(goes)
    held = broker.admission().held()
    assert held is not None
    assert (stays in held, goes in held) == (True, False)


def test_an_expelled_guest_is_cut_off(broker: Stage, make_guest: MakeGuest) -> None:
    instance_id, url = make_guest()
    guest = broker.guest_bus(instance_id, url)
    guest.serve(guest_topic(instance_id), lambda message: None)
    guest.cast(CONDUCTOR_TOPIC, "heartbeat", {})
    broker.bus().call(guest_topic(instance_id), "rpc_ping", {}, timeout_s=30)
    broker.admission().expel(instance_id)
    broker.admission().expel(instance_id)
    with pytest.raises(Unavailable):
        guest.cast(CONDUCTOR_TOPIC, "heartbeat", {})
    with pytest.raises(Unavailable):
        broker.bus().cast(guest_topic(instance_id), "start_job", {})


@pytest.mark.slow
def test_guests_stay_admitted_when_the_broker_restarts(broker: Stage, make_guest: MakeGuest) -> None:
    assert broker.server is not None
    instance_id, url = make_guest()
    guest = broker.guest_bus(instance_id, url)
    guest.serve(guest_topic(instance_id), lambda message: "pong")
    control = broker.bus()
    assert control.call(guest_topic(instance_id), "rpc_ping", {}, timeout_s=30) == "pong"
    broker.server.kill()
    broker.server.start()
    assert until(lambda: _ping(broker, instance_id), deadline_s=60) == "pong"
    broker.admission().readmit([instance_id])
    assert control.call(guest_topic(instance_id), "rpc_ping", {}, timeout_s=30) == "pong"


def _ping(broker: Stage, instance_id: str) -> object:
    try:
        return broker.bus().call(guest_topic(instance_id), "rpc_ping", {}, timeout_s=2)
    except Unavailable:
        return None


def test_without_management_api_guests_share_a_user_and_it_is_said(broker: Stage, caplog: pytest.LogCaptureFixture) -> None:
    if isinstance(broker.server, ValkeyServer):
        return  # it makes users itself
    shared = admission(broker.url, keyring=broker.keys)
    assert isinstance(shared, SharedAdmission)
    assert "INSECURE BUS" in caplog.text
    instance_id = str(uuid.uuid4())
    credential = shared.admit(instance_id)
    try:
        guest = broker.guest_bus(instance_id, credential.url)
        guest.serve(guest_topic(instance_id), lambda message: "pong")
        assert broker.bus().call(guest_topic(instance_id), "rpc_ping", {}, timeout_s=30) == "pong"
        guest.cast(CONDUCTOR_TOPIC, "heartbeat", {})
        assert shared.held() is None
    finally:
        shared.expel(instance_id)
