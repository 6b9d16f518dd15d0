"""A kombu transport over Valkey (or Redis) streams: one stream a queue, one consumer group, nothing popped unhandled.

Decision record 0002 says why. The routing key names the stream; there are no exchanges or bindings, so declaring does nothing.
A message in hand stays in the group's pending list until it is acknowledged. Live consumers keep theirs fresh; what was not
refreshed for `claim_idle` seconds (its consumer died) is claimed by the others, and the server counts the deliveries.
Use one channel a thread; a channel consumes one queue.
"""

import itertools
import json
import os
import secrets
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from kombu.exceptions import ChannelError, OperationalError
from kombu.message import Message
from kombu.transport import TRANSPORT_ALIASES, base

from trove.bus import inbox
from trove.bus.resp import Address, Reply, RespConnection, ServerError, parse_address

GROUP = "trove"
NAME = "valkey"
DELIVERY_COUNT = "x-delivery-count"

_BLOCK_MS = 1000
_PREFETCH = 500
_POISON_KEPT = 1000
_CLAIM_IDLE_S = 5.0
_TIMEOUT_S = 10.0
_FORGET_CONSUMER_MS = 3_600_000
_RETURNED_IDLE_MS = 3_600_000

Fields = Mapping[bytes, bytes]
Callback = Callable[[Fields], None]


def register() -> None:
    """Make `kombu.Connection(transport="valkey", transport_options={"url": …})` find this transport. May run twice."""
    TRANSPORT_ALIASES[NAME] = f"{__name__}:Transport"


class QueueMissingError(ChannelError):  # type: ignore[misc]
    """The queue does not exist for this user: neither it, its consumer group, or the right to it."""


class StreamMessage(Message):
    """A received message; `delivery_count` in the headers counts earlier deliveries, as RabbitMQ's quorum queues do."""


class Channel(base.StdChannel):
    """Publishes by XADD, consumes by XREADGROUP, settles by XDEL and XACK."""

    Message = StreamMessage
    no_ack_consumers: None = None

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._expiring: dict[str, int] = {}
        self._exclusive: list[str] = []
        self._prefetch = 0
        self._queue: str | None = None
        self._callback: Callback | None = None
        self._consumers: dict[str, int] = {}
        self._reader: RespConnection | None = None
        self._reading = False
        self._tags = itertools.count(1)
        self._in_hand: dict[int, tuple[bytes, Fields, int]] = {}
        self._settled: list[bytes] = []
        self._claim_cursor: bytes = b"0-0"
        self._next_care = 0.0

    # -- declaring ------------------------------------------------------------------------------------------------------------

    def queue_declare(
        self,
        queue: str = "",
        *,
        passive: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **_: object,
    ) -> None:
        """Create the stream and its group. Passive: do nothing, use will tell.

        An exclusive one ends with this channel; `x-expires` (ms) lets one vanish whose channel died.
        """
        if passive:
            return
        try:
            self._command("XGROUP", "CREATE", queue, GROUP, "0", "MKSTREAM")
        except ServerError as error:
            if error.code != "BUSYGROUP":
                raise _translated(error) from error
            self._forget_idle_consumers(queue)
        if exclusive:
            self._exclusive.append(queue)
        expires = (arguments or {}).get("x-expires")
        if expires is not None:
            self._expiring[queue] = int(expires)
            self._command("PEXPIRE", queue, int(expires))

    def _forget_idle_consumers(self, queue: str) -> None:
        for consumer in cast("list[list[Any]]", self._command("XINFO", "CONSUMERS", queue, GROUP)):
            about = dict(zip(consumer[::2], consumer[1::2], strict=True))
            if about[b"pending"] == 0 and about[b"idle"] > _FORGET_CONSUMER_MS:
                self._command("XGROUP", "DELCONSUMER", queue, GROUP, about[b"name"])

    def exchange_declare(self, *_: object, **__: object) -> None:
        """Do nothing: there are no exchanges."""

    def queue_bind(self, *_: object, **__: object) -> None:
        """Do nothing: the routing key names the queue."""

    def queue_delete(self, queue: str, **_: object) -> None:
        """Delete the stream with all its messages. May run twice."""
        self._command("DEL", queue, *inbox.keys(queue))

    def queue_purge(self, queue: str, **_: object) -> int:
        """Drop the messages that wait; returns how many."""
        return cast("int", self._command("XTRIM", queue, "MAXLEN", 0))

    # -- publishing -----------------------------------------------------------------------------------------------------------

    def prepare_message(
        self,
        body: bytes | str,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> dict[bytes, bytes]:
        """Return the fields of a stream entry: the body as it is, the rest as JSON."""
        about = {
            "headers": dict(headers or {}),
            "properties": dict(properties or {}),
        }
        return {
            b"about": json.dumps(about, separators=(",", ":")).encode(),
            b"body": body if isinstance(body, bytes) else body.encode(),
        }

    def basic_publish(
        self, message: Fields, exchange: str = "", routing_key: str = "", *, mandatory: bool = False, **_: object
    ) -> None:
        """Append to the stream named by the routing key; without it, drop, or raise QueueMissingError if mandatory."""
        command = ("XADD", routing_key, "NOMKSTREAM", "*", *_flat(message))
        try:
            stored = self._command(*(inbox.put(routing_key, message) if inbox.has_inbox(routing_key) else command))
        except ServerError as error:
            raise _translated(error) from error
        if stored is None and mandatory:
            raise QueueMissingError(f"no queue {routing_key!r}")

    # -- consuming ------------------------------------------------------------------------------------------------------------

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, a_global: bool = False) -> None:
        """Bound what the next consumer adds to the messages in hand; 0 is 500."""
        self._prefetch = prefetch_count

    def basic_consume(
        self, queue: str, no_ack: bool = False, consumer_tag: str = "", callback: Callback | None = None, **_: object
    ) -> str:
        """Begin to consume `queue`: messages come by `drain_events`. Several consumers add up their prefetch."""
        if self._queue not in (None, queue):
            raise ChannelError("one queue a channel")
        self._queue, self._callback = queue, callback
        self._consumers[consumer_tag] = self._prefetch or _PREFETCH
        self._next_care = 0.0
        return consumer_tag

    def basic_cancel(self, consumer_tag: str, **_: object) -> None:
        """Take no more messages; what a read under way brings stays pending until the channel closes."""
        self._consumers.pop(consumer_tag, None)

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Settle a message as handled. Sent with the next `arm`, many at once."""
        entry, _, _ = self._in_hand.pop(delivery_tag)
        self._settled.append(entry)

    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Return a message to the queue, uncounted; or set it aside on `<queue>.poison`, where the last 1000 are kept."""
        entry, fields, earlier = self._in_hand.pop(delivery_tag)
        if requeue:
            self._give_back([(entry, earlier)])
            return
        self._command("XADD", f"{self._queue}.poison", "NOMKSTREAM", "MAXLEN", "~", _POISON_KEPT, "*", *_flat(fields))
        self._settled.append(entry)

    def message_to_python(self, raw_message: Fields) -> StreamMessage:
        """Return the received entry as a kombu message."""
        about = _about(raw_message[b"about"])
        message: Callable[..., StreamMessage] = StreamMessage
        return message(
            body=raw_message[b"body"],
            delivery_tag=int(raw_message[b"tag"]),
            delivery_info={"redelivered": raw_message[b"earlier"] != b"0", "routing_key": self._queue},
            properties=about["properties"],
            headers={**about["headers"], DELIVERY_COUNT: int(raw_message[b"earlier"])},
            channel=self,
        )

    def arm(self) -> None:
        """Send what was settled and, when there is room, ask for more, so that the socket becomes readable when it comes."""
        self._settle()
        if self._queue is None:
            return
        now = time.monotonic()
        if now >= self._next_care:
            self._next_care = now + self.connection.claim_idle_s / 4
            self._care()
        if not self._reading and self._room > 0:
            block_ms = max(10, min(_BLOCK_MS, int(self.connection.claim_idle_s * 250)))
            if inbox.has_inbox(self._queue):
                self._open_reader().send(inbox.await_one(self._queue, block_ms))
            else:
                self._open_reader().send(self._read_group("BLOCK", block_ms))
            self._reading = True

    @property
    def _room(self) -> int:
        return sum(self._consumers.values()) - len(self._in_hand)

    def _read_group(self, *options: str | int) -> tuple[str | int, ...]:
        assert self._queue is not None
        return ("XREADGROUP", "GROUP", GROUP, self.name, "COUNT", self._room, *options, "STREAMS", self._queue, ">")

    def drain(self, timeout_s: float) -> None:
        """Hand received messages to the callback. Raises TimeoutError when none came in time."""
        self.arm()
        if not self._reading:
            raise TimeoutError("as many messages in hand as allowed")
        try:
            reply = self._open_reader().receive(timeout_s)
        except ServerError as error:
            self._reading = False
            raise _translated(error) from error
        self._reading = False
        if self._queue is not None and inbox.has_inbox(self._queue):
            reply = self._read_inbox()
        if reply:
            [[_, entries]] = cast("list[list[list[list[Any]]]]", reply)
            for entry, pairs in entries:
                self._deliver(cast("bytes", entry), pairs, earlier=0)

    def _read_inbox(self) -> Reply:
        assert self._queue is not None
        if self._room <= 0:
            return None
        try:
            return self.connection.pipeline([inbox.move(self._queue, self._room), self._read_group()])[1]
        except ServerError as error:
            raise _translated(error) from error

    @property
    def sock(self) -> socket.socket:
        """Return the socket on which messages come."""
        return self._open_reader().sock

    def close(self) -> None:
        """Settle what is settled, return the rest to the queue, and disconnect. May run twice."""
        self._consumers.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._queue is not None and self.connection.connected:
            try:
                self._settle()
                if self._queue in self._exclusive:
                    self._command("DEL", self._queue)
                else:
                    self._give_back([(entry, count - 1) for entry, _, _, count in self._pending(self.name)])
            except (OSError, ServerError):
                self.connection.broken = True
        self._queue = None
        self.connection.forget(self)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _command(self, *arguments: bytes | str | int) -> Reply:
        return self.connection.command(*arguments)

    def _open_reader(self) -> RespConnection:
        if self._reader is None:
            self._reader = self.connection.another()
        return self._reader

    def _deliver(self, entry: bytes, pairs: Sequence[bytes] | None, *, earlier: int) -> None:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True)) if pairs else {}
        if b"packed" in fields:
            fields = inbox.unpack(fields[b"packed"])
        if b"about" not in fields or b"body" not in fields:
            self._settled.append(entry)
            return
        tag = next(self._tags)
        self._in_hand[tag] = (entry, fields, earlier)
        assert self._callback is not None
        self._callback({**fields, b"tag": b"%d" % tag, b"earlier": b"%d" % earlier})

    def _settle(self) -> None:
        if not self._settled:
            return
        assert self._queue is not None
        done, self._settled = self._settled, []
        # Deleted first: an entry that is deleted but still pending heals when it is claimed; the reverse would stay for ever.
        self.connection.pipeline([("XDEL", self._queue, *done), ("XACK", self._queue, GROUP, *done)])

    def _care(self) -> None:
        assert self._queue is not None
        if self._expiring.get(self._queue):
            self._command("PEXPIRE", self._queue, self._expiring[self._queue])
        try:
            entries = [entry for entry, _, _ in self._in_hand.values()]
            if entries:
                self._command("XCLAIM", self._queue, GROUP, self.name, 0, *entries, "JUSTID")
            if self._consumers:
                self._claim_of_the_dead()
        except ServerError as error:
            raise _translated(error) from error

    def _claim_of_the_dead(self) -> None:
        room = self._room
        if room <= 0:
            return
        assert self._queue is not None
        idle_ms = int(self.connection.claim_idle_s * 1000)
        claimed = cast(
            "list[Any]",
            self._command("XAUTOCLAIM", self._queue, GROUP, self.name, idle_ms, self._claim_cursor, "COUNT", room),
        )
        self._claim_cursor = claimed[0]
        entries = [item for item in claimed[1] if item is not None]
        if not entries:
            return
        mine = {entry for entry, _, _ in self._in_hand.values()}
        counts = {entry: count for entry, _, _, count in self._pending(self.name)}
        for entry, pairs in entries:
            if entry not in mine:
                self._deliver(entry, pairs, earlier=counts.get(entry, 2) - 1)

    def _pending(self, consumer: str) -> list[tuple[bytes, bytes, int, int]]:
        assert self._queue is not None
        reply = self._command("XPENDING", self._queue, GROUP, "-", "+", 10_000, consumer)
        return [tuple(item) for item in cast("list[Any]", reply)]

    def _give_back(self, entries: Sequence[tuple[bytes, int]]) -> None:
        assert self._queue is not None
        commands = [
            (
                "XCLAIM",
                self._queue,
                GROUP,
                self.name,
                0,
                entry,
                "IDLE",
                _RETURNED_IDLE_MS,
                "RETRYCOUNT",
                max(count, 0),
                "JUSTID",
            )
            for entry, count in entries
        ]
        if commands:
            self.connection.pipeline(commands)


class Connection:
    """A logged-in connection for commands, and its channels."""

    def __init__(self, url: str) -> None:
        self._address, options = parse_address(url)
        self.claim_idle_s = float(options.pop("claim_idle", _CLAIM_IDLE_S))
        if options:
            raise ValueError(f"unknown options in the Valkey URL: {sorted(options)}")
        self._commands = self.another()
        self._channels: list[Channel] = []
        self.broken = False

    def another(self) -> RespConnection:
        """Open one more connection to the same server."""
        return open_server(self._address)

    def command(self, *arguments: bytes | str | int) -> Reply:
        """Run one command. A broken connection stays broken."""
        reply: Reply = self._guarded(lambda: self._commands.command(*arguments))
        return reply

    def pipeline(self, commands: Sequence[Sequence[bytes | str | int]]) -> list[Reply]:
        """Run several commands in one round trip."""
        replies: list[Reply] = self._guarded(lambda: self._commands.pipeline(commands))
        return replies

    def _guarded(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except OSError:
            self.broken = True
            raise

    def channel(self) -> Channel:
        """Open a channel."""
        channel = Channel(self)
        self._channels.append(channel)
        return channel

    def forget(self, channel: Channel) -> None:
        """Drop a closed channel."""
        if channel in self._channels:
            self._channels.remove(channel)

    @property
    def connected(self) -> bool:
        """Tell whether the connection worked so far."""
        return not self.broken

    @property
    def sock(self) -> socket.socket:
        """Return the socket on which the consuming channel's messages come."""
        return self._channels[0].sock

    def arm(self) -> None:
        """Prepare the consuming channel for waiting on `sock`."""
        self._channels[0].arm()

    def drain_events(self, timeout: float | None = None) -> None:
        """Deliver what came for the first channel; raises TimeoutError."""
        if timeout is not None and timeout <= 0:
            self.arm()
            if not select.select([self.sock], [], [], 0)[0]:
                raise TimeoutError("nothing came")
        self._channels[0].drain(timeout or _TIMEOUT_S)

    def close(self) -> None:
        """Close channels and sockets. May run twice."""
        for channel in list(self._channels):
            channel.close()
        self.broken = True
        self._commands.close()


class Transport(base.Transport):
    """What kombu needs to know of it."""

    driver_type = "valkey"
    driver_name = "trove-streams"
    connection_errors: Any = (OSError, OperationalError)
    channel_errors: Any = (ChannelError, ServerError)
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = channel_errors
    default_connection_params: dict[str, str] = {}  # noqa: RUF012 - a property in kombu

    def establish_connection(self) -> Connection:
        """Connect and log in."""
        client: Any = self.client
        return Connection(client.transport_options["url"])

    def close_connection(self, connection: Connection) -> None:
        """Disconnect."""
        connection.close()

    def create_channel(self, connection: Connection) -> Channel:
        """Open a channel."""
        return connection.channel()

    def close_channel(self, channel: Channel) -> None:
        """Close a channel."""
        channel.close()

    def drain_events(self, connection: Connection, timeout: float | None = None, **_: object) -> None:
        """Deliver what came."""
        connection.drain_events(timeout)

    def verify_connection(self, connection: Connection) -> bool:
        """Tell whether the connection worked so far."""
        return connection.connected

    def driver_version(self) -> str:
        """Return the version of the wire format."""
        return "1"


def open_server(address: Address) -> RespConnection:
    """Connect to the server; its refusal to log in becomes kombu's OperationalError, without the password."""
    try:
        return RespConnection(address, timeout_s=_TIMEOUT_S)
    except ServerError as error:
        raise OperationalError(f"Valkey refused the connection: {error.code}") from None


def _about(text: bytes) -> dict[str, dict[str, Any]]:
    """Read what a sender wrote about its message; of what is malformed nothing remains, and the seal will not open."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = {}
    parts = {name: about.get(name) if isinstance(about, dict) else None for name in ("headers", "properties")}
    kept = {name: dict(part) if isinstance(part, dict) else {} for name, part in parts.items()}
    kept["headers"].pop("compression", None)  # kombu would unpack it before anybody knows who sent it
    return kept


def _flat(fields: Fields) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


def _translated(error: ServerError) -> Exception:
    kinds: Mapping[str, type[Exception]] = {
        "NOGROUP": QueueMissingError,
        "NOPERM": QueueMissingError,
        "UNBLOCKED": QueueMissingError,
        "LOADING": OperationalError,
        "READONLY": OperationalError,
        "MASTERDOWN": OperationalError,
    }
    kind: type[Exception] = kinds.get(error.code, ChannelError)
    return kind(str(error))
