"""An object store in a directory: for one machine, and for a shared file system that all machines mount.

A container is a directory with `data/<random>` (the bytes) and `names/<encoded name>.json` (the sidecar, which names its
data file). Bytes are complete and on disk before the rename of the sidecar makes them visible, so a reader sees the old
object or the new one. What a killed writer left is swept by the next process that writes to the container.
"""

import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from trove.core.clock import utcnow
from trove.core.errors import NotFound, Refused, Unavailable
from trove.core.tickets import Ticket, Verb
from trove.objectstore.contract import LONGEST_TICKET, ObjectInfo
from trove.objectstore.names import check_container, check_name
from trove.objectstore.signing import SEALED, Signer

_CHUNK = 1024 * 1024
_COMPONENT = 200
"""Longest piece of an encoded name that becomes one file name; file systems allow 255 bytes."""


SWEEP_EVERY_S = 3600.0
MARK_MARGIN = timedelta(days=1)
"""How much longer than any ticket a mark of what was sealed is kept: clocks differ."""


class FileObjectStore:
    """An object store below `root`, which is created (0700) on the first put. Safe for threads and processes at once.

    `signer` makes the tickets, which an endpoint of ours in front of the same directory takes.
    """

    needs_names = False

    def __init__(self, root: Path, signer: Signer) -> None:
        self._root = root
        self._signer = signer
        self._swept: set[str] = set()
        self._sweeping = threading.Lock()
        self._marks_again = 0.0

    def of(self, _project_id: str) -> "FileObjectStore":
        """Return this store: all projects share it."""
        return self

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store an object whole or not at all. An error of `chunks` itself passes through and leaves the old object."""
        check_container(container)
        check_name(name)
        home = self._home(container)
        with _translated(f"write object {container}/{name}"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (home, home / "data", home / "names"):
                directory.mkdir(mode=0o700, exist_ok=True)
            self._sweep_once(container, home)
        with _locked(home / "writers", fcntl.LOCK_SH):
            data = home / "data" / secrets.token_hex(16)
            try:
                info = _write_data(data, name, chunks, dict(metadata or {}))
                with _translated(f"write object {container}/{name}"):
                    _commit(home, info, data)
            except BaseException:
                data.unlink(missing_ok=True)
                raise
        return info

    def get(self, container: str, name: str) -> Iterator[bytes]:
        """Stream an object's bytes. Raises `NotFound` before the first chunk. An overwrite meanwhile does not disturb it."""
        check_container(container)
        check_name(name)
        return _Stream(self._open(container, name))

    def info(self, container: str, name: str) -> ObjectInfo:
        """Return what is known of an object; raises `NotFound`."""
        check_container(container)
        check_name(name)
        return self._read_sidecar(container, name)[0]

    def list(self, container: str, *, prefix: str = "") -> Sequence[ObjectInfo]:
        """Return the objects whose name starts with `prefix`, by name. A missing container is empty."""
        check_container(container)
        found = []
        with _translated(f"list container {container}"):
            for path in (self._home(container) / "names").rglob("*.json"):
                with suppress(FileNotFoundError):
                    info, _ = _parse_sidecar(path)
                    if info.name.startswith(prefix):
                        found.append(info)
        return sorted(found, key=lambda info: info.name)

    def delete(self, container: str, name: str) -> None:
        """Delete an object. Missing is fine."""
        check_container(container)
        check_name(name)
        home = self._home(container)
        if not home.exists():
            return
        with _translated(f"delete object {container}/{name}"), _locked(home / "commits", fcntl.LOCK_EX):
            sidecar = _sidecar(home, name)
            try:
                _, data = _parse_sidecar(sidecar)
            except FileNotFoundError:
                return
            sidecar.unlink()
            (home / "data" / data).unlink(missing_ok=True)

    def clear(self, container: str, prefix: str) -> None:
        """Delete all objects below `prefix`. May run twice."""
        for info in self.list(container, prefix=prefix):
            self.delete(container, info.name)

    def ticket(
        self,
        container: str,
        prefix: str,
        verb: Verb,
        *,
        expires: datetime,
        names: Sequence[str] | None = None,
        keep_s: int | None = None,
    ) -> Ticket:
        """Return a right to put, or get, the objects below `prefix` until `expires`."""
        check_container(container)
        check_name(prefix)
        if verb is Verb.PUT and self.is_sealed(container, prefix):
            raise Refused(SEALED)
        return self._signer.ticket(container, prefix, verb, min(expires, utcnow() + LONGEST_TICKET))

    def seal(self, container: str, prefix: str) -> None:
        """Take nothing more by tickets for `prefix`; that outlives the objects. May run twice."""
        check_container(container)
        check_name(prefix)
        mark = self._mark(container, prefix)
        with _translated(f"seal {container}/{prefix}"):
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch(mode=0o600)
            _sync_directory(mark.parent)
            self._drop_old_marks(mark.parent)

    def is_sealed(self, container: str, prefix: str) -> bool:
        """Tell whether `seal` was called for the prefix."""
        return self._mark(container, prefix).exists()

    def publish(self, container: str, backup_id: str, parts: Sequence[ObjectInfo]) -> None:
        """Do nothing: nobody but the service reads here."""

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object."""
        return self._signer.url(container, name)

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object by its URL; None when that is not in this store."""
        return self._signer.locate(url)

    def holding(self, url: str) -> "FileObjectStore | None":
        """Return this store for what is in it: there is no other."""
        return self if self.locate(url) else None

    def _drop_old_marks(self, marks: Path) -> None:
        """Remove marks that outlived every ticket that they could be for, now and then."""
        if time.monotonic() < self._marks_again:
            return
        self._marks_again = time.monotonic() + SWEEP_EVERY_S
        oldest = (utcnow() - LONGEST_TICKET - MARK_MARGIN).timestamp()
        for each in marks.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps, too
                if each.stat().st_mtime < oldest:
                    each.unlink()

    def _home(self, container: str) -> Path:
        return self._root / ("c-" + _encoded(container))

    def _mark(self, container: str, prefix: str) -> Path:
        return self._root / "sealed" / hashlib.sha256(f"{container}/{prefix}".encode()).hexdigest()

    def _read_sidecar(self, container: str, name: str) -> tuple[ObjectInfo, str]:
        try:
            with _translated(f"read object {container}/{name}"):
                return _parse_sidecar(_sidecar(self._home(container), name))
        except FileNotFoundError:
            raise NotFound(f"Object {container}/{name} cannot be found.") from None

    def _open(self, container: str, name: str) -> int:
        while True:
            _, data = self._read_sidecar(container, name)
            with suppress(FileNotFoundError), _translated(f"read object {container}/{name}"):
                return os.open(self._home(container) / "data" / data, os.O_RDONLY | os.O_CLOEXEC)
            if self._read_sidecar(container, name)[1] == data:
                raise NotFound(f"Object {container}/{name} has lost its data.")

    def _sweep_once(self, container: str, home: Path) -> None:
        """Remove data that no sidecar names, unless a writer is at work now; once per process and container."""
        with self._sweeping:
            if container in self._swept:
                return
            self._swept.add(container)
        with _locked(home / "writers", fcntl.LOCK_EX | fcntl.LOCK_NB) as alone, _locked(home / "commits", fcntl.LOCK_EX):
            if not alone:
                return
            for stale in (home / "names").rglob("*.new"):
                stale.unlink(missing_ok=True)
            named = {_parse_sidecar(path)[1] for path in (home / "names").rglob("*.json")}
            for path in (home / "data").iterdir():
                if path.name not in named:
                    path.unlink(missing_ok=True)


def _encoded(text: str) -> str:
    """Return `text` as a relative path of safe components; never `.`, `..` or absolute."""
    flat = quote(text, safe="")
    pieces = [flat[start : start + _COMPONENT] for start in range(0, len(flat), _COMPONENT)]
    return "+/".join(pieces)


def _sidecar(home: Path, name: str) -> Path:
    return home / "names" / (_encoded(name) + ".json")


def _parse_sidecar(path: Path) -> tuple[ObjectInfo, str]:
    stored = json.loads(path.read_bytes())
    data = str(stored.pop("data"))
    return ObjectInfo(**stored), data


def _write_data(data: Path, name: str, chunks: Iterable[bytes], metadata: dict[str, str]) -> ObjectInfo:
    digest = hashlib.sha256()
    size = 0
    with _translated(f"write object {name}"):
        descriptor = os.open(data, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            with _translated(f"write object {name}"):
                _write_all(file.fileno(), chunk)
        with _translated(f"write object {name}"):
            os.fsync(file.fileno())
    return ObjectInfo(name=name, size=size, digest=digest.hexdigest(), metadata=metadata)


def _write_all(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _commit(home: Path, info: ObjectInfo, data: Path) -> None:
    """Make the object visible, and drop the bytes of the one it replaces."""
    sidecar = _sidecar(home, info.name)
    for directory in reversed(sidecar.relative_to(home).parents):
        (home / directory).mkdir(mode=0o700, exist_ok=True)
    fresh = sidecar.with_name(data.name + ".new")
    with _locked(home / "commits", fcntl.LOCK_EX):
        try:
            replaced: str | None = _parse_sidecar(sidecar)[1]
        except FileNotFoundError:
            replaced = None
        _sync_directory(data.parent)
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps({**asdict(info), "data": data.name}).encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(sidecar)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        _sync_directory(sidecar.parent)
        if replaced is not None:
            (home / "data" / replaced).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Stream:
    """The bytes of an open file, closed at its end or when nobody holds the stream any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._descriptor is None:
            raise StopIteration
        with _translated("read an object"):
            chunk = os.read(self._descriptor, _CHUNK)
        if not chunk:
            self.close()
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Close the file. May run twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()


@contextmanager
def _locked(path: Path, how: int) -> Iterator[bool]:
    """Hold a lock file; yields False when `how` says not to wait and another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn errors of the file system, other than a missing file, into `Unavailable`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"The object store cannot {what}: {error.strerror}.") from error
