"""Connections to a Valkey or Redis server: what the streams transport needs, and light.

hiredis speaks the protocol. The usual client packages above it cost 5 to 8 MiB of memory at import, which the guest agent
cannot spare. A connection belongs to one thread at a time.
"""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, Union, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

Reply: TypeAlias = Union[int, bytes, "ServerError", list["Reply"], None]
Argument = bytes | str | int

UNIX_SCHEMES = ("valkey+unix", "redis+unix", "redis+socket", "unix")
TLS_SCHEMES = ("valkeys", "rediss")
SCHEMES = ("valkey", "redis", *UNIX_SCHEMES, *TLS_SCHEMES)

_RECEIVE_SIZE = 256 * 1024
_INCOMPLETE = object()


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


class RespConnection:
    """One connection, logged in."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._reader = hiredis.Reader(protocolError=DisconnectedError, replyError=ServerError, notEnoughData=_INCOMPLETE)
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
        packed: list[bytes] = [hiredis.pack_command(cast("tuple[bytes]", tuple(command))) for command in commands]
        self.sock.sendall(b"".join(packed))

    def receive(self, timeout_s: float) -> Reply:
        """Read one reply. Raises TimeoutError when it is not complete in time: call again to go on reading it."""
        self.sock.settimeout(timeout_s)
        while (reply := self._reader.gets()) is _INCOMPLETE:
            try:
                data = self.sock.recv(_RECEIVE_SIZE)
            except (TimeoutError, BlockingIOError, ssl.SSLWantReadError) as error:
                raise TimeoutError("no complete reply yet") from error
            if not data:
                raise DisconnectedError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(reply, ServerError):
            raise reply
        return cast("Reply", reply)

    @property
    def buffered(self) -> bool:
        """Tell whether bytes were received that `receive` has not looked at."""
        return bool(self._reader.has_data()) or bool(isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())

    def close(self) -> None:
        """Close the socket. May run twice."""
        self.sock.close()


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
