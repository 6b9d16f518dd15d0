"""Cuts a stream into segments and puts them into the object store, some on their way while the next one is filled; and back."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from queue import SimpleQueue

from trove.core.errors import Conflict, GuestError, InvalidInput
from trove.core.manifests import Segment, segment_name
from trove.core.tickets import Ticket
from trove.guestagent import liveness, objects

ASK_EVERY_S = 1.0

IN_FLIGHT = 2
"""Segments on their way at once: while the store brings one to its disk, it gets the next."""


class _Flight:
    """A segment that is put on a thread of its own. What was raised there is raised when its end is awaited."""

    def __init__(self, buffer: bytearray, put: Callable[[], Segment]) -> None:
        self.buffer = buffer
        self._put = put
        self._segment: Segment | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> Segment:
        """Wait for its end, as long as that is wanted; return what was put."""
        while self._thread.is_alive():
            self._thread.join(ASK_EVERY_S)
            liveness.need()
        if self._error is not None:
            raise self._error
        assert self._segment is not None
        return self._segment

    def join(self) -> None:
        """Wait for its end, however it ends."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._segment = self._put()
        except BaseException as error:
            self._error = error


@dataclass(slots=True, kw_only=True)
class Sender:
    """Cuts a stream into segments of `size` bytes and puts them. `tell` is called after each; it raises when it is to stop."""

    ticket: Ticket
    backup_id: str
    size: int
    tell: Callable[[], None]
    segments: list[Segment] = field(default_factory=list)
    _flying: deque[_Flight] = field(default_factory=deque)
    _numbers: Iterator[int] = field(default_factory=count)
    _stopped: bool = False

    def send(self, chunks: Iterable[bytes]) -> None:
        """Put everything; an empty stream is one empty segment. Nothing is on its way any more once this ends, in any way."""
        filling, filled = bytearray(self.size), 0
        try:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    piece = rest[: self.size - filled]
                    filling[filled : filled + len(piece)] = piece
                    filled, rest = filled + len(piece), rest[len(piece) :]
                    if filled == self.size:
                        landed = self._land(IN_FLIGHT - 1)
                        self._start(filling, filled)
                        filling, filled = landed.pop() if landed else bytearray(self.size), 0
            if filled or not (self.segments or self._flying):
                self._start(filling, filled)
            self._land(0)
        finally:
            self._stopped = True
            for each in self._flying:
                each.join()

    def _start(self, buffer: bytearray, size: int) -> None:
        self._flying.append(_Flight(buffer, lambda: self._store(memoryview(buffer)[:size])))

    def _land(self, most: int) -> list[bytearray]:
        """Wait until at most so many are on their way, the first first; return the buffers of those that have come."""
        landed = []
        while len(self._flying) > most:
            self.segments.append(self._flying[0].end())
            landed.append(self._flying.popleft().buffer)
            self.tell()
        return landed

    def _store(self, content: memoryview) -> Segment:
        digest = sha256(content).hexdigest()
        for number in self._numbers:
            name = segment_name(self.backup_id, number)
            try:
                objects.put(self.ticket, name, content, alive=self._need_going_on)
            except Conflict:
                continue  # An earlier attempt left it; it goes with the rest when the backup is deleted.
            except InvalidInput as error:
                raise GuestError(
                    "The backup has more segments than the object store gives names for: raise backup_segment_max_size."
                ) from error
            return Segment(name=name, size=len(content), digest=digest)
        raise AssertionError  # the numbers have no end

    def _need_going_on(self) -> None:
        if self._stopped:
            raise GuestError("The backup was given up.")


@contextmanager
def ahead(gets: Iterable[Callable[[], bytes]]) -> Iterator[Iterator[bytes]]:
    """Yield what each of `gets` returns, in order; the next one is got while the last is used."""
    wanted, got = threading.Semaphore(1), SimpleQueue[tuple[bytes | None, BaseException | None]]()
    stopped = threading.Event()

    def fetch() -> None:
        try:
            for get in gets:
                wanted.acquire()
                if stopped.is_set():
                    return
                got.put((get(), None))
            got.put((None, None))
        except BaseException as error:
            got.put((None, error))

    def contents() -> Iterator[bytes]:
        while True:
            content, error = got.get()
            if error is not None:
                raise error
            if content is None:
                return
            wanted.release()
            yield content

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        yield contents()
    finally:
        stopped.set()
        wanted.release()
        thread.join()
