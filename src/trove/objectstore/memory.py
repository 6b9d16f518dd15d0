"""An object store in memory, for unit tests and as the model that the others are compared with."""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from trove.core.clock import utcnow
from trove.core.errors import NotFound, Refused
from trove.core.tickets import Ticket, Verb
from trove.objectstore.contract import LONGEST_TICKET, ObjectInfo
from trove.objectstore.names import check_container, check_name
from trove.objectstore.signing import REFUSED, SEALED, Signer

_CHUNK = 64 * 1024


class MemoryObjectStore:
    """An object store in memory. Thread-safe."""

    needs_names = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], tuple[bytes, ObjectInfo]] = {}
        self._sealed: set[tuple[str, str]] = set()
        self._signer = Signer(os.urandom(32), "memory://objects")

    def of(self, _project_id: str) -> "MemoryObjectStore":
        """Return this store: all projects share it."""
        return self

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store an object whole or not at all."""
        check_container(container)
        check_name(name)
        content = b"".join(chunks)
        info = ObjectInfo(
            name=name, size=len(content), digest=hashlib.sha256(content).hexdigest(), metadata=dict(metadata or {})
        )
        with self._lock:
            self._objects[container, name] = (content, info)
        return info

    def get(self, container: str, name: str) -> Iterator[bytes]:
        """Stream an object's bytes. Raises `NotFound` before the first chunk."""
        content, _ = self._find(container, name)
        return (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))

    def info(self, container: str, name: str) -> ObjectInfo:
        """Return what is known of an object; raises `NotFound`."""
        return self._find(container, name)[1]

    def list(self, container: str, *, prefix: str = "") -> Sequence[ObjectInfo]:
        """Return the objects whose name starts with `prefix`, by name."""
        check_container(container)
        with self._lock:
            found = [info for (held, name), (_, info) in self._objects.items() if held == container and name.startswith(prefix)]
        return sorted(found, key=lambda info: info.name)

    def delete(self, container: str, name: str) -> None:
        """Delete an object. Missing is fine."""
        check_container(container)
        check_name(name)
        with self._lock:
            self._objects.pop((container, name), None)

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
        """Take nothing more by tickets for `prefix`. May run twice."""
        self._sealed.add((container, prefix))

    def is_sealed(self, container: str, prefix: str) -> bool:
        """Tell whether `seal` was called for the prefix."""
        return (container, prefix) in self._sealed

    def publish(self, container: str, backup_id: str, parts: Sequence[ObjectInfo]) -> None:
        """Do nothing: nobody but the service reads here."""

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object."""
        return self._signer.url(container, name)

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object by its URL; None when that is not in this store."""
        return self._signer.locate(url)

    def holding(self, url: str) -> "MemoryObjectStore | None":
        """Return this store for what is in it: there is no other."""
        return self if self.locate(url) else None

    def put_by(self, url: str, content: bytes) -> None:
        """Do what the holder of a ticket does with a URL of it. Raises `Refused`."""
        self.put(*self._admitted(Verb.PUT, url), [content])

    def get_by(self, url: str) -> bytes:
        """Do what the holder of a ticket does with a URL of it. Raises `Refused`, `NotFound`."""
        return b"".join(self.get(*self._admitted(Verb.GET, url)))

    def _admitted(self, verb: Verb, url: str) -> tuple[str, str]:
        found = self._signer.locate(url)
        if found is None:
            raise Refused(REFUSED)
        query = dict(parse_qsl(urlsplit(url).query))
        self._signer.check(verb, *found, query)
        if verb is Verb.PUT and self.is_sealed(found[0], query["prefix"]):
            raise Refused(SEALED)
        return found

    def _find(self, container: str, name: str) -> tuple[bytes, ObjectInfo]:
        check_container(container)
        check_name(name)
        with self._lock:
            try:
                return self._objects[container, name]
            except KeyError:
                raise NotFound(f"Object {container}/{name} cannot be found.") from None
