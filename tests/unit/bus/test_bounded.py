"""Calls to one guest agent are bounded; other guests are not held up."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.support.world import until

from trove.bus.bounded import BoundedCalls
from trove.bus.contract import Message, guest_topic
from trove.bus.memory import MemoryBus
from trove.core.errors import GuestError, Overloaded
from trove.core.json import JSON

HUNG, OTHER = guest_topic("hung"), guest_topic("other")


class Guests:
    """A guest that answers when it is let go, and another that answers at once."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.let_go = threading.Event()
        self.called = 0
        self._served = [self.bus.serve(HUNG, self._hang, workers=8), self.bus.serve(OTHER, lambda _: "quick", workers=1)]

    def _hang(self, message: Message) -> JSON:
        self.called += 1
        assert self.let_go.wait(30)
        if message.method == "fail":
            raise GuestError("no")
        return "late"

    def close(self) -> None:
        self.let_go.set()
        for subscription in self._served:
            subscription.stop()
        self.bus.close()


@pytest.fixture
def guests() -> Iterator[Guests]:
    made = Guests()
    yield made
    made.close()


def ask(bus: BoundedCalls, topic: str, method: str = "ask") -> JSON:
    return bus.call(topic, method, {}, timeout_s=20)


def waiting(bus: BoundedCalls, guests: Guests, count: int, method: str = "ask") -> list[threading.Thread]:
    """Have this many threads wait for the guest that hangs."""

    def swallow() -> None:
        with suppress(GuestError):
            ask(bus, HUNG, method)

    threads = [threading.Thread(target=swallow) for _ in range(count)]
    for thread in threads:
        thread.start()
    until(lambda: guests.called >= count, what="all calls to arrive")
    return threads


@pytest.mark.parametrize("method", ["ask", "fail"])
def test_beyond_the_bound_nobody_waits_for_a_guest_that_hangs(guests: Guests, method: str) -> None:
    bus = BoundedCalls(guests.bus, most_per_topic=2, patience_s=0.05)
    threads = waiting(bus, guests, 2, method)
    with pytest.raises(Overloaded) as refused:
        ask(bus, HUNG)
    assert refused.value.retry_after_s > 0
    assert guests.called == 2
    assert ask(bus, OTHER) == "quick"
    guests.let_go.set()
    for thread in threads:
        thread.join()
    assert ask(bus, HUNG) == "late"


def test_a_burst_for_a_guest_that_answers_waits_its_turn(guests: Guests) -> None:
    bus = BoundedCalls(guests.bus, most_per_topic=1, patience_s=20)
    results: list[JSON] = []
    threads = [threading.Thread(target=lambda: results.append(ask(bus, HUNG))) for _ in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: guests.called, what="the first call")
    assert guests.called == 1
    guests.let_go.set()
    for thread in threads:
        thread.join()
    assert results == ["late"] * 5
