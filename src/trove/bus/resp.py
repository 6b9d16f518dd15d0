"""A small client of the Redis serialization protocol (RESP2): what the streams transport needs, and light.

The usual client packages cost 5 to 8 MiB of memory at import, which the guest agent cannot spare.
Protocol: https://valkey.io/topics/protocol/. A connection belongs to one thread at a time.
"""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, Union
from urllib.parse import parse_qs, unquote, urlsplit

Reply: TypeAlias = Union[int, bytes, "ServerError", list["Reply"], None]
Argument = bytes | str | int

UNIX_SCHEMES = ("valkey+unix", "redis+unix", "redis+socket", "unix")
TLS_SCHEMES = ("valkeys", "rediss")
SCHEMES = ("valkey", "redis", *UNIX_SCHEMES, *TLS_SCHEMES)

_RECEIVE_SIZE = 64 * 1024
_RECEIVE_LIMIT = 1024 * 1024


class ServerError(Exception):
    """The server answered with an error; `code` is its first word, such as NOPERM."""

    @property
    def code(self) -> str:
        """Return the first word of the server's text."""
        return str(self).partition(" ")[0]


class DisconnectedError(OSError):
    """The server closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server answers and as whom to log in. `path` is a Unix socket and excludes host and port."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)


def parse_address(url: str) -> tuple[Address, dict[str, str]]:
    """Read `valkey://user:password@host:port/0`, `valkeys://` (TLS) or `valkey+unix:///path.sock?user=…&password=…`.

    User, password and path are percent-encoded. Returns the address and the options that were left in the query.
    TLS options: ssl_ca_certs, ssl_certfile, ssl_keyfile (paths). Raises ValueError.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"not a Valkey URL: scheme {parts.scheme!r}")
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    user = options.pop("user", None) or (unquote(parts.username) if parts.username else None)
    password = options.pop("password", None) or (unquote(parts.password) if parts.password else None)
    if parts.scheme in UNIX_SCHEMES:
        if not parts.path:
            raise ValueError("a valkey+unix URL needs the path of the socket")
        return Address(path=unquote(parts.path), user=user, password=password), options
    tls = _tls_context(options) if parts.scheme in TLS_SCHEMES else None
    database = int(parts.path.strip("/") or 0)
    return (
        Address(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            database=database,
            user=user,
            password=password,
            tls=tls,
        ),
        options,
    )


def _tls_context(options: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.pop("ssl_ca_certs", None))
    certificate = options.pop("ssl_certfile", None)
    if certificate is not None:
        context.load_cert_chain(certificate, options.pop("ssl_keyfile", None))
    return context


def _encode(commands: Sequence[Sequence[Argument]]) -> bytes:
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument if isinstance(argument, bytes) else str(argument).encode()
            parts += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(parts)


class RespConnection:
    """One connection, logged in."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._buffer = bytearray()
        self._position = 0
        self._start = 0
        self.sock = _open(address, timeout_s)
        try:
            if address.password is not None:
                self.command("AUTH", address.user or "default", address.password)
            if address.database:
                self.command("SELECT", address.database)
        except BaseException:
            self.close()
            raise

    def command(self, *arguments: Argument) -> Reply:
        """Send one command and return its reply; raises ServerError, OSError."""
        self.send(arguments)
        return self.receive(self.timeout_s)

    def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send several commands at once; the replies come in their order, errors raise after all were read."""
        self.send(*commands)
        replies: list[Reply] = []
        failure: ServerError | None = None
        for _ in commands:
            try:
                replies.append(self.receive(self.timeout_s))
            except ServerError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return replies

    def send(self, *commands: Sequence[Argument]) -> None:
        """Send commands without reading their replies."""
        self.sock.settimeout(self.timeout_s)
        self.sock.sendall(_encode(commands))

    def receive(self, timeout_s: float) -> Reply:
        """Read one reply. Raises TimeoutError when it is not complete in time: call again to go on reading it."""
        self._start = self._position
        self.sock.settimeout(timeout_s)
        try:
            reply = self._parse()
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError) as error:
            self._position = self._start
            raise TimeoutError("no complete reply yet") from error
        if self._position == len(self._buffer):
            self._buffer.clear()
            self._position = 0
        if isinstance(reply, ServerError):
            raise reply
        return reply

    @property
    def buffered(self) -> bool:
        """Tell whether bytes were received that `receive` has not looked at."""
        return self._position < len(self._buffer) or bool(isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())

    def close(self) -> None:
        """Close the socket. May run twice."""
        self.sock.close()

    def _parse(self) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._exactly(size)
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else [self._parse() for _ in range(count)]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            return ServerError(rest.decode(errors="replace"))
        raise DisconnectedError("the server speaks something else than RESP2")

    def _line(self) -> bytes:
        searched = self._position
        while (end := self._buffer.find(b"\r\n", searched)) < 0:
            searched = max(self._position, len(self._buffer) - 1)
            self._fill(_RECEIVE_SIZE)
        line = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return line

    def _exactly(self, size: int) -> bytes:
        end = self._position + size
        while (missing := end + 2 - len(self._buffer)) > 0:
            self._fill(missing)
        data = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return data

    def _fill(self, missing: int) -> None:
        data = self.sock.recv(min(max(missing, _RECEIVE_SIZE), _RECEIVE_LIMIT))
        if not data:
            raise DisconnectedError("the server closed the connection")
        self._buffer += data


def _open(address: Address, timeout_s: float) -> socket.socket:
    if address.path is not None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(address.path)
        except BaseException:
            connection.close()
            raise
        return connection
    plain = socket.create_connection((address.host, address.port), timeout=timeout_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if address.tls is None:
        return plain
    try:
        return address.tls.wrap_socket(plain, server_hostname=address.host)
    except BaseException:
        plain.close()
        raise
