"""What every object store does: named objects in containers, streamed in and out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from trove.core.tickets import Ticket, Verb

LONGEST_TICKET = timedelta(days=7)
"""No ticket is good for longer: S3 knows none that are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object as the store knows it.

    `digest` is the hexadecimal SHA-256 of its bytes, None where the store was not told, and in lists of some stores. The same
    goes for `metadata`.
    """

    name: str
    size: int
    digest: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """An object store. Raises `NotFound`, `Unavailable` (try again), `InvalidInput` (a name that cannot be).

    Objects whose names `manifests.backup_of` knows are those of one backup, which some stores keep in a place of its own.
    """

    def of(self, project_id: str) -> "ObjectStore":
        """Return the store as a project sees it. Where all projects share one place, that is this one."""

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

    def clear(self, container: str, prefix: str) -> None:
        """Delete all objects below `prefix`, and what `publish` made of them. Missing is fine. May run twice."""

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
        """Return a right to put, or get, the objects below `prefix` until `expires`, for somebody without credentials.

        For PUT the container is created. Nothing can be listed or deleted with it, nor reached beside the prefix. `names` are
        those that will be used: some stores (`needs_names`) give a right to these only. `LONGEST_TICKET` bounds `expires`.
        With `keep_s`, what is put may replace what is there, and goes after so many seconds where the store does such things.
        Raises `Refused` for putting below a prefix that was sealed.
        """

    needs_names: bool
    """Whether a ticket is for the names alone that were told."""

    def seal(self, container: str, prefix: str) -> None:
        """Take nothing more by tickets for the `prefix` of a backup, however long those are good for. May run twice.

        A store that cannot take a right back gives none to replace anything: what is there when this returns stays.
        """

    def publish(self, container: str, backup_id: str, parts: Sequence[ObjectInfo]) -> None:
        """Let a backup be got as one object by the URL of its manifest, where the store can do that without copying."""

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object, by which `locate` finds it again. It opens nothing by itself."""

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object by its URL; None when that is not in this store."""

    def holding(self, url: str) -> "ObjectStore | None":
        """Return the store that an object is in by its URL: this one, or its like in another region; None when in neither."""
