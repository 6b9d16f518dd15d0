"""The bus inside one process: the same contract without a broker, for tests and small tools, with faults to order."""

import json
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, BatchHandler, Handler, Keyring, Message, Subscription
from trove.bus.sealing import MAX_SIZE, owner
from trove.bus.wire_errors import error_of, form_of
from trove.core.clock import utcnow
from trove.core.errors import GuestTimeout, InvalidInput, TroveError, Unavailable, Unsupported
from trove.core.json import JSON
from trove.core.notifications import Notification

LOG = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Item:
    """A message in a queue. `answer` is set for calls."""

    message: Message
    expires: float | None = None
    answered: threading.Event | None = None
    result: str = "null"
    error: tuple[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class _Faults:
    drop: int = 0
    fail: int = 0


class Broker:
    """What several in-process buses share: the queues, and the faults that a test orders."""

    def __init__(self) -> None:
        self._queues: dict[str, queue.SimpleQueue[_Item | None]] = defaultdict(queue.SimpleQueue)
        self._faults: dict[str | None, _Faults] = defaultdict(_Faults)
        self._lock = threading.Lock()
        self.poison: dict[str, list[Message]] = defaultdict(list)

    def queue(self, topic: str) -> "queue.SimpleQueue[_Item | None]":
        """Return the queue of a topic, made when missing."""
        with self._lock:
            return self._queues[topic]

    def drop_next(self, topic: str | None = None, *, count: int = 1) -> None:
        """Lose the next messages (of `topic`, or of any): their senders see success."""
        with self._lock:
            self._faults[topic].drop += count

    def fail_next(self, topic: str | None = None, *, count: int = 1) -> None:
        """Let the next sends (to `topic`, or to any) raise `Unavailable`."""
        with self._lock:
            self._faults[topic].fail += count

    def put(self, topic: str, item: _Item) -> None:
        """Store a message, unless a fault was ordered."""
        with self._lock:
            faults = [self._faults[key] for key in (topic, None) if key in self._faults]
            for fault in faults:
                if fault.fail:
                    fault.fail -= 1
                    raise Unavailable("the message bus cannot be reached (ordered fault)")
            for fault in faults:
                if fault.drop:
                    fault.drop -= 1
                    return
            self._queues[topic].put(item)


class MemoryBus:
    """A connection to a `Broker` as one principal; see `contract.Bus`. What is sent passes through JSON as on a real bus."""

    def __init__(self, broker: Broker | None = None, *, principal: str = CONTROL, keyring: Keyring | None = None) -> None:
        self.broker = broker or Broker()
        self._principal = principal
        self._keyring = keyring
        self._subscriptions: list[_MemorySubscription] = []
        self._closed = False

    def as_principal(self, principal: str) -> "MemoryBus":
        """Return another connection to the same broker, for instance as a guest."""
        return MemoryBus(self.broker, principal=principal, keyring=self._keyring)

    def call(
        self, topic: str, method: str, args: Mapping[str, JSON], *, timeout_s: float, request_id: str | None = None
    ) -> JSON:
        """Send and wait for the answer; see the contract."""
        if self._principal != CONTROL:
            raise Unsupported("a guest sends casts only")
        item = _Item(
            message=self._message(topic, method, args, request_id),
            expires=time.monotonic() + timeout_s,
            answered=threading.Event(),
        )
        self.broker.put(topic, item)
        assert item.answered is not None
        if not item.answered.wait(timeout_s):
            raise GuestTimeout(f"no answer to {method!r} from {topic!r} within {timeout_s:g} s")
        if item.error is not None:
            raise error_of(*item.error)
        result: JSON = json.loads(item.result)
        return result

    def cast(self, topic: str, method: str, args: Mapping[str, JSON], *, request_id: str | None = None) -> None:
        """Send without waiting for handling; see the contract."""
        self.broker.put(topic, _Item(message=self._message(topic, method, args, request_id)))

    def serve(self, topic: str, handler: Handler, *, workers: int = 4) -> Subscription:
        """Consume with `workers` threads; see the contract."""
        return self._subscribed(topic, lambda running: _serve(self.broker, topic, handler, running), workers)

    def serve_batches(
        self, topic: str, handler: BatchHandler, *, max_batch: int = 500, max_wait_s: float = 0.05
    ) -> Subscription:
        """Consume in batches on one thread; see the contract."""
        size = _BatchSize(max_batch=max_batch, max_wait_s=max_wait_s)
        return self._subscribed(topic, lambda running: _serve_batches(self.broker, topic, handler, size, running), 1)

    def close(self) -> None:
        """Stop all subscriptions. May run twice."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.stop()

    def _subscribed(self, topic: str, work: Callable[[threading.Event], None], workers: int) -> "_MemorySubscription":
        if self._closed:
            raise Unavailable("the connection to the message bus is closed")
        subscription = _MemorySubscription(self.broker.queue(topic), topic, work, workers)
        self._subscriptions.append(subscription)
        return subscription

    def _message(self, topic: str, method: str, args: Mapping[str, JSON], request_id: str | None) -> Message:
        if self._closed:
            raise Unavailable("the connection to the message bus is closed")
        if self._principal != CONTROL and topic != CONDUCTOR_TOPIC:
            raise Unavailable(f"the message bus has no queue {topic!r}")
        if self._keyring is not None:
            self._keyring.key(owner(topic) if self._principal == CONTROL else self._principal)
        text = json.dumps(args)
        if len(text) > MAX_SIZE:
            raise InvalidInput(f"the message of {len(text)} bytes is larger than the bus carries ({MAX_SIZE} bytes)")
        return Message(sender=self._principal, method=method, args=json.loads(text), sent=utcnow(), request_id=request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _BatchSize:
    max_batch: int
    max_wait_s: float


class _MemorySubscription:
    def __init__(
        self, waiting: "queue.SimpleQueue[_Item | None]", topic: str, work: Callable[[threading.Event], None], workers: int
    ) -> None:
        self._waiting = waiting
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=work, args=(self._stopping,), name=f"bus-{topic}-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, *, drain_timeout_s: float = 10.0) -> None:
        """Take no more messages and let those in hand finish. May run twice."""
        deadline = time.monotonic() + drain_timeout_s
        self._stopping.set()
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline and thread is not threading.current_thread():
                self._waiting.put(None)
                thread.join(0.05)


def _next(waiting: "queue.SimpleQueue[_Item | None]", running: threading.Event, timeout_s: float | None = None) -> _Item | None:
    """Return the next live item; None on the call to stop or after `timeout_s`. Takes nothing when stopping."""
    while not running.is_set():
        try:
            item = waiting.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if item is None:
            continue
        if running.is_set():
            waiting.put(item)
            return None
        if item.expires is None or time.monotonic() <= item.expires:
            return item
    return None


def _serve(broker: Broker, topic: str, handler: Handler, running: threading.Event) -> None:
    while (item := _next(broker.queue(topic), running)) is not None:
        try:
            item.result = json.dumps(handler(item.message))
        except Exception as error:  # the contract says what leaves
            if not isinstance(error, TroveError) or item.answered is None:
                LOG.exception("bus: %r on %s failed", item.message.method, topic)
            item.error = form_of(error)
        if item.answered is not None:
            item.answered.set()


def _serve_batches(broker: Broker, topic: str, handler: BatchHandler, size: _BatchSize, running: threading.Event) -> None:
    waiting = broker.queue(topic)
    while (first := _next(waiting, running)) is not None:
        items = [first]
        deadline = time.monotonic() + size.max_wait_s
        while len(items) < size.max_batch:
            more = _next(waiting, running, max(0.0, deadline - time.monotonic()))
            if more is None:
                break
            items.append(more)
        outcome = _handle_batch(handler, items, running)
        if outcome is None:
            for item in items:
                item.message = replace(item.message, redelivered=True)
                waiting.put(item)
            return
        if not outcome:
            for item in items:
                if _handle_batch(handler, [item], running) is False:
                    broker.poison[topic].append(item.message)


def _handle_batch(handler: BatchHandler, items: list[_Item], running: threading.Event) -> bool | None:
    """Tell whether the batch was handled; None when it must go back because the subscription stops."""
    pause_s = 0.01
    while True:
        try:
            handler([item.message for item in items])
        except Unavailable:
            if running.wait(pause_s):
                return None
            pause_s = min(1.0, pause_s * 2)
        except Exception:
            LOG.exception("bus: a batch of %d messages failed", len(items))
            return False
        else:
            return True


class MemoryNotifications:
    """Keeps what was published (`NotificationTransport`). While `failing` is set, publishing raises it."""

    def __init__(self) -> None:
        self.published: list[Notification] = []
        self.failing: Exception | None = None

    def publish(self, notification: Notification) -> None:
        """Keep it."""
        if self.failing is not None:
            raise self.failing
        self.published.append(notification)

    def types(self) -> list[str]:
        """Return the types of what was published, in order."""
        return [each.event_type for each in self.published]

    def close(self) -> None:
        """Do nothing."""
