"""Backups: the server's own dump (RDB) as a replica gets it, streamed while it serves, with the users before it.

Nothing is staged on disk: the server forks, and its child writes to us. Source: "Replication" of Redis's and Valkey's manuals,
the full synchronisation without disk.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.families.redis.resp import Session, packed

_CHUNK = 256 * 1024
_WAIT_S = 120.0
"""The server sends an empty line each few seconds while its dump has not begun."""
_LONGEST_LINE = 512
_MARK_BYTES = 40
_HEADER = b"trove users "
_MAGICS = (b"REDIS", b"VALKEY")
_MOST_USERS = 64 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class RedisDump:
    """A backup that is being made. First come the users, as their file has them, then the dump."""

    server: Session
    users: Sequence[str]
    _positions: dict[str, JSON] = field(default_factory=dict)
    _whole: bool = False

    @property
    def chunks(self) -> Iterator[bytes]:
        """Return the stream."""
        text = "".join(f"{line}\n" for line in self.users).encode()
        yield _HEADER + b"%d\n" % len(text) + text
        try:
            yield from self._dump()
        except OSError as error:
            raise GuestError(f"The database server broke off its dump: {error}") from error
        self._whole = True

    def positions(self) -> Mapping[str, JSON]:
        """Return of which history the dump is, and how far it goes in that."""
        if not self._whole:
            raise GuestError("The backup did not come to its end.")
        return self._positions

    def _dump(self) -> Iterator[bytes]:
        self.server.run("REPLCONF", "capa", "eof")
        self.server.run("REPLCONF", "rdb-only", "1")
        self.server.socket.settimeout(_WAIT_S)
        self.server.socket.sendall(packed("PSYNC", "?", "-1"))
        reader = _Reader(self.server)
        answer = reader.line()
        words = answer.split()
        if len(words) != 3 or words[0] != "+FULLRESYNC":
            raise GuestError(f"The database server refuses to be backed up: {answer.lstrip('-')}")
        self._positions = {"origin": words[1], "position": int(words[2])}
        size = reader.line()
        if size.startswith("$EOF:"):
            yield from reader.until(size.removeprefix("$EOF:").encode())
        else:
            yield from reader.exactly(int(size.removeprefix("$")))


@dataclass(slots=True, kw_only=True)
class RedisBackup:
    """A backup as it is read: its users, once its dump has begun."""

    chunks: Iterator[bytes]
    users: list[str] = field(default_factory=list)

    def dump(self) -> Iterator[bytes]:
        """Yield the dump."""
        data = b""
        size = None
        for chunk in self.chunks:
            data += chunk
            if size is None and b"\n" in data:
                size = self._header(data)
                data = data.partition(b"\n")[2]
            if size is not None and len(data) >= size + max(map(len, _MAGICS)):
                self.users = data[:size].decode().splitlines()
                break
        else:
            raise GuestError("The backup is not one of this engine: it ends too early.")
        if not data[size:].startswith(_MAGICS):
            raise GuestError("The backup is not one of this engine: it holds no dump.")
        yield data[size:]
        yield from self.chunks

    def _header(self, data: bytes) -> int:
        number = data.partition(b"\n")[0].removeprefix(_HEADER)
        if not data.startswith(_HEADER) or not number.isdigit() or int(number) > _MOST_USERS:
            raise GuestError("The backup is not one of this engine: it has no users.")
        return int(number)


def only(streams: Sequence[Callable[[], Iterator[bytes]]]) -> Iterator[bytes]:
    """Return the stream of the one backup that is restored; raises `GuestError` for a chain: there are no incremental ones."""
    if len(streams) != 1:
        raise GuestError("This engine has only full backups.")
    return streams[0]()


class _Reader:
    """Reads what the server sends to a replica."""

    def __init__(self, server: Session) -> None:
        self._socket = server.socket
        self._data = bytearray()

    def line(self) -> str:
        """Return the next line that is not empty."""
        while True:
            while b"\n" not in self._data:
                if len(self._data) > _LONGEST_LINE:
                    raise GuestError("The database server sends what is no dump.")
                self._data += self._received()
            line, _, rest = bytes(self._data).partition(b"\n")
            self._data = bytearray(rest)
            if line.strip():
                return line.decode(errors="replace").strip()

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield what comes before the mark, which comes last."""
        if len(mark) != _MARK_BYTES:
            raise GuestError("The database server sends what is no dump.")
        while not self._data.endswith(mark):
            if len(self._data) > _MARK_BYTES:
                yield bytes(self._data[:-_MARK_BYTES])
                del self._data[:-_MARK_BYTES]
            self._data += self._received()
        yield bytes(self._data[:-_MARK_BYTES])

    def exactly(self, count: int) -> Iterator[bytes]:
        """Yield so many bytes."""
        while count:
            if not self._data:
                self._data += self._received()
            chunk = bytes(self._data[:count])
            del self._data[:count]
            count -= len(chunk)
            yield chunk

    def _received(self) -> bytes:
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("it closed the connection; its log says why")
        return data
