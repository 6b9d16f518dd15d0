"""Serving: the two kinds of subscription, message by message with several threads, or in batches on one."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trove.bus.consuming import Backoff, Consumer
from trove.bus.contract import BatchHandler, Handler
from trove.bus.links import Delivery, Link
from trove.bus.receiving import Receiver, StoppingError, message
from trove.bus.sealing import Reply, Request, Sealer
from trove.bus.wire_errors import form_of
from trove.core.errors import TroveError, Unavailable

LOG = logging.getLogger(__name__)

_CRASH_LIMIT = 3
_CANCEL_TIMEOUT_S = 5.0

Answer = Callable[[str, Request, Reply], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a subscription takes its messages: a topic, how to link to it and how to open what comes."""

    topic: str
    sealer: Sealer
    open_link: Callable[[], Link]
    prepare: Callable[[Link], str]


class _Subscription:
    """What both kinds share: a consumer, a queue of deliveries in hand, and an orderly end.

    It takes one message at a time while messages come with which a consumer died before, so that only the one which kills is
    counted and set aside, and not its neighbours; it takes up to `prefetch` when a fresh one comes.
    """

    def __init__(self, source: Source, *, prefetch: int) -> None:
        self._topic = source.topic
        self._prefetch = prefetch
        self._one_by_one = True
        self._stopping = threading.Event()
        self._waiting: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._receiver = Receiver(source.sealer, source.topic, self._stopping, crash_limit=_CRASH_LIMIT)
        self._consumer = self._receiver.consumer = Consumer(
            open_link=source.open_link, prepare=source.prepare, deliver=self._take, prefetch=1, name=source.topic
        )

    def _take(self, delivery: Delivery) -> None:
        suspect = self._receiver.arrived(delivery) > 0
        if suspect != self._one_by_one:
            self._one_by_one = suspect
            self._consumer.set_extra_prefetch(0 if suspect else self._prefetch - 1)
        self._waiting.put(delivery)

    def start(self) -> None:
        """Begin to consume."""
        for thread in self._threads:
            thread.start()
        self._consumer.start()

    def stop(self, *, drain_timeout_s: float = 10.0) -> None:
        """Take no more, let those in hand finish, return what was not begun. May run twice."""
        deadline = time.monotonic() + drain_timeout_s
        self._stopping.set()
        self._consumer.cancel(min(_CANCEL_TIMEOUT_S, drain_timeout_s))
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._consumer.finish(_CANCEL_TIMEOUT_S)


class ServeSubscription(_Subscription):
    """Handles message by message on several threads."""

    def __init__(self, source: Source, handler: Handler, *, workers: int, answer: Answer) -> None:
        super().__init__(source, prefetch=workers)
        self._handler = handler
        self._answer = answer
        self._threads = [
            threading.Thread(target=self._work, name=f"bus-{self._topic}-{number}", daemon=True) for number in range(workers)
        ]

    def _work(self) -> None:
        while (delivery := self._waiting.get()) is not None:
            if self._stopping.is_set():
                continue
            try:
                request = self._receiver.open(delivery)
            except StoppingError:
                continue
            if request is None:
                continue
            reply = self._handled(request, redelivered=delivery.redelivered or delivery.earlier > 0)
            self._answer(self._topic, request, reply)
            self._receiver.done(request)

    def _handled(self, request: Request, *, redelivered: bool) -> Reply:
        is_call = request.reply_to is not None
        try:
            return Reply(result=self._handler(message(request, redelivered=redelivered)))
        except TroveError as error:
            level = logging.INFO if is_call else logging.ERROR
            LOG.log(level, "bus: %r on %s failed: %s: %s", request.method, self._topic, error.code, error)
            return Reply(error=form_of(error))
        except Exception as error:
            LOG.exception("bus: %r on %s failed", request.method, self._topic)
            return Reply(error=form_of(error))


class BatchSubscription(_Subscription):
    """Handles many casts at once on one thread, with up to two batches in hand."""

    def __init__(self, source: Source, handler: BatchHandler, *, max_batch: int, max_wait_s: float) -> None:
        super().__init__(source, prefetch=2 * max_batch)
        self._handler = handler
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._threads = [threading.Thread(target=self._work, name=f"bus-{self._topic}-batches", daemon=True)]

    def _work(self) -> None:
        while not self._stopping.is_set():
            deliveries = self._collect()
            suspects = [delivery for delivery in deliveries if self._receiver.crashes(delivery)]
            try:
                self._hand_over([delivery for delivery in deliveries if delivery not in suspects])
                for suspect in suspects:
                    self._hand_over([suspect])
            except StoppingError:
                return

    def _collect(self) -> list[Delivery]:
        """Return what came within `max_wait_s` of the first message, at most `max_batch`; waits for the first."""
        first = self._waiting.get()
        if first is None:
            return []
        deliveries = [first]
        deadline = time.monotonic() + self._max_wait_s
        while len(deliveries) < self._max_batch:
            try:
                delivery = self._waiting.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if delivery is None:
                break
            deliveries.append(delivery)
        return deliveries

    def _hand_over(self, deliveries: Sequence[Delivery]) -> None:
        requests: list[tuple[Request, bool]] = []
        for delivery in deliveries:
            request = self._receiver.open(delivery)
            if request is not None:
                requests.append((request, delivery.redelivered or delivery.earlier > 0))
        if not requests:
            return
        if self._handle(requests):
            return
        for single in requests:
            if not self._handle([single]):
                LOG.error("bus: set aside on %s.poison: %r of %s", self._topic, single[0].method, single[0].sender)
                self._receiver.set_aside(single[0])

    def _handle(self, requests: Sequence[tuple[Request, bool]]) -> bool:
        """Hand over until it is not `Unavailable` any more; tell whether it succeeded. Raises `StoppingError`."""
        batch = [message(request, redelivered=redelivered) for request, redelivered in requests]
        backoff = Backoff()
        while True:
            try:
                self._handler(batch)
            except Unavailable as error:
                LOG.warning("bus: %d messages of %s wait: %s", len(batch), self._topic, error)
                if self._stopping.wait(backoff.pause_s()):
                    raise StoppingError from error
            except Exception:
                LOG.exception("bus: a batch of %d messages of %s failed", len(batch), self._topic)
                return False
            else:
                for request, _ in requests:
                    self._receiver.done(request)
                return True
