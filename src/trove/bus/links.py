"""Links: one kombu connection with one channel, to RabbitMQ or to Valkey, and what differs between the two."""

import logging
import random
import secrets
import select
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from amqp.exceptions import InternalError, NotFound, PreconditionFailed
from kombu.connection import Connection as KombuConnection

from trove.bus import resp, streams
from trove.core.errors import InvalidInput

Connection: Any = KombuConnection  # kombu carries no types

AMQP_SCHEMES = {"amqp": False, "rabbit": False, "pyamqp": False, "amqps": True, "rabbits": True}
REPLY_EXCHANGE = "trove.reply"
POISON_SUFFIX = ".poison"
DELIVERY_COUNT = streams.DELIVERY_COUNT

LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 5.0
_HEARTBEAT_S = 30
_HEARTBEAT_EVERY_S = 5.0
_POISON_KEPT = 1000
_REPLY_EXPIRES_MS = 120_000
_PROBE_EXPIRES_MS = 60_000
_FRAME_TIMEOUT_S = 0.05


class QueueMissingError(Exception):
    """The queue that a message was for does not exist."""


class LeaderMissingError(Exception):
    """No node of a cluster leads the queue: for the moment, or for ever."""


def guest_exchange(instance_id: str) -> str:
    """Return the name of the exchange to which this guest alone writes, bound to the conductor's queue only."""
    return f"guest.{instance_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A sealed message on its way out. `expiration_ms` lets the broker drop it too, None keeps it."""

    queue: str
    exchange: str
    body: bytes = field(repr=False)
    sealed_by: str
    correlation_id: str | None = None
    expiration_ms: int | None = None
    mandatory: bool = True
    persistent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """A message in hand, still sealed. `earlier` counts the deliveries before this one."""

    body: bytes = field(repr=False)
    sealed_by: str
    correlation_id: str | None
    earlier: int
    redelivered: bool
    tag: int
    link: "Link" = field(repr=False)


class Endpoint:
    """Where the bus is: reads a transport URL and opens links. The URL's secrets stay inside."""

    def __init__(self, url: str) -> None:
        scheme = url.partition("://")[0]
        self.is_amqp = scheme in AMQP_SCHEMES
        if not self.is_amqp and scheme not in resp.SCHEMES:
            raise InvalidInput(
                f"transport_url: unknown scheme {scheme!r}; allowed: amqp, amqps, rabbit, valkey, valkeys, valkey+unix"
            )
        try:
            self._urls, self._tls = expand_amqp(url) if self.is_amqp else ([url], None)
            if not self.is_amqp:
                resp.parse_address(url)
                streams.register()
        except ValueError as error:
            raise InvalidInput(f"transport_url: {error}") from None
        # Else all processes would sit on the first node of a cluster, and fall together.
        random.shuffle(self._urls)

    def __repr__(self) -> str:
        return f"Endpoint({'RabbitMQ' if self.is_amqp else 'Valkey'})"

    def open(self, *, confirm: bool = False, heartbeat: bool = False, name: str = "trove") -> "Link":
        """Connect to the first host that answers, beginning with the last good one. Raises what the last one raised."""
        if not self.is_amqp:
            return Link(Connection(transport=streams.NAME, transport_options={"url": self._urls[0]}), amqp=False)
        for attempt in range(len(self._urls)):
            url = self._urls[0]
            connection = Connection(
                url,
                ssl=dict(self._tls) if self._tls else False,
                heartbeat=_HEARTBEAT_S if heartbeat else 0,
                connect_timeout=_CONNECT_TIMEOUT_S,
                transport_options={
                    "confirm_publish": confirm,
                    "client_properties": {"connection_name": name},
                    "write_timeout": 30.0,
                },
            )
            try:
                return Link(connection, amqp=True)
            except Exception:
                if self._urls[0] == url:
                    self._urls = [*self._urls[1:], url]
                if attempt == len(self._urls) - 1:
                    raise
        raise AssertionError("a transport URL has a host")


def expand_amqp(url: str) -> tuple[list[str], dict[str, Any] | None]:
    """Return one URL a host, and kombu's TLS options.

    Hosts are separated as kombu does (`amqp://a;amqp://b`) or as oslo.messaging does (`rabbit://u:p@a:5672,u:p@b:5672/vhost`).
    With amqps the broker's certificate is verified; ssl_ca_certs, ssl_certfile and ssl_keyfile in the query name files.
    """
    urls: list[str] = []
    tls: dict[str, Any] | None = None
    for part in url.split(";"):
        pieces = urlsplit(part)
        if pieces.scheme not in AMQP_SCHEMES:
            raise InvalidInput(f"transport_url: unknown scheme {pieces.scheme!r} among the hosts")
        options = {name: values[-1] for name, values in parse_qs(pieces.query).items()}
        secure = AMQP_SCHEMES[pieces.scheme] or options.get("ssl") in ("1", "true", "True")
        if secure and tls is None:
            files = {key[4:]: value for key, value in options.items() if key in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")}
            tls = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **files}
        urls += [urlunsplit(("pyamqp", host, pieces.path, "", "")) for host in pieces.netloc.split(",")]
    return urls, tls


def with_tls(url: str, *, ca_file: str = "", cert_file: str = "", key_file: str = "") -> str:
    """Return an AMQP transport URL that asks for TLS, with these files where it names none itself."""
    files = {"ssl_ca_certs": ca_file, "ssl_certfile": cert_file, "ssl_keyfile": key_file}
    return ";".join(_one_with_tls(part, {name: file for name, file in files.items() if file}) for part in url.split(";"))


def _one_with_tls(url: str, files: Mapping[str, str]) -> str:
    pieces = urlsplit(url)
    query = {"ssl": "1", **files, **dict(parse_qsl(pieces.query))}
    return urlunsplit(pieces._replace(query=urlencode(query, quote_via=quote, safe="/")))


class Link:
    """One connection and one channel, for one thread at a time. After an error: close it and open another."""

    def __init__(self, connection: Any, *, amqp: bool) -> None:
        self.is_amqp = amqp
        self.declared: set[str] = set()
        self._connection = connection
        self._returned = False
        self._next_heartbeat = time.monotonic() + _HEARTBEAT_EVERY_S
        self._queue = ""
        self._on_message: Callable[[Any], None] = lambda _: None
        self._tags: list[str] = []
        self._poll = select.poll()
        self._polled: tuple[int, int] | None = None
        try:
            connection.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, interval_max=0, reraise_as_library_errors=False
            )
            self._raw: Any = connection.connection
            self._open_channel()
        except BaseException:
            self.close()
            raise

    def _open_channel(self) -> None:
        self.channel: Any = self._connection.channel()
        if self.is_amqp:
            self._raw.sock.settimeout(_ANSWER_TIMEOUT_S)
            self.channel.events["basic_return"].add(self._on_return)

    def declare_topic(self, topic: str) -> None:
        """Ensure a topic's durable queue and the queue for its poison. May run twice.

        A cluster refuses to declare a classic queue whose node is down; the topic must not wait for it.
        """
        try:
            # Not a quorum queue: RabbitMQ loses those for good that it is killed within half a second of making.
            arguments: dict[str, object] = {"x-max-length": _POISON_KEPT}
            self.channel.queue_declare(topic + POISON_SUFFIX, durable=True, auto_delete=False, arguments=arguments)
        except (NotFound, PreconditionFailed) as error:
            # Of another kind, by a policy perhaps: what it holds is kept. Or out of reach: what is set aside then is lost.
            if isinstance(error, NotFound):
                LOG.warning("the queue %s is out of reach: what is set aside is not kept", topic + POISON_SUFFIX)
            self._open_channel()
        arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": topic + POISON_SUFFIX}
        self.channel.queue_declare(topic, durable=True, auto_delete=False, arguments=arguments)
        self.declared.add(topic)

    def declare_reply_exchange(self) -> None:
        """Ensure the exchange through which guests answer. May run twice."""
        self.channel.exchange_declare(REPLY_EXCHANGE, "direct", durable=True, auto_delete=False)

    def declare_reply(self, name: str) -> None:
        """Create this link's own reply queue, which vanishes with it."""
        self.declare_reply_exchange()
        self.channel.queue_declare(name, exclusive=True, auto_delete=True, arguments={"x-expires": _REPLY_EXPIRES_MS})
        self.channel.queue_bind(name, REPLY_EXCHANGE, routing_key=name)

    def delete_queue(self, name: str) -> None:
        """Delete a queue with its messages. May run twice."""
        self.channel.queue_delete(name)

    def delete_poison(self, topic: str) -> None:
        """Delete a topic's poison queue. One whose node is down stays: it is empty, or what it holds was set aside for good."""
        try:
            self.delete_queue(topic + POISON_SUFFIX)
        except NotFound:
            LOG.warning("the queue %s is out of reach and stays behind", topic + POISON_SUFFIX)
            self._open_channel()

    def answers(self, queue: str) -> bool:
        """Tell whether a quorum queue that seems to be unused lives. When it does not, this link is of no more use.

        RabbitMQ never recovers a queue if it was killed within half a second of making it: that queue is still listed, and
        everything else that is asked of it hangs. Raises `LeaderMissingError` where a cluster knows no leader of it now.
        """
        seen = self.channel.queue_declare(queue, passive=True)
        if seen.message_count or seen.consumer_count:
            return True
        try:
            self.channel.basic_get(queue)  # What it might find goes back when this link is closed.
        except TimeoutError:
            self.abort()
            return False
        except InternalError as error:
            self.abort()
            raise LeaderMissingError(queue) from error
        return True

    def prove_majority(self) -> None:
        """Make a quorum queue and delete it: that fails where too many nodes of a cluster are away."""
        name = f"trove.probe.{secrets.token_hex(8)}"
        arguments = {"x-queue-type": "quorum", "x-expires": _PROBE_EXPIRES_MS}
        self.channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        self.delete_queue(name)

    def publish(self, message: Outgoing, *, timeout_s: float) -> None:
        """Publish, and on a confirming link wait until it is stored. Raises QueueMissingError when no queue took it."""
        properties: dict[str, Any] = {"delivery_mode": 2 if message.persistent else 1}
        if message.correlation_id is not None:
            properties["correlation_id"] = message.correlation_id
        if message.expiration_ms is not None:
            properties["expiration"] = str(message.expiration_ms)
        prepared = self.channel.prepare_message(
            message.body,
            content_type="application/octet-stream",
            content_encoding="binary",
            headers={"sealed-by": message.sealed_by},
            properties=properties,
        )
        self._returned = False
        try:
            self.channel.basic_publish(
                prepared,
                exchange=message.exchange,
                routing_key=message.queue,
                mandatory=message.mandatory,
                confirm_timeout=timeout_s,
            )
        except streams.QueueMissingError as error:
            raise QueueMissingError(message.queue) from error
        if self._returned:
            raise QueueMissingError(message.queue)

    def _on_return(self, *_: object) -> None:
        self._returned = True

    def consume(self, queue: str, deliver: Callable[[Delivery], None], *, prefetch: int) -> None:
        """Begin to consume; messages come to `deliver` inside `wait`, at most `prefetch` in hand."""

        def on_message(raw: Any) -> None:
            deliver(self._delivery(raw))

        self._queue, self._on_message = queue, on_message
        self._tags = [self._begin(prefetch)]

    def set_extra_prefetch(self, extra: int) -> None:
        """Let so many messages more be in hand than `consume` said; 0 for none. Those in hand stay.

        It is a second consumer, because RabbitMQ counts what a cancelled one had in hand for no other.
        """
        for tag in self._tags[1:]:
            self.channel.basic_cancel(tag)
        self._tags = [*self._tags[:1], *([self._begin(extra)] if extra > 0 else [])]

    def _begin(self, prefetch: int) -> str:
        tag = f"trove-{secrets.token_hex(4)}"
        self.channel.basic_qos(0, prefetch, False)
        self.channel.basic_consume(self._queue, no_ack=False, consumer_tag=tag, callback=self._on_message)
        return tag

    def cancel(self) -> None:
        """Take no more messages."""
        for tag in self._tags:
            self.channel.basic_cancel(tag)
        self._tags = []

    def accept(self, delivery: Delivery) -> None:
        """Acknowledge."""
        self.channel.basic_ack(delivery.tag)

    def set_aside(self, delivery: Delivery) -> None:
        """Move the message to its topic's poison queue."""
        self.channel.basic_reject(delivery.tag, requeue=False)

    def wait(self, wake: int, timeout_s: float) -> None:
        """Deliver what comes, return at the latest after `timeout_s` or when the descriptor `wake` becomes readable."""
        self._heartbeat()
        if not self.is_amqp:
            self._raw.arm()
        sock = self._raw.sock
        if self._polled != (sock.fileno(), wake):
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)
            self._poll.register(wake, select.POLLIN)
            self._polled = (sock.fileno(), wake)
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        ready = {descriptor for descriptor, _ in self._poll.poll(0 if pending else timeout_s * 1000)}
        if pending or sock.fileno() in ready:
            try:
                self._connection.drain_events(timeout=_FRAME_TIMEOUT_S)
            except TimeoutError:
                return

    def _heartbeat(self) -> None:
        if self.is_amqp and time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + _HEARTBEAT_EVERY_S
            if self._connection.heartbeat:
                self._connection.heartbeat_check()

    def _delivery(self, raw: Any) -> Delivery:
        if self.is_amqp:  # read past kombu's message, which unpacks compressed bodies of whoever sends them
            message, headers = raw, raw.properties.get("application_headers") or {}
        else:
            message = self.channel.message_to_python(raw)
            headers = message.headers
        body, correlation_id = message.body, message.properties.get("correlation_id")
        return Delivery(
            body=body if isinstance(body, bytes) else str(body).encode(errors="replace"),
            sealed_by=str(headers.get("sealed-by", "")),
            correlation_id=correlation_id if isinstance(correlation_id, str) else None,
            earlier=_count(headers.get(DELIVERY_COUNT)),
            redelivered=bool(message.delivery_info.get("redelivered")),
            tag=message.delivery_tag,
            link=self,
        )

    def abort(self) -> None:
        """Disconnect without asking a broker that may not answer. Never raises."""
        if not self.is_amqp:
            self.close()
            return
        with suppress(Exception):
            self._connection.collect()

    def close(self) -> None:
        """Disconnect; what was in hand goes back to its queue. Never raises."""
        with suppress(Exception):
            self._connection.close()


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
