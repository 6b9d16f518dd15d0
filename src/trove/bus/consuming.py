"""Consuming: a thread that keeps a link to one queue alive, hands deliveries over and sends back how they ended."""

import logging
import os
import random
import threading
from collections import deque
from collections.abc import Callable

from trove.bus.links import Delivery, Link

LOG = logging.getLogger(__name__)

_WAIT_S = 0.5


class Backoff:
    """Growing pauses with jitter: 0.05 s, doubling, at most `limit_s`."""

    def __init__(self, *, first_s: float = 0.05, limit_s: float = 3.0) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._next_s = first_s

    def pause_s(self) -> float:
        """Return the next pause in seconds."""
        pause, self._next_s = self._next_s, min(self._limit_s, self._next_s * 2)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def reset(self) -> None:
        """Begin anew after a success."""
        self._next_s = self._first_s


class Consumer:
    """Consumes one queue on a thread of its own and reconnects with back-off.

    `prepare` runs on each new link and returns the name of the queue. `deliver` runs on the consumer's thread and must not
    block. `settle` may be called from any thread. A delivery of a link that broke is forgotten: the broker delivers it again.
    """

    def __init__(
        self,
        *,
        open_link: Callable[[], Link],
        prepare: Callable[[Link], str],
        deliver: Callable[[Delivery], None],
        prefetch: int,
        name: str,
    ) -> None:
        self._open_link = open_link
        self._prepare = prepare
        self._deliver = deliver
        self._prefetch = prefetch
        self._name = name
        self._link: Link | None = None
        self._settled: deque[tuple[Delivery, bool]] = deque()
        self._extra_prefetch = 0
        self._new_extra_prefetch: int | None = None
        self._cancel_wanted = False
        self._cancelled = threading.Event()
        self._finish_wanted = threading.Event()
        self._ready = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._closed = False
        self._close_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"bus-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the queue is being consumed; False when it is not by then."""
        return self._ready.wait(timeout_s)

    def is_current(self, delivery: Delivery) -> bool:
        """Tell whether the delivery's link still lives, so that the delivery can be settled."""
        return delivery.link is self._link

    def settle(self, delivery: Delivery, *, accepted: bool) -> None:
        """Acknowledge a delivery, or set it aside as poison."""
        self._settled.append((delivery, accepted))
        self._wake()

    def set_extra_prefetch(self, extra: int) -> None:
        """Let so many messages more be in hand than `prefetch` said; 0 for none."""
        self._new_extra_prefetch = extra
        self._wake()

    def cancel(self, timeout_s: float) -> None:
        """Take no more messages; returns when none can come any more, or after `timeout_s`."""
        self._cancel_wanted = True
        self._wake()
        if self._link is not None:  # without one nothing comes, and the next one will not begin to consume
            self._cancelled.wait(timeout_s)

    def finish(self, timeout_s: float) -> None:
        """Send what was settled, disconnect and end the thread. May run twice."""
        self._finish_wanted.set()
        self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return
        with self._close_lock:
            if not self._closed:
                self._closed = True
                os.close(self._wake_read)
                os.close(self._wake_write)

    def _wake(self) -> None:
        with self._close_lock:
            if self._closed:
                return
            try:
                os.write(self._wake_write, b"x")
            except BlockingIOError:
                return

    def _run(self) -> None:
        backoff = Backoff()
        while not self._finish_wanted.is_set():
            try:
                self._consume(backoff)
            except Exception as error:  # whatever the broker's client raises, the consumer goes on
                self._drop_link(broken=True)
                if self._finish_wanted.is_set():
                    break
                pause_s = backoff.pause_s()
                LOG.warning("bus: consumer of %s lost its link, trying again: %s: %s", self._name, type(error).__name__, error)
                self._finish_wanted.wait(pause_s)
        self._drop_link()
        self._cancelled.set()

    def _consume(self, backoff: Backoff) -> None:
        link = self._open_link()
        try:
            queue = self._prepare(link)
            self._link = link
            if not self._cancel_wanted:
                link.consume(queue, self._deliver, prefetch=self._prefetch)
                link.set_extra_prefetch(self._extra_prefetch)
            self._ready.set()
            backoff.reset()
            while not self._finish_wanted.is_set():
                self._apply(link)
                link.wait(self._wake_read, _WAIT_S)
            self._apply(link)
        finally:
            if self._link is None:
                link.abort()

    def _apply(self, link: Link) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            pass
        while self._settled:
            delivery, accepted = self._settled.popleft()
            if delivery.link is not link:
                continue
            if accepted:
                link.accept(delivery)
            else:
                link.set_aside(delivery)
        if self._cancel_wanted and not self._cancelled.is_set():
            link.cancel()
            self._cancelled.set()
        elif self._new_extra_prefetch is not None and not self._cancel_wanted:
            self._extra_prefetch, self._new_extra_prefetch = self._new_extra_prefetch, None
            link.set_extra_prefetch(self._extra_prefetch)

    def _drop_link(self, *, broken: bool = False) -> None:
        self._ready.clear()
        link, self._link = self._link, None
        if link is not None and broken:
            link.abort()
        elif link is not None:
            link.close()
