"""What every bus promises: memory, Valkey and RabbitMQ."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conformance.bus.conftest import Stage
from tests.support.waiting import until

from trove.bus import rpc
from trove.bus.contract import CONTROL, Bus, Message
from trove.core.clock import utcnow
from trove.core.errors import GuestError, GuestTimeout, InvalidInput, NotFound, Unavailable
from trove.core.json import JSON


def echo(message: Message) -> JSON:
    return {"method": message.method, "args": message.args, "request_id": message.request_id, "sender": message.sender}


def connected(stage: Stage) -> Bus:
    """Return a bus that has called before, so that a short time is not spent on connecting."""
    topic, bus = stage.topic(), stage.bus()
    stage.bus().serve(topic, echo)
    bus.call(topic, "ask", {}, timeout_s=60)
    return bus


def test_a_call_returns_what_the_handler_returned(stage: Stage) -> None:
    topic = stage.topic()
    stage.bus().serve(topic, echo)
    args: dict[str, JSON] = {"text": "ü\n", "number": 2**53, "nothing": None, "list": [1, {"deep": True}]}
    answer = stage.bus().call(topic, "ask", args, timeout_s=20, request_id="req-1")
    assert answer == {"method": "ask", "args": args, "request_id": "req-1", "sender": CONTROL}


def test_the_time_of_sending_is_known(stage: Stage) -> None:
    topic = stage.topic()
    times: list[float] = []
    stage.bus().serve(topic, lambda message: times.append((utcnow() - message.sent).total_seconds()))
    stage.bus().call(topic, "ask", {}, timeout_s=20)
    assert 0 <= times[0] < 20


def test_an_error_of_trove_comes_back_as_itself(stage: Stage) -> None:
    topic = stage.topic()

    def refuse(message: Message) -> JSON:
        raise NotFound("no user 'ann'")

    stage.bus().serve(topic, refuse)
    with pytest.raises(NotFound, match="no user 'ann'"):
        stage.bus().call(topic, "ask", {}, timeout_s=20)


def test_a_foreign_error_comes_back_without_its_text(stage: Stage) -> None:
    topic = stage.topic()

    def burst(message: Message) -> JSON:
        raise RuntimeError("password=sesame")

    stage.bus().serve(topic, burst)
    with pytest.raises(GuestError) as caught:
        stage.bus().call(topic, "ask", {}, timeout_s=20)
    assert "sesame" not in str(caught.value)


def test_casts_are_handled(stage: Stage) -> None:
    topic = stage.topic()
    bus = stage.bus()
    seen: list[str] = []
    bus.serve(topic, lambda message: seen.append(message.method))
    for number in range(20):
        stage.bus().cast(topic, f"m{number}", {}) if number < 2 else bus.cast(topic, f"m{number}", {})
    until(lambda: len(seen) == 20)
    assert sorted(seen) == sorted(f"m{number}" for number in range(20))


def test_a_cast_whose_handler_fails_is_not_repeated(stage: Stage) -> None:
    topic = stage.topic()
    bus = stage.bus()
    seen: list[str] = []

    def handle(message: Message) -> JSON:
        seen.append(message.method)
        raise Unavailable("the store is away")

    bus.serve(topic, handle, workers=1)
    bus.cast(topic, "first", {})
    bus.cast(topic, "second", {})
    until(lambda: "second" in seen)
    assert seen == ["first", "second"]


def test_a_call_without_answer_times_out(stage: Stage) -> None:
    topic = stage.topic()
    release = threading.Event()

    def hang(message: Message) -> JSON:
        release.wait(30)
        return None

    stage.bus().serve(topic, hang)
    caller = connected(stage)
    try:
        with pytest.raises(GuestTimeout):
            caller.call(topic, "ask", {}, timeout_s=0.5)
    finally:
        release.set()


def test_a_call_that_timed_out_is_not_executed_later(stage: Stage) -> None:
    topic = stage.topic()
    seen: list[str] = []
    stage.bus().serve(topic, lambda message: seen.append(message.method)).stop()
    caller = connected(stage)
    with pytest.raises(GuestTimeout):
        caller.call(topic, "late", {}, timeout_s=0.5)
    stage.bus().serve(topic, lambda message: seen.append(message.method), workers=1)
    caller.call(topic, "in time", {}, timeout_s=20)
    assert seen == ["in time"]


def test_a_call_that_timed_out_is_not_executed_later_however_long_connecting_took(
    broker: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    seen: list[str] = []
    broker.bus().serve(topic, lambda message: seen.append(message.method)).stop()
    connect = rpc._ReplyBox

    def connect_slowly(*args: Any) -> rpc._ReplyBox:
        time.sleep(0.6)
        return connect(*args)

    monkeypatch.setattr(rpc, "_ReplyBox", connect_slowly)
    caller = broker.bus()
    with pytest.raises((GuestTimeout, Unavailable)):  # on a slow machine it takes even longer
        caller.call(topic, "late", {}, timeout_s=1.5)
    broker.bus().serve(topic, lambda message: seen.append(message.method), workers=1)
    caller.call(topic, "in time", {}, timeout_s=20)
    assert seen == ["in time"]


def test_what_waits_is_handled_when_a_consumer_comes(stage: Stage) -> None:
    topic = stage.topic()
    stage.bus().serve(topic, echo).stop()
    stage.bus().cast(topic, "early", {})
    seen: list[str] = []
    stage.bus().serve(topic, lambda message: seen.append(message.method))
    until(lambda: seen == ["early"])


def test_no_more_messages_are_in_hand_than_workers(stage: Stage) -> None:
    topic = stage.topic()
    release = threading.Event()
    slow: list[str] = []
    fast: list[str] = []

    def hold(message: Message) -> JSON:
        slow.append(message.method)
        release.wait(60)
        return None

    try:
        stage.bus().serve(topic, hold, workers=2)
        bus = stage.bus()
        for number in range(2):
            bus.cast(topic, f"m{number}", {})
        until(lambda: len(slow) == 2)
        for number in range(2, 6):
            bus.cast(topic, f"m{number}", {})
        stage.bus().serve(topic, lambda message: fast.append(message.method), workers=1)
        until(lambda: len(fast) == 4)
        assert len(slow) == 2
    finally:
        release.set()


def test_stopping_lets_messages_in_hand_finish_and_returns_the_others(stage: Stage) -> None:
    topic = stage.topic()
    release = threading.Event()
    began = threading.Event()
    first: list[str] = []
    second: list[str] = []

    def hold(message: Message) -> JSON:
        began.set()
        release.wait(60)
        first.append(message.method)
        return None

    subscription = stage.bus().serve(topic, hold, workers=1)
    bus = stage.bus()
    bus.cast(topic, "begun", {})
    assert began.wait(20)
    for number in range(3):
        bus.cast(topic, f"waits{number}", {})
    stopper = threading.Thread(target=subscription.stop)
    stopper.start()
    release.set()
    stopper.join(20)
    assert first == ["begun"]
    stage.bus().serve(topic, lambda message: second.append(message.method))
    until(lambda: len(second) == 3)
    assert sorted(second) == ["waits0", "waits1", "waits2"]
    subscription.stop()


def test_large_messages_pass_both_ways(stage: Stage) -> None:
    topic = stage.topic()
    stage.bus().serve(topic, echo)
    big = "0123456789" * 500_000
    answer = stage.bus().call(topic, "ask", {"big": big}, timeout_s=60)
    assert isinstance(answer, dict)
    assert answer["args"] == {"big": big}


def test_too_large_messages_are_refused_at_once(stage: Stage) -> None:
    with pytest.raises(InvalidInput, match="larger than the bus carries"):
        stage.bus().cast(stage.topic(), "store", {"big": "x" * (64 * 1024 * 1024)})


def test_many_threads_may_call_at_once(stage: Stage) -> None:
    topic = stage.topic()
    stage.bus().serve(topic, lambda message: message.args["number"], workers=4)
    bus = stage.bus()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: bus.call(topic, "ask", {"number": number}, timeout_s=60), range(80)))
    assert answers == list(range(80))


def test_batches_gather_what_waits(stage: Stage) -> None:
    topic = stage.topic()
    stage.bus().serve_batches(topic, lambda messages: None).stop()
    bus = stage.bus()
    for number in range(120):
        bus.cast(topic, f"m{number}", {})
    batches: list[list[str]] = []
    stage.bus().serve_batches(topic, lambda messages: batches.append([each.method for each in messages]), max_batch=50)
    until(lambda: sum(map(len, batches)) == 120)
    assert sorted(name for batch in batches for name in batch) == sorted(f"m{number}" for number in range(120))
    assert max(map(len, batches)) <= 50
    assert len(batches) < 60


def test_a_batch_comes_again_while_its_handler_is_unavailable(stage: Stage) -> None:
    topic = stage.topic()
    attempts: list[list[str]] = []

    def handle(messages: Sequence[Message]) -> None:
        attempts.append([each.method for each in messages])
        if len(attempts) < 4:
            raise Unavailable("the store is away")

    bus = stage.bus()
    bus.serve_batches(topic, handle)
    bus.cast(topic, "report", {})
    until(lambda: len(attempts) >= 4)
    bus.cast(topic, "next", {})
    until(lambda: attempts[-1] == ["next"])
    assert attempts == [["report"]] * 4 + [["next"]]


def test_a_batch_that_was_not_stored_goes_back_when_its_consumer_stops(stage: Stage) -> None:
    topic = stage.topic()
    tried = threading.Event()

    def handle(messages: Sequence[Message]) -> None:
        tried.set()
        raise Unavailable("the store is away")

    subscription = stage.bus().serve_batches(topic, handle)
    stage.bus().cast(topic, "report", {})
    assert tried.wait(20)
    subscription.stop()
    seen: list[str] = []
    stage.bus().serve_batches(topic, lambda messages: seen.extend(each.method for each in messages))
    until(lambda: seen == ["report"])


def test_one_bad_message_does_not_spoil_its_batch(stage: Stage) -> None:
    topic = stage.topic()
    stage.bus().serve_batches(topic, lambda messages: None).stop()
    bus = stage.bus()
    for method in ("one", "bad", "two"):
        bus.cast(topic, method, {})
    stored: list[str] = []

    def handle(messages: Sequence[Message]) -> None:
        if any(each.method == "bad" for each in messages):
            raise ValueError("cannot be stored")
        stored.extend(each.method for each in messages)

    stage.bus().serve_batches(topic, handle)
    until(lambda: sorted(stored) == ["one", "two"])
    if stage.memory is not None:
        until(lambda: [each.method for each in stage.memory.poison[topic]] == ["bad"])  # type: ignore[union-attr]
    else:
        assert len(stage.poison(topic)) == 1


def test_a_closed_bus_says_so(stage: Stage) -> None:
    bus = stage.bus()
    bus.close()
    bus.close()
    with pytest.raises(Unavailable):
        bus.cast("anything", "ask", {})
    with pytest.raises(Unavailable):
        bus.serve("anything", echo)


def test_closing_stops_the_subscriptions(stage: Stage) -> None:
    topic = stage.topic()
    seen: list[str] = []
    bus = stage.bus()
    bus.serve(topic, lambda message: seen.append(message.method))
    bus.close()
    caller = connected(stage)
    before = time.monotonic()
    with pytest.raises(GuestTimeout):
        caller.call(topic, "ask", {}, timeout_s=0.5)
    assert seen == []
    assert time.monotonic() - before >= 0.5
