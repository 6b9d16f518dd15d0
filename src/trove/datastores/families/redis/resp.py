"""Connections to a Redis or Valkey server: one command and its reply at a time.

hiredis speaks the protocol. The usual client packages above it cost 5 to 8 MiB of memory, which the guest agent cannot spare.
Source: "Redis serialization protocol specification" of Redis's manual.
"""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trove.core.errors import GuestError, Unavailable

_RECEIVE_BYTES = 64 * 1024

Word = str | bytes | int


class ReplyError(GuestError):
    """The server answered with an error."""

    @property
    def word(self) -> str:
        """Return the first word, such as NOPERM."""
        return self.message.partition(" ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server answers, and as whom to log in. `path` is a Unix socket and excludes host and port."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    user: str | None = None
    password: str = field(default="", repr=False)


class Session:
    """A connection that is logged in. It belongs to one thread at a time. Raises `Unavailable` when the server is gone."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        import hiredis  # noqa: PLC0415

        self._reader = hiredis.Reader(replyError=ReplyError)
        try:
            self.socket = _connect(endpoint, timeout_s)
        except OSError as error:
            raise Unavailable(f"The database server does not answer: {error}") from error
        try:
            if endpoint.user is not None:
                self.run("AUTH", endpoint.user, endpoint.password)
        except BaseException:
            self.close()
            raise

    def run(self, *words: Word) -> Any:
        """Run a command and return its reply: bytes, int, None or a list. Raises `ReplyError` for an error reply."""
        try:
            self.socket.sendall(packed(*words))
            reply = self._reader.gets()
            while reply is False:
                self._reader.feed(self._received())
                reply = self._reader.gets()
        except OSError as error:
            raise Unavailable(f"The database server does not answer: {error}") from error
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def texts(self, *words: Word) -> list[str]:
        """Run a command whose reply is a list of texts."""
        return [each.decode(errors="replace") for each in self.run(*words)]

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO."""
        lines = self.run("INFO", section).decode(errors="replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def config(self, pattern: str = "*") -> dict[str, str]:
        """Return parameters with their values."""
        words = self.texts("CONFIG", "GET", pattern)
        return dict(zip(words[::2], words[1::2], strict=True))

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _received(self) -> bytes:
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("it closed the connection")
        return data


@contextlib.contextmanager
def session(endpoint: Endpoint, *, timeout_s: float = 12.0) -> Iterator[Session]:
    """Connect, and close at the end of the block. Raises `Unavailable`, `ReplyError`."""
    opened = Session(endpoint, timeout_s=timeout_s)
    try:
        yield opened
    finally:
        opened.close()


def packed(*words: Word) -> bytes:
    """Return a command as it is sent."""
    encoded = [each if isinstance(each, bytes) else str(each).encode() for each in words]
    return b"".join((b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(each), each) for each in encoded)))


def _connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    if endpoint.path is None:
        return socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(timeout_s)
        made.connect(str(endpoint.path))
    except BaseException:
        made.close()
        raise
    return made
