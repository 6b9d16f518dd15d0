"""Backups and restores on the guest: the engine's stream, through zstd, in segments, each with its digest; the manifest last.

Nothing is staged on disk: three segments are in memory, two on their way, so that they can be sent again, and one being filled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import cast

from trove.core.errors import Conflict, GuestError, NotFound, Refused, Unavailable, Unsupported
from trove.core.json import JSON
from trove.core.manifests import MAX_BYTES, Encryption, Manifest, Parent, Segment, manifest_name
from trove.core.tickets import Ticket
from trove.datastores.contract import Backups, Command, Facet, Host
from trove.guestagent import arguments, crypt, objects
from trove.guestagent.engine import Engine
from trove.guestagent.host import TEMPLATE_COPY
from trove.guestagent.jobs import Progress
from trove.guestagent.segments import Sender, ahead
from trove.guestagent.streams import pour

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

    def pour(self, pipe: int, count: Callable[[int], None]) -> None:
        """Count what goes straight from one program to the other."""

        def add(moved: int) -> None:
            self.total += moved
            count(moved)

        pour(self.chunks, pipe, add)


def back_up(engine: Engine, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
    """Do the job `backup`. Runs again from the beginning after a crash: the segments are written over."""
    ticket = Ticket.from_json(arguments.mapping(args, "ticket"))
    backup_id, parent = arguments.text(args, "backup_id"), args.get("parent")
    size, encryption = args.get("segment_bytes"), args.get("encryption")
    if not isinstance(size, int) or size < LEAST_SEGMENT:
        raise GuestError(f"segment_bytes must be at least {LEAST_SEGMENT}.")
    how = None if encryption is None else arguments.mapping(args, "encryption")
    built_on = arguments.mapping(args, "parent") if parent is not None else None
    door, expected = _door(engine), max(1, engine.host.usage().used)
    progress("reading the data", 1)
    with door.dump(since=None if built_on is None else arguments.mapping(built_on, "positions")) as dump:
        raw = _Counted(dump.chunks)

        def tell() -> None:
            progress(f"storing the backup, {raw.total >> 20} MiB so far", min(95, 1 + 94 * raw.total // expected))

        sender = Sender(ticket=ticket, backup_id=backup_id, size=size, tell=tell)
        with engine.host.stream(_zstd(engine.host, "--fast=1", "-q", "-c"), raw) as packed:
            sender.send(packed if how is None else _encrypted(packed, how, backup_id))
        positions = dump.positions()
    progress("storing the manifest", 97)
    content = Manifest(
        backup_id=backup_id,
        project_id=arguments.text(args, "project_id"),
        instance_id=engine.host.instance_id,
        manager=engine.spec.manager,
        datastore=arguments.text(args, "datastore"),
        datastore_version=arguments.text(args, "datastore_version"),
        encoding=_encoding(door, encrypted=how is not None),
        data_bytes=raw.total,
        stored_bytes=sum(segment.size for segment in sender.segments),
        segments=tuple(sender.segments),
        parent=None
        if built_on is None
        else Parent(**{name: arguments.text(built_on, name) for name in ("container", "name", "digest")}),
        positions=positions,
        encryption=None
        if how is None
        else Encryption(**{name: arguments.text(how, name) for name in ("cipher", "key_id", "wrapped_key")}),
    ).to_bytes()
    with suppress(Conflict):  # The control plane sees whether it is this one.
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
    chain = [_link(cast("Mapping[str, JSON]", link)) for link in links]
    total = max(1, sum(link.manifest.stored_bytes for link in chain))
    for manifest in (link.manifest for link in chain):
        encoding = _encoding(door, encrypted=manifest.encryption is not None)
        if manifest.encoding != encoding or manifest.manager != engine.spec.manager:
            raise GuestError(f"{engine.spec.title} cannot restore a backup of {manifest.manager} as {manifest.encoding}.")
    read = _Read(total=total, progress=progress)
    streams = [partial(_Unpacked, engine.host, link, read) for link in chain]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """A backup of the chain that is restored."""

    ticket: Ticket
    manifest: Manifest
    key: bytes | None = field(repr=False)


def _link(link: Mapping[str, JSON]) -> _Link:
    ticket, key = Ticket.from_json(arguments.mapping(link, "ticket")), link.get("data_key")
    content = _got(ticket, arguments.text(link, "manifest"), arguments.text(link, "digest"), MAX_BYTES)
    manifest = Manifest.from_bytes(content)
    if (manifest.encryption is None) != (key is None):
        raise GuestError("The backup cannot be read. Its key is not known." if key is None else "The backup was altered.")
    return _Link(ticket=ticket, manifest=manifest, key=None if key is None else crypt.key_of(str(key)))


class _Unpacked(Iterator[bytes]):
    """The stream of a backup as the engine made it: an iterator, which goes straight to a program that wants it whole."""

    def __init__(self, host: Host, link: _Link, read: _Read) -> None:
        stored: Iterator[bytes] = _segments(link, read)
        if link.key is not None:
            stored = crypt.decrypted(stored, link.key, link.manifest.backup_id)
        self._program = ExitStack()
        self._chunks = self._program.enter_context(host.stream(_zstd(host, "-d", "-q", "-c"), stored))

    def __next__(self) -> bytes:
        return next(self._chunks)

    def pour(self, pipe: int, count: Callable[[int], None]) -> None:
        """Let it go from program to program."""
        pour(self._chunks, pipe, count)

    def close(self) -> None:
        """End the program, whether or not all was read. May run twice."""
        with suppress(GeneratorExit):  # as a generator that is closed: what is left is of no interest
            self._program.__exit__(GeneratorExit, GeneratorExit(), None)


def _segments(link: _Link, read: _Read) -> Iterator[bytes]:
    """Yield the segments one after the other; while one is used, the next is on its way."""
    with ahead(partial(_segment, link.ticket, each) for each in link.manifest.segments) as contents:
        for content in contents:
            read.add(len(content))
            yield content


def _segment(ticket: Ticket, segment: Segment) -> bytes:
    return _got(ticket, segment.name, segment.digest, segment.size)


def _encrypted(packed: Iterator[bytes], how: Mapping[str, JSON], backup_id: str) -> Iterator[bytes]:
    return crypt.encrypted(packed, crypt.key_of(arguments.text(how, "data_key")), backup_id)


def _encoding(door: Backups, *, encrypted: bool) -> str:
    return f"{door.encoding}+zstd+{crypt.LAYER}" if encrypted else f"{door.encoding}+zstd"


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
