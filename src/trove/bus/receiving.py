"""Receiving: opens what is delivered and decides what is handled, dropped or set aside; each message ends settled once."""

import logging
import threading
from collections import OrderedDict
from datetime import UTC, datetime

from trove.bus.consuming import Backoff, Consumer
from trove.bus.contract import Message
from trove.bus.links import Delivery
from trove.bus.sealing import ReplayedError, Request, Sealer, message_nonce
from trove.core.errors import Refused, Unavailable

LOG = logging.getLogger(__name__)

_REMEMBERED = 20_000


class StoppingError(Exception):
    """The subscription stops; the message stays in the queue."""


class Receiver:
    """The way in of one subscription."""

    def __init__(self, sealer: Sealer, topic: str, stopping: threading.Event, *, crash_limit: int) -> None:
        self.consumer: Consumer
        self._sealer = sealer
        self._topic = topic
        self._stopping = stopping
        self._crash_limit = crash_limit
        self._lock = threading.Lock()
        self._in_hand: dict[bytes, list[Delivery]] = {}
        self._deliveries: OrderedDict[bytes, int] = OrderedDict()
        self._crashes: dict[int, int] = {}

    def arrived(self, delivery: Delivery) -> int:
        """Count a delivery on arrival, and return how many consumers died with it.

        Deliveries that this living process saw before were no deaths.
        """
        nonce = message_nonce(delivery.body)
        with self._lock:
            here = self._deliveries.pop(nonce, 0)
            self._deliveries[nonce] = here + 1
            while len(self._deliveries) > _REMEMBERED:
                self._deliveries.popitem(last=False)
            crashes = self._crashes[id(delivery)] = max(0, delivery.earlier - here)
        return crashes

    def crashes(self, delivery: Delivery) -> int:
        """Return how many consumers died with this message in hand, as far as known."""
        return self._crashes.get(id(delivery), 0)

    def open(self, delivery: Delivery) -> Request | None:
        """Open and verify a delivery. None when there is nothing to handle: it was settled, or waits for its twin in hand.

        Waits while keys cannot be read; raises `StoppingError` when the subscription stops meanwhile.
        """
        with self._lock:
            crashes = self._crashes.pop(id(delivery), 0)
            if not self.consumer.is_current(delivery):
                return None
            nonce = message_nonce(delivery.body)
            if nonce in self._in_hand:
                self._in_hand[nonce].append(delivery)
                return None
            self._in_hand[nonce] = [delivery]
        return self._verified(delivery, nonce, crashes)

    def _verified(self, delivery: Delivery, nonce: bytes, crashes: int) -> Request | None:
        try:
            request = self._opened(delivery)
        except ReplayedError as error:
            LOG.log(logging.DEBUG if delivery.redelivered else logging.WARNING, "bus: dropped on %s: %s", self._topic, error)
            self._settle(nonce, accepted=True)
            return None
        except Refused as error:
            LOG.warning("bus: set aside on %s.poison: %s", self._topic, error)
            self._settle(nonce, accepted=False)
            return None
        except StoppingError:
            self.forget(nonce)
            raise
        except Exception:  # a keyring may fail in its own ways; a message that cannot be judged must not end the consumer
            LOG.exception("bus: set aside on %s.poison: a message of %r that cannot be opened", self._topic, delivery.sealed_by)
            self._settle(nonce, accepted=False)
            return None
        if request.expired:
            LOG.info("bus: dropped on %s: call %r of %s expired", self._topic, request.method, request.sender)
            self._settle(nonce, accepted=True)
            return None
        if crashes >= self._crash_limit:
            LOG.error(
                "bus: set aside on %s.poison: %r of %s, because %d consumers died handling it",
                self._topic,
                request.method,
                request.sender,
                crashes,
            )
            self._settle(nonce, accepted=False)
            return None
        return request

    def _opened(self, delivery: Delivery) -> Request:
        backoff = Backoff()
        while True:
            try:
                return self._sealer.open_request(self._topic, delivery.sealed_by, delivery.body)
            except Unavailable as error:
                LOG.warning("bus: the sealing key of %s cannot be read now: %s", delivery.sealed_by, error)
                if self._stopping.wait(backoff.pause_s()):
                    raise StoppingError from error

    def done(self, request: Request) -> None:
        """Acknowledge a handled request, and remember it."""
        self._sealer.handled(request)
        self._settle(request.nonce, accepted=True)

    def set_aside(self, request: Request) -> None:
        """Move a request to the poison queue."""
        self._settle(request.nonce, accepted=False)

    def forget(self, nonce: bytes) -> None:
        """Leave a request unsettled: its link's end returns it to the queue."""
        with self._lock:
            self._in_hand.pop(nonce, None)

    def _settle(self, nonce: bytes, *, accepted: bool) -> None:
        with self._lock:
            deliveries = self._in_hand.pop(nonce, [])
        for number, delivery in enumerate(deliveries):
            # A twin is the same message once more: only one may go to the poison queue.
            last = number == len(deliveries) - 1
            self.consumer.settle(delivery, accepted=accepted or not last)


def message(request: Request, *, redelivered: bool) -> Message:
    """Return the contract's form of an opened request."""
    return Message(
        sender=request.sender,
        method=request.method,
        args=request.args,
        sent=datetime.fromtimestamp(request.sent, UTC),
        request_id=request.request_id,
        redelivered=redelivered,
    )
