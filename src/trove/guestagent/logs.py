"""Logs of a guest: shown, switched, and published piece by piece into the object store with a ticket.

What was published of a log is kept beside it: so many bytes of the file that began like this. A file that begins otherwise, or
is shorter, is another one, and is published from its beginning.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

from trove.core.clock import utcnow
from trove.core.errors import GuestError, InvalidInput, NotFound
from trove.core.json import JSON
from trove.core.logs import AGENT_LOG, LogReport, LogStatus, LogType, metafile_of, prefix_of
from trove.core.tickets import Ticket
from trove.datastores.contract import Facet, Logs
from trove.guestagent import arguments
from trove.guestagent.engine import Engine

HEADER_BYTES = 512
"""So much of its beginning tells one file from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """How much of which file is in the object store. `generation` begins the names of its pieces."""

    size: int = 0
    header_bytes: int = 0
    header_digest: str = ""
    generation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """One log as it is now. `size` is None while there is no file to be read."""

    name: str
    type: LogType
    path: Path | None
    size: int | None
    enabled: bool
    published: _Published
    is_same: bool

    @property
    def pending(self) -> int:
        """Return the bytes that are still to be published."""
        return (self.size or 0) - (self.published.size if self.is_same else 0)

    def report(self) -> LogReport:
        """Return what is told of it."""
        return LogReport(
            name=self.name, type=self.type, status=self._status(), published=self.published.size, pending=self.pending
        )

    def _status(self) -> LogStatus:
        if not self.enabled:
            return LogStatus.DISABLED
        if self.size is None:
            return LogStatus.UNAVAILABLE if self.type is LogType.SYS else LogStatus.ENABLED
        if not self.is_same:
            return LogStatus.ROTATED
        if self.published.size == 0:
            return LogStatus.READY if self.size else LogStatus.ENABLED
        return LogStatus.PARTIAL if self.pending else LogStatus.PUBLISHED


class GuestLogs:
    """The logs of an engine and of its agent. Thread-safe: one thing at a time is done to them."""

    def __init__(self, engine: Engine, *, put: Callable[..., None] | None = None) -> None:
        self._engine = engine
        self._kept = engine.host.private_dir / "logs.published.json"
        self._put = put
        self._turn = threading.Lock()

    def methods(self) -> Mapping[str, Callable[[Mapping[str, JSON]], JSON]]:
        """Return what may be called."""
        return {"guest_log_list": self.list, "guest_log_action": self.act}

    def list(self, _args: Mapping[str, JSON]) -> JSON:
        """Return what there is to tell of each log."""
        with self._turn:
            return [self._look(name).report().to_json() for name in self._types()]

    def act(self, args: Mapping[str, JSON]) -> JSON:
        """Switch, forget or publish a log, and return what there is to tell of it then.

        `enable` and `disable` as they are called; `discard` forgets what was published; `publish` is the ticket, with the
        `home` of the log's objects, the bytes of a piece, the seconds after which no other piece is begun, and, where the
        ticket is for names that are told, those of the pieces.
        """
        name = arguments.text(args, "log_name")
        if name not in self._types():
            raise NotFound(f"Log {name} was not found; there are {', '.join(self._types())}.")
        with self._turn:
            if args.get("disable") is True:
                self._switch(name, enabled=False)
            if args.get("discard") is True:
                self._keep(name, _Published())
            if args.get("enable") is True or (args.get("publish") is not None and not self._look(name).enabled):
                self._switch(name, enabled=True)
            if args.get("publish") is not None:
                self._publish(name, arguments.mapping(args, "publish"))
            return self._look(name).report().to_json()

    def _types(self) -> Mapping[str, LogType]:
        spec = self._engine.spec
        return {**(spec.logs if Facet.LOGS in spec.facets else {}), AGENT_LOG: LogType.SYS}

    def _look(self, name: str) -> _Log:
        kind, published = self._types()[name], self._published().get(name, _Published())
        path = _own_log() if name == AGENT_LOG else self._door.log_file(name)
        size, is_same = None, published.size == 0
        try:
            if path is not None:
                with path.open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    digest = sha256(file.read(published.header_bytes)).hexdigest()
                    is_same = published.size == 0 or (size >= published.size and digest == published.header_digest)
        except OSError:
            size = None
        enabled = kind is LogType.SYS or self._door.log_enabled(name)
        return _Log(name=name, type=kind, path=path, size=size, enabled=enabled, published=published, is_same=is_same)

    def _switch(self, name: str, *, enabled: bool) -> None:
        if self._types()[name] is LogType.SYS:
            raise InvalidInput(f"Log {name} is always written: it can be neither enabled nor disabled.")
        self._door.enable_log(name, enabled=enabled)

    def _publish(self, name: str, order: Mapping[str, JSON]) -> None:
        ticket = Ticket.from_json(arguments.mapping(order, "ticket"))
        home, limit, budget_s = arguments.text(order, "home"), order.get("limit"), order.get("budget_s")
        names = iter(arguments.texts(order, "names")) if order.get("names") is not None else None
        if not isinstance(limit, int) or limit < 1 or not isinstance(budget_s, int | float):
            raise GuestError("The order to publish a log is not understood.")
        log = self._look(name)
        if log.size is None or log.path is None:
            if log.type is LogType.SYS:
                raise GuestError(f"Log {name} cannot be read.")
            return
        until = time.monotonic() + budget_s
        done = log.published
        if not (log.is_same and done.generation):
            done = _Published(generation=utcnow().isoformat())
            self._keep(name, done)
        for piece in _pieces(log.path, done.size, log.size, limit):
            lines = str(len(piece.splitlines()))
            # Named after its place: sent again after a crash, it replaces itself.
            own = next(names, None) if names is not None else f"{prefix_of(home)}log-{done.generation}-{done.size:012d}"
            if own is None:
                break
            self._send(ticket, own, piece, {"lines": lines})
            done = _grown(log.path, done, len(piece))
            self._keep(name, done)
            if time.monotonic() > until:
                break
        if done.size:
            about = {
                "log_name": name,
                "log_type": log.type.value,
                "log_file": log.path.name,
                "log_size": done.size,
                "log_header_digest": done.header_digest,
            }
            self._send(ticket, metafile_of(home), json.dumps(about).encode(), {})

    def _send(self, ticket: Ticket, name: str, content: bytes, metadata: Mapping[str, str]) -> None:
        if self._put is None:
            from trove.guestagent import objects  # noqa: PLC0415  few agents ever need it

            self._put = objects.put
        self._put(ticket, name, content, metadata=metadata, attempts=2)

    def _keep(self, name: str, published: _Published) -> None:
        content = {each: asdict(value) for each, value in {**self._published(), name: published}.items()}
        self._engine.host.write_file(self._kept, json.dumps(content).encode())

    def _published(self) -> dict[str, _Published]:
        content = self._engine.host.read_file(self._kept)
        try:
            return {name: _Published(**value) for name, value in json.loads(content or b"{}").items()}
        except (ValueError, TypeError):
            return {}

    @property
    def _door(self) -> Logs:
        return cast("Logs", self._engine.driver)


def _pieces(path: Path, begin: int, end: int, limit: int) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces of at most `limit`, which end with a line where that is possible."""
    with path.open("rb") as file:
        while begin < end:
            file.seek(begin)
            piece = file.read(min(limit, end - begin))
            if not piece:
                return
            if begin + len(piece) < end and (cut := piece.rfind(b"\n")) >= 0:
                piece = piece[: cut + 1]
            begin += len(piece)
            yield piece


def _grown(path: Path, done: _Published, more: int) -> _Published:
    size = done.size + more
    header_bytes = min(HEADER_BYTES, size)
    with path.open("rb") as file:
        digest = sha256(file.read(header_bytes)).hexdigest()
    return _Published(size=size, header_bytes=header_bytes, header_digest=digest, generation=done.generation)


def _own_log() -> Path | None:
    """Return the file that this process logs to, None when it is none: a file of its own, or what its standard error is."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            return Path(handler.baseFilename)
    path = Path("/proc/self/fd/2")
    return path.resolve() if path.is_file() else None
