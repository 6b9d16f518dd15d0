"""What every object store does: named objects in containers, streamed in and out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from trove.core.tickets import Ticket, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object as the store knows it. `digest` is the hexadecimal SHA-256 of its bytes."""

    name: str
    size: int
    digest: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """An object store. Raises `NotFound`, `Unavailable` (try again), `InvalidInput` (a name that cannot be)."""

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store an object whole or not at all: a reader sees the old one or the new one. Creates the container."""

    def get(self, container: str, name: str) -> Iterator[bytes]:
        """Stream an object's bytes. Raises `NotFound` before the first chunk."""

    def info(self, container: str, name: str) -> ObjectInfo:
        """Return what is known of an object."""

    def list(self, container: str, *, prefix: str = "") -> Sequence[ObjectInfo]:
        """Return the objects whose name starts with `prefix`, by name. A missing container is empty."""

    def delete(self, container: str, name: str) -> None:
        """Delete an object. Missing is fine."""

    def ticket(self, container: str, prefix: str, verb: Verb, *, expires: datetime) -> Ticket:
        """Return a right to put, or get, the objects below `prefix` until `expires`, for somebody without credentials.

        For PUT the container is created. Nothing can be listed or deleted with it, nor reached beside the prefix.
        """

    def seal(self, container: str, prefix: str) -> None:
        """Take nothing more by tickets for `prefix`, however long those are good for. May run twice."""

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object, by which `locate` finds it again. It opens nothing by itself."""

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object by its URL; None when that is not in this store."""
