"""A bus whose calls to one topic are bounded, so that a guest agent that hangs holds up few of those who ask."""

import threading
from collections import Counter
from collections.abc import Mapping

from trove.bus.contract import BatchHandler, Bus, Handler, Subscription
from trove.core.errors import Overloaded
from trove.core.json import JSON

PATIENCE_S = 1.0
RETRY_AFTER_S = 5.0


class BoundedCalls:
    """`bus`, with at most `most_per_topic` calls to one topic at a time; casts and consumers are as they were. Thread-safe."""

    def __init__(self, bus: Bus, *, most_per_topic: int, patience_s: float = PATIENCE_S) -> None:
        self._bus = bus
        self._most = most_per_topic
        self._patience_s = patience_s
        self._calls: Counter[str] = Counter()
        self._changed = threading.Condition()

    def call(
        self, topic: str, method: str, args: Mapping[str, JSON], *, timeout_s: float, request_id: str | None = None
    ) -> JSON:
        """Send and wait for the answer, as the bus does; raise `Overloaded` when others keep waiting on the topic already."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._calls[topic] < self._most, min(self._patience_s, timeout_s)):
                raise Overloaded("Other requests wait for this guest agent already; try again.", retry_after_s=RETRY_AFTER_S)
            self._calls[topic] += 1
        try:
            return self._bus.call(topic, method, args, timeout_s=timeout_s, request_id=request_id)
        finally:
            with self._changed:
                self._calls[topic] -= 1
                if not self._calls[topic]:
                    del self._calls[topic]
                self._changed.notify_all()

    def cast(self, topic: str, method: str, args: Mapping[str, JSON], *, request_id: str | None = None) -> None:
        """Send without waiting for handling."""
        self._bus.cast(topic, method, args, request_id=request_id)

    def serve(self, topic: str, handler: Handler, *, workers: int = 4) -> Subscription:
        """Consume `topic`."""
        return self._bus.serve(topic, handler, workers=workers)

    def serve_batches(
        self, topic: str, handler: BatchHandler, *, max_batch: int = 500, max_wait_s: float = 0.05
    ) -> Subscription:
        """Consume `topic` in batches."""
        return self._bus.serve_batches(topic, handler, max_batch=max_batch, max_wait_s=max_wait_s)

    def close(self) -> None:
        """Disconnect."""
        self._bus.close()
