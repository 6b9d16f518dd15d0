"""PostgreSQL's frontend/backend protocol over a Unix socket, as much of it as the agent's own account needs.

No client library: the memory of the agent is the tenant's, and on its socket the agent needs neither passwords nor TLS.
Source: "Frontend/Backend Protocol" of PostgreSQL's manual, version 3.0: start-up, extended query, all values as text.
"""

import contextlib
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_VERSION = 196608
_CONNECT_TIMEOUT_S = 3.0
_HEADER = struct.Struct("!cI")


class ServerError(Exception):
    """What the server answered instead: its SQLSTATE and its words."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields.get("M", ""))
        self.state = fields.get("C", "")
        self.detail = fields.get("D", "")


class Connection:
    """One session. Each statement is a transaction of its own unless it begins one. OSError: the server is gone or silent."""

    def __init__(self, path: Path, *, user: str, database: str, settings: Mapping[str, str], timeout_s: float) -> None:
        self.parameters: dict[str, str] = {}
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_CONNECT_TIMEOUT_S)
            self._socket.connect(str(path))
            self._socket.settimeout(timeout_s)
            words = {"user": user, "database": database, "client_encoding": "UTF8", **settings}
            body = struct.pack("!I", _VERSION) + b"".join(_text(word) for pair in words.items() for word in pair) + b"\0"
            self._socket.sendall(struct.pack("!I", len(body) + 4) + body)
            self._answers()
        except BaseException:
            self._socket.close()
            raise

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[str | None, ...]]:
        """Run one statement with values for its `$1`, `$2` …, and return its rows as text. Raises `ServerError`."""
        bound = struct.pack("!HH", 0, len(values)) + b"".join(_value(value) for value in values)
        parse = _message(b"P", b"\0" + _text(statement) + struct.pack("!H", 0))
        bind = _message(b"B", b"\0\0" + bound + struct.pack("!H", 0))
        self._socket.sendall(parse + bind + _message(b"E", b"\0" + struct.pack("!I", 0)) + _message(b"S", b""))
        return self._answers()

    def close(self) -> None:
        """Part in good order, if that is still possible."""
        with contextlib.suppress(OSError):
            self._socket.sendall(_message(b"X", b""))
        self._socket.close()

    def _answers(self) -> list[tuple[str | None, ...]]:
        """Read until the server waits for the next statement; raise its error if there was one."""
        rows: list[tuple[str | None, ...]] = []
        error: ServerError | None = None
        while True:
            try:
                kind, body = self._message()
            except ConnectionResetError:
                if error is not None:  # one that ends the session, too
                    raise error from None
                raise
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"S":
                name, value, *_ = body.split(b"\0")
                self.parameters[name.decode()] = value.decode(errors="replace")
            elif kind == b"E":
                error = ServerError(_fields(body))
            elif kind == b"R" and body[:4] != bytes(4):
                raise ServerError({"C": "28000", "M": "the server asks the agent for a password"})
            elif kind == b"Z":
                if error is not None:
                    raise error
                return rows

    def _message(self) -> tuple[bytes, bytes]:
        kind, length = _HEADER.unpack(self._read(5))
        return kind, self._read(length - 4)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionResetError("the server closed the connection")
            self._buffer += more
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


def _message(kind: bytes, body: bytes) -> bytes:
    return _HEADER.pack(kind, len(body) + 4) + body


def _text(text: str) -> bytes:
    if "\0" in text:
        raise ServerError({"C": "22021", "M": "a text must not hold a NUL"})
    return text.encode() + b"\0"


def _value(value: object) -> bytes:
    if value is None:
        return struct.pack("!i", -1)
    content = ("true" if value is True else "false" if value is False else str(value)).encode()
    return struct.pack("!i", len(content)) + content


def _row(body: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack_from("!H", body)
    at, values = 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode(errors="replace"))
        at += max(0, length)
    return tuple(values)


def _fields(body: bytes) -> dict[str, str]:
    parts = (part.decode(errors="replace") for part in body.split(b"\0") if part)
    return {part[0]: part[1:] for part in parts}
