"""Cuts a stream into segments and puts them into the object store, one on its way while the next one is filled; and back."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from queue import SimpleQueue

from trove.core.errors import Conflict, GuestError, InvalidInput
from trove.core.manifests import Segment, segment_name
from trove.core.tickets import Ticket
from trove.guestagent import liveness, objects

ASK_EVERY_S = 1.0


class _Deed:
    """Something that is done on a thread of its own. What it raised is raised when its end is awaited."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait for its end, as long as that is wanted."""
        while self._thread.is_alive():
            self._thread.join(ASK_EVERY_S)
            liveness.need()
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        """Wait for its end, however it ends."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._do()
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
    _number: int = 0
    _stopped: bool = False

    def send(self, chunks: Iterable[bytes]) -> None:
        """Put everything; an empty stream is one empty segment. Nothing is on its way any more once this ends, in any way."""
        filling, flying = bytearray(self.size), bytearray(self.size)
        filled, deed = 0, None
        try:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    piece = rest[: self.size - filled]
                    filling[filled : filled + len(piece)] = piece
                    filled, rest = filled + len(piece), rest[len(piece) :]
                    if filled == self.size:
                        self._await(deed)
                        deed = self._put(filling, filled)
                        filling, flying, filled = flying, filling, 0
            self._await(deed)
            deed = self._put(filling, filled) if filled or not self.segments else None
            self._await(deed)
            deed = None
        finally:
            self._stopped = True
            if deed is not None:
                deed.join()

    def _await(self, deed: "_Deed | None") -> None:
        if deed is not None:
            deed.end()
            self.tell()

    def _put(self, buffer: bytearray, size: int) -> _Deed:
        content = memoryview(buffer)[:size]
        return _Deed(lambda: self._store(content))

    def _store(self, content: memoryview) -> None:
        digest = sha256(content).hexdigest()
        while True:
            name = segment_name(self.backup_id, self._number)
            self._number += 1
            try:
                objects.put(self.ticket, name, content, alive=self._need_going_on)
            except Conflict:
                continue  # An earlier attempt left it; it goes with the rest when the backup is deleted.
            except InvalidInput as error:
                raise GuestError(
                    "The backup has more segments than the object store gives names for: raise backup_segment_max_size."
                ) from error
            self.segments.append(Segment(name=name, size=len(content), digest=digest))
            return

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
