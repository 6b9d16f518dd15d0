"""Backups and restores on the guest: the engine's stream, through zstd, in segments, each with its digest; the manifest last.

Nothing is staged on disk: one segment at a time is in memory, so that it can be sent again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import cast

from trove.core.errors import GuestError, NotFound, Refused, Unavailable, Unsupported
from trove.core.json import JSON
from trove.core.manifests import MAX_BYTES, Manifest, Parent, Segment, manifest_name, segment_name
from trove.core.tickets import Ticket
from trove.datastores.contract import Backups, Command, Facet, Host
from trove.guestagent import arguments, objects
from trove.guestagent.engine import Engine
from trove.guestagent.host import TEMPLATE_COPY
from trove.guestagent.jobs import Progress

ZSTD = "zstd"
LONGEST_S = 7 * 24 * 3600.0
"""The control plane's deadline comes first; this is for a program that hangs in an agent that nobody asks any more."""
LEAST_SEGMENT = 64 * 1024


@dataclass(slots=True)
class _Counted:
    """Counts the bytes that pass."""

    chunks: Iterable[bytes]
    total: int = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.total += len(chunk)
            yield chunk


@dataclass(slots=True, kw_only=True)
class _Sender:
    """Cuts a stream into segments and puts them."""

    ticket: Ticket
    backup_id: str
    size: int
    sent: Callable[[], None]
    segments: list[Segment] = field(default_factory=list)

    def send(self, chunks: Iterable[bytes]) -> None:
        """Put everything; `sent` is called after each segment."""
        buffer = bytearray()
        for chunk in chunks:
            buffer += chunk
            while len(buffer) >= self.size:
                self._put(bytes(buffer[: self.size]))
                del buffer[: self.size]
        if buffer or not self.segments:
            self._put(bytes(buffer))

    def _put(self, content: bytes) -> None:
        name = segment_name(self.backup_id, len(self.segments))
        objects.put(self.ticket, name, content)
        self.segments.append(Segment(name=name, size=len(content), digest=sha256(content).hexdigest()))
        self.sent()


def back_up(engine: Engine, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
    """Do the job `backup`. Runs again from the beginning after a crash: the segments are written over."""
    ticket = Ticket.from_json(arguments.mapping(args, "ticket"))
    backup_id, parent = arguments.text(args, "backup_id"), args.get("parent")
    size = args.get("segment_bytes")
    if not isinstance(size, int) or size < LEAST_SEGMENT:
        raise GuestError(f"segment_bytes must be at least {LEAST_SEGMENT}.")
    built_on = arguments.mapping(args, "parent") if parent is not None else None
    door, expected = _door(engine), max(1, engine.host.usage().used)
    progress("reading the data", 1)
    with door.dump(since=None if built_on is None else arguments.mapping(built_on, "positions")) as dump:
        raw = _Counted(dump.chunks)
        sender = _Sender(
            ticket=ticket,
            backup_id=backup_id,
            size=size,
            sent=lambda: progress("storing the backup", min(95, 1 + 94 * raw.total // expected)),
        )
        with engine.host.stream(_zstd(engine.host, "--fast=1", "-q", "-c"), raw) as packed:
            sender.send(packed)
        positions = dump.positions()
    progress("storing the manifest", 97)
    content = Manifest(
        backup_id=backup_id,
        project_id=arguments.text(args, "project_id"),
        instance_id=engine.host.instance_id,
        manager=engine.spec.manager,
        datastore=arguments.text(args, "datastore"),
        datastore_version=arguments.text(args, "datastore_version"),
        encoding=f"{door.encoding}+zstd",
        data_bytes=raw.total,
        stored_bytes=sum(segment.size for segment in sender.segments),
        segments=tuple(sender.segments),
        parent=None
        if built_on is None
        else Parent(**{name: arguments.text(built_on, name) for name in ("container", "name", "digest")}),
        positions=positions,
    ).to_bytes()
    objects.put(ticket, manifest_name(backup_id), content)
    return {
        "data_bytes": raw.total,
        "stored_bytes": sum(segment.size for segment in sender.segments),
        "checksum": sha256(content).hexdigest(),
    }


def restore(engine: Engine, wanted: Mapping[str, JSON], progress: Progress) -> None:
    """Make the data directory from a backup and those that it builds on. Each segment is checked before it is used.

    Nothing but a whole, checked chain ever becomes the data directory. May run twice.
    """
    links = wanted.get("chain")
    if not isinstance(links, list) or not links:
        raise GuestError("The backup to restore has no chain.")
    door = _door(engine)
    progress("reading the backup's manifests", 2)
    chain = [_manifest(cast("Mapping[str, JSON]", link)) for link in links]
    total = max(1, sum(manifest.stored_bytes for _, manifest in chain))
    for _, manifest in chain:
        if manifest.encoding != f"{door.encoding}+zstd" or manifest.manager != engine.spec.manager:
            raise GuestError(f"{engine.spec.title} cannot restore a backup of {manifest.manager} as {manifest.encoding}.")
    read = _Read(total=total, progress=progress)
    streams = [partial(_unpacked, engine.host, ticket, manifest, read) for ticket, manifest in chain]
    # What the cloud laid beside the data for an instance that begins empty would only take room.
    engine.host.remove_tree(engine.host.data_dir / TEMPLATE_COPY)
    door.restore(streams, progress=progress)


@dataclass(slots=True, kw_only=True)
class _Read:
    """How much of a chain was read."""

    total: int
    progress: Progress
    done: int = 0

    def add(self, count: int) -> None:
        """Tell that so many bytes more were read and found good."""
        self.done += count
        self.progress("restoring the backup", min(60, 3 + 57 * self.done // self.total))


def _manifest(link: Mapping[str, JSON]) -> tuple[Ticket, Manifest]:
    ticket = Ticket.from_json(arguments.mapping(link, "ticket"))
    content = _got(ticket, arguments.text(link, "manifest"), arguments.text(link, "digest"), MAX_BYTES)
    return ticket, Manifest.from_bytes(content)


def _unpacked(host: Host, ticket: Ticket, manifest: Manifest, read: _Read) -> Iterator[bytes]:
    with host.stream(_zstd(host, "-d", "-q", "-c"), _segments(ticket, manifest, read)) as chunks:
        yield from chunks


def _segments(ticket: Ticket, manifest: Manifest, read: _Read) -> Iterator[bytes]:
    for segment in manifest.segments:
        content = _got(ticket, segment.name, segment.digest, segment.size)
        read.add(len(content))
        yield content


def _got(ticket: Ticket, name: str, digest: str, most: int) -> bytes:
    try:
        content = objects.get(ticket, name, most=most)
    except (NotFound, Refused, Unavailable) as error:
        raise GuestError(f"The backup cannot be read. {error.message}") from error
    if sha256(content).hexdigest() != digest:
        raise GuestError(f"Object {name} of the backup is damaged: its checksum is not that of the manifest.")
    return content


def _zstd(host: Host, *options: str) -> Command:
    program = host.find_program(ZSTD)
    if program is None:
        raise GuestError(f"{ZSTD} is not installed on this server: apt-get install {ZSTD}")
    return Command(argv=(program, *options), timeout_s=LONGEST_S)


def _door(engine: Engine) -> Backups:
    if Facet.BACKUPS not in engine.spec.facets:
        raise Unsupported(f"{engine.spec.title} has no {Facet.BACKUPS.value}.")
    return cast("Backups", engine.driver)
