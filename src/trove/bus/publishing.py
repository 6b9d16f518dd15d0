"""Publishing: a pool of confirming links, one a thread at work, that reconnects until the deadline."""

import logging
import threading
import time
from collections.abc import Callable

from trove.bus.consuming import Backoff
from trove.bus.contract import CONTROL
from trove.bus.links import Link, Outgoing, QueueMissingError
from trove.bus.sealing import owner
from trove.core.errors import Unavailable

LOG = logging.getLogger(__name__)

_IDLE_KEPT = 4
_NO_RIGHT = frozenset({403, 404})  # AMQP: access refused, no such exchange


class Publisher:
    """Publishes as one principal. Thread-safe."""

    def __init__(self, open_link: Callable[[], Link], principal: str) -> None:
        self._open_link = open_link
        self._principal = principal
        self._idle: list[Link] = []
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, message: Outgoing, *, deadline: float) -> None:
        """Store the message on the bus before `deadline` (monotonic), reconnecting as needed; else raise `Unavailable`."""
        backoff = Backoff()
        while True:
            if self._closed:
                raise Unavailable("the connection to the message bus is closed")
            try:
                self._publish_once(message, max(0.1, deadline - time.monotonic()))
            except QueueMissingError:
                raise Unavailable(f"the message bus has no queue {message.queue!r}") from None
            except Exception as error:  # whatever the broker's client raises is the bus being away
                if getattr(error, "reply_code", None) in _NO_RIGHT:
                    raise Unavailable(f"the message bus takes no messages for {message.queue!r} from here") from None
                pause_s = backoff.pause_s()
                if time.monotonic() + pause_s >= deadline:
                    LOG.warning("bus: cannot publish to %s: %s: %s", message.queue, type(error).__name__, error)
                    raise Unavailable(f"the message bus cannot be reached ({type(error).__name__})") from None
                time.sleep(pause_s)
            else:
                return

    def _publish_once(self, message: Outgoing, timeout_s: float) -> None:
        link = self._borrow()
        try:
            self._publish_on(link, message, timeout_s)
        except QueueMissingError:
            self._give_back(link)
            raise
        except BaseException:
            link.abort()
            self._drop_idle()
            raise
        self._give_back(link)

    def _publish_on(self, link: Link, message: Outgoing, timeout_s: float) -> None:
        """Publish; the control plane's own topics are declared first, and again when they vanished since."""
        if self._principal != CONTROL or message.exchange or owner(message.queue) != CONTROL:
            link.publish(message, timeout_s=timeout_s)
            return
        if message.queue in link.declared:
            try:
                link.publish(message, timeout_s=timeout_s)
            except QueueMissingError:
                link.declared.discard(message.queue)
            else:
                return
        link.declare_topic(message.queue)
        link.publish(message, timeout_s=timeout_s)

    def _borrow(self) -> Link:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._open_link()

    def _give_back(self, link: Link) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_KEPT:
                self._idle.append(link)
                return
        link.close()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.abort()

    def close(self) -> None:
        """Disconnect. May run twice."""
        self._closed = True
        self._drop_idle()
