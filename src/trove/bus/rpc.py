"""The bus over a broker: one thin RPC on kombu for RabbitMQ and Valkey, sealed, acknowledged after handling, reconnecting."""

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from trove.bus.consuming import Consumer
from trove.bus.contract import CONTROL, BatchHandler, Handler, Keyring, Subscription
from trove.bus.links import REPLY_EXCHANGE, Delivery, Endpoint, Link, Outgoing, guest_exchange
from trove.bus.publishing import Publisher
from trove.bus.sealing import REPLAY_WINDOW_S, CachedKeys, Reply, Request, Sealer
from trove.bus.serving import BatchSubscription, ServeSubscription, Source
from trove.bus.wire_errors import error_of
from trove.core.errors import GuestError, GuestTimeout, InvalidInput, Refused, TroveError, Unavailable, Unsupported
from trove.core.json import JSON

LOG = logging.getLogger(__name__)

_CAST_TIMEOUT_S = 10.0
_REPLY_PREFETCH = 500


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiter:
    """A call that waits for its answer."""

    topic: str
    answered: threading.Event = field(default_factory=threading.Event)
    reply: Reply | None = None


class _ReplyBox:
    """The calling side: one reply queue a connection, and who waits for which answer."""

    def __init__(self, endpoint: Endpoint, sealer: Sealer, name: str) -> None:
        self._sealer = sealer
        self._waiters: dict[str, _Waiter] = {}
        self._queue = ""
        self._consumer = Consumer(
            open_link=lambda: endpoint.open(heartbeat=True, name=f"{name} replies"),
            prepare=self._prepare,
            deliver=self._deliver,
            prefetch=_REPLY_PREFETCH,
            name="replies",
        )
        self._consumer.start()

    def _prepare(self, link: Link) -> str:
        queue = f"reply.{secrets.token_hex(16)}"
        link.declare_reply(queue)
        self._queue = queue
        return queue

    def _deliver(self, delivery: Delivery) -> None:
        waiter = self._waiters.get(delivery.correlation_id or "")
        if waiter is not None:
            try:
                waiter.reply = self._sealer.open_reply(waiter.topic, delivery.correlation_id or "", delivery.body)
                waiter.answered.set()
            except (Refused, Unavailable) as error:
                LOG.warning("bus: dropped an answer from %s: %s", waiter.topic, error)
        self._consumer.settle(delivery, accepted=True)

    def queue(self, timeout_s: float) -> str:
        """Return the name of the live reply queue; raise `Unavailable` when there is none in time."""
        if not self._consumer.wait_ready(timeout_s):
            raise Unavailable("the message bus cannot be reached")
        return self._queue

    def expect(self, topic: str, correlation_id: str) -> _Waiter:
        waiter = self._waiters[correlation_id] = _Waiter(topic=topic)
        return waiter

    def forget(self, correlation_id: str) -> None:
        self._waiters.pop(correlation_id, None)

    def close(self) -> None:
        self._consumer.finish(5.0)


class RpcBus:
    """A connection to a broker as one principal; see `contract.Bus`."""

    def __init__(self, endpoint: Endpoint, sealer: Sealer, host_label: str) -> None:
        self._endpoint = endpoint
        self._sealer = sealer
        self._name = f"{sealer.principal}@{host_label}"
        self._publisher = Publisher(lambda: endpoint.open(confirm=True, name=f"{self._name} publisher"), sealer.principal)
        self._replies: _ReplyBox | None = None
        self._subscriptions: list[ServeSubscription | BatchSubscription] = []
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RpcBus({self._name}, {self._endpoint!r})"

    def call(
        self, topic: str, method: str, args: Mapping[str, JSON], *, timeout_s: float, request_id: str | None = None
    ) -> JSON:
        """Send and wait for the answer; see the contract. A guest only casts: `Unsupported`."""
        if self._sealer.principal != CONTROL:
            raise Unsupported("a guest sends casts only")
        # First, before what may take long: nobody may begin with it who could find that its caller has given up already.
        expires = time.time() + timeout_s
        deadline = time.monotonic() + timeout_s
        box = self._reply_box()
        request = Request(
            sender=self._sealer.principal,
            method=method,
            args=args,
            sent=time.time(),
            expires=expires,
            request_id=request_id,
            reply_to=box.queue(timeout_s),
            correlation_id=secrets.token_hex(16),
        )
        assert request.correlation_id is not None
        waiter = box.expect(topic, request.correlation_id)
        try:
            self._publish(topic, request, deadline=deadline, expiration_ms=int(timeout_s * 1000) + 1)
            waiter.answered.wait(max(0.0, deadline - time.monotonic()))
        finally:
            box.forget(request.correlation_id)
        if waiter.reply is None:
            raise GuestTimeout(f"no answer to {method!r} from {topic!r} within {timeout_s:g} s")
        if waiter.reply.error is not None:
            raise error_of(*waiter.reply.error)
        return waiter.reply.result

    def cast(self, topic: str, method: str, args: Mapping[str, JSON], *, request_id: str | None = None) -> None:
        """Send without waiting for handling; see the contract. Gives up after 10 s without a bus."""
        request = Request(sender=self._sealer.principal, method=method, args=args, sent=time.time(), request_id=request_id)
        self._publish(topic, request, deadline=time.monotonic() + _CAST_TIMEOUT_S)

    def _publish(self, topic: str, request: Request, *, deadline: float, expiration_ms: int | None = None) -> None:
        message = Outgoing(
            queue=topic,
            exchange=self._exchange(),
            body=self._sealer.seal_request(topic, request),
            sealed_by=self._sealer.principal,
            correlation_id=request.correlation_id,
            expiration_ms=expiration_ms,
        )
        self._publisher.publish(message, deadline=deadline)

    def _exchange(self) -> str:
        return "" if self._sealer.principal == CONTROL else guest_exchange(self._sealer.principal)

    def serve(self, topic: str, handler: Handler, *, workers: int = 4) -> Subscription:
        """Consume with `workers` threads; see the contract."""
        return self._subscribed(ServeSubscription(self._source(topic), handler, workers=workers, answer=self._answer))

    def serve_batches(
        self, topic: str, handler: BatchHandler, *, max_batch: int = 500, max_wait_s: float = 0.05
    ) -> Subscription:
        """Consume in batches on one thread; see the contract."""
        return self._subscribed(BatchSubscription(self._source(topic), handler, max_batch=max_batch, max_wait_s=max_wait_s))

    def _subscribed(self, subscription: ServeSubscription | BatchSubscription) -> Subscription:
        with self._lock:
            if self._closed:
                raise Unavailable("the connection to the message bus is closed")
            self._subscriptions.append(subscription)
        subscription.start()
        return subscription

    def _consumer_link(self) -> Link:
        return self._endpoint.open(heartbeat=True, name=f"{self._name} consumer")

    def _source(self, topic: str) -> Source:
        def prepare(link: Link) -> str:
            if self._sealer.principal == CONTROL:
                link.declare_topic(topic)
                link.declare_reply_exchange()
            return topic

        return Source(topic=topic, sealer=self._sealer, open_link=self._consumer_link, prepare=prepare)

    def _answer(self, topic: str, request: Request, reply: Reply) -> None:
        """Answer a call; a caller that has gone is no error."""
        if request.reply_to is None or request.expires is None:
            return
        try:
            body = self._sealer.seal_reply(topic, request, reply)
        except InvalidInput as error:
            body = self._sealer.seal_reply(topic, request, Reply(error=(GuestError.code, str(error))))
        message = Outgoing(
            queue=request.reply_to,
            exchange=REPLY_EXCHANGE,
            body=body,
            sealed_by=self._sealer.principal,
            correlation_id=request.correlation_id,
            mandatory=False,
            persistent=False,
        )
        try:
            self._publisher.publish(message, deadline=time.monotonic() + max(0.0, request.expires - time.time()))
        except TroveError as error:
            LOG.warning("bus: the answer to %r was not sent: %s", request.method, error)

    def _reply_box(self) -> _ReplyBox:
        with self._lock:
            if self._closed:
                raise Unavailable("the connection to the message bus is closed")
            if self._replies is None:
                self._replies = _ReplyBox(self._endpoint, self._sealer, self._name)
            return self._replies

    def close(self) -> None:
        """Stop all subscriptions and disconnect. May run twice."""
        with self._lock:
            self._closed = True
            subscriptions, self._subscriptions = self._subscriptions, []
            replies, self._replies = self._replies, None
        for subscription in subscriptions:
            subscription.stop()
        if replies is not None:
            replies.close()
        self._publisher.close()


def connect(
    url: str,
    *,
    principal: str,
    keyring: Keyring,
    host_label: str,
    replay_window_s: float = REPLAY_WINDOW_S,
) -> RpcBus:
    """Return the bus at a transport URL; it connects when first used.

    `amqp://`, `amqps://`, `rabbit://` (several hosts by `;`, or by `,` within one URL); `valkey://`, `valkeys://`,
    `valkey+unix:///path.sock?user=…&password=…`. With TLS (`amqps`, `valkeys`) the broker's certificate is verified;
    `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` in the query name files. `host_label` names this process at the broker.
    """
    sealer = Sealer(principal, CachedKeys(keyring), window_s=replay_window_s)
    return RpcBus(Endpoint(url), sealer, host_label)
