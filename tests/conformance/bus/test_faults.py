"""What the buses with a broker promise when things die: consumers, callers, the broker itself."""

import threading
from pathlib import Path

import pytest
from tests.conformance.bus.conftest import Stage
from tests.support.valkey import ValkeyServer
from tests.support.waiting import until

from trove.bus.contract import Bus, Message, guest_topic
from trove.core.errors import GuestTimeout, Unavailable
from trove.core.ids import new_id
from trove.core.json import JSON


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_message_of_a_killed_consumer_is_delivered_again(broker: Stage, tmp_path: Path) -> None:
    topic = broker.topic()
    process = broker.consumer_process(topic, "hang", tmp_path / "seen")
    bus = broker.bus()
    bus.cast(topic, "job", {"number": 7})
    until(lambda: lines(tmp_path / "seen") == ["job"])
    process.kill()
    process.wait(10)
    again: list[Message] = []
    bus.serve(topic, again.append)
    until(lambda: again)
    assert (again[0].method, again[0].args, again[0].redelivered) == ("job", {"number": 7}, True)


def test_a_live_consumer_keeps_its_message_however_long_it_takes(broker: Stage) -> None:
    topic = broker.topic()
    release = threading.Event()
    began = threading.Event()
    other: list[str] = []

    def hold(message: Message) -> JSON:
        began.set()
        release.wait(60)
        return None

    try:
        broker.bus().serve(topic, hold, workers=1)
        bus = broker.bus()
        bus.cast(topic, "long", {})
        assert began.wait(20)
        broker.bus().serve(topic, lambda message: other.append(message.method))
        # Longer than claim_idle (1 s here), after which a dead consumer's message would move.
        assert not threading.Event().wait(3)
        assert other == []
    finally:
        release.set()


@pytest.mark.parametrize("mode", ["crash", "crash-batches"])
def test_a_message_that_kills_its_consumers_is_set_aside(broker: Stage, tmp_path: Path, mode: str) -> None:
    topic = broker.topic()
    broker.bus().serve(topic, lambda message: None).stop()
    bus = broker.bus()
    bus.cast(topic, "crash", {})
    bus.cast(topic, "good", {})
    deaths = 0
    process = broker.consumer_process(topic, mode, tmp_path / "seen")
    seen = tmp_path / "seen"

    def settled() -> bool:
        nonlocal process, deaths
        if process.poll() is not None:
            deaths += 1
            assert deaths < 10, "it loops"
            process = broker.consumer_process(topic, mode, seen)
        return "good" in lines(seen) and broker.size(topic + ".poison") == 1

    until(settled, deadline_s=90)
    assert deaths >= 3
    assert lines(seen).count("crash") == deaths
    until(lambda: broker.size(topic) == 0)
    assert process.poll() is None
    assert len(broker.poison(topic)) == 1


def test_a_dead_peer_times_out_and_the_answer_queue_vanishes(broker: Stage) -> None:
    topic = broker.topic()
    served = broker.bus().serve(topic, lambda message: None)
    caller = broker.bus()
    before = _reply_queues(broker)
    caller.call(topic, "ask", {}, timeout_s=60)  # so that a short time is not spent on connecting
    served.stop()
    with pytest.raises(GuestTimeout):
        caller.call(topic, "ask", {}, timeout_s=0.5)
    own = _reply_queues(broker) - before
    assert own
    caller.close()
    until(lambda: not own & _reply_queues(broker))


def _reply_queues(broker: Stage) -> set[str]:
    if isinstance(broker.server, ValkeyServer):
        keys = broker.server.command("KEYS", "reply.*")
        assert isinstance(keys, list)
        return {key.decode() for key in keys}
    assert broker.server is not None
    queues = broker.server.api().get("/api/queues/trove?columns=name")
    assert isinstance(queues, list)
    return {queue["name"] for queue in queues if queue["name"].startswith("reply.")}


def test_the_answer_queue_of_a_killed_caller_expires(broker: Stage) -> None:
    topic = broker.topic()
    broker.bus().serve(topic, lambda message: None)
    broker.bus().call(topic, "ask", {}, timeout_s=20)
    if isinstance(broker.server, ValkeyServer):
        assert all(0 < broker.server.command("PTTL", name) <= 120_000 for name in _reply_queues(broker))  # type: ignore[operator]


def test_a_guest_that_nobody_admitted_cannot_be_reached(broker: Stage) -> None:
    with pytest.raises(Unavailable, match="no queue"):
        broker.bus().cast(guest_topic(new_id()), "start_job", {})
    with pytest.raises(Unavailable, match="no queue"):
        broker.bus().call(guest_topic(new_id()), "rpc_ping", {}, timeout_s=20)


@pytest.mark.slow
def test_accepted_messages_and_connections_survive_the_death_of_the_broker(broker: Stage) -> None:
    assert broker.server is not None
    served, stored = broker.topic(), broker.topic()
    seen: list[str] = []
    consumer, bus = broker.bus(), broker.bus()
    consumer.serve(served, lambda message: seen.append(message.method))
    consumer.serve(stored, lambda message: None).stop()
    bus.call(served, "before", {}, timeout_s=20)
    for number in range(50):
        bus.cast(stored, f"stored{number}", {})
    broker.server.kill()
    with pytest.raises((Unavailable, GuestTimeout)):
        bus.call(served, "during", {}, timeout_s=1)
    broker.server.start()
    kept: list[str] = []
    consumer.serve(stored, lambda message: kept.append(message.method))
    until(lambda: len(kept) >= 50, deadline_s=60)
    assert sorted(kept) == sorted(f"stored{number}" for number in range(50))
    bus.call(served, "after", {}, timeout_s=60)
    assert seen == ["before", "after"]


@pytest.mark.slow
def test_what_is_being_handled_while_the_broker_dies_is_handled_once(broker: Stage) -> None:
    assert broker.server is not None
    topic = broker.topic()
    release = threading.Event()
    begun: list[str] = []

    def hold(message: Message) -> JSON:
        begun.append(message.method)
        release.wait(120)
        return None

    consumer = broker.bus()
    consumer.serve(topic, hold, workers=4)
    broker.bus().cast(topic, "long", {})
    try:
        until(lambda: begun == ["long"])
        broker.server.kill()
        broker.server.start()
        bus = broker.bus()
        until(lambda: _is_taken(bus, topic, "next"), deadline_s=120)
        until(lambda: "next" in begun, deadline_s=120)
    finally:
        release.set()
    until(lambda: broker.size(topic) == 0, deadline_s=120)
    assert begun[0] == "long"
    assert set(begun[1:]) == {"next"}, "it was handled again"


def _is_taken(bus: Bus, topic: str, method: str) -> bool:
    """Cast to a broker that is just coming up; what seems to fail may have come all the same."""
    try:
        bus.cast(topic, method, {})
    except Unavailable:
        return False
    return True


def test_no_descriptors_leak(broker: Stage) -> None:
    topic = broker.topic()

    def once() -> None:
        bus = broker.bus()
        bus.serve(topic, lambda message: None)
        bus.call(topic, "ask", {}, timeout_s=20)
        bus.close()

    once()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        once()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
