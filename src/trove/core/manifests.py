"""What a backup consists of: the manifest, a small JSON object that is written last. A backup without one does not exist."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trove.core.errors import InvalidInput
from trove.core.json import JSON

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024
"""More than any manifest needs: 300,000 segments."""


def prefix_of(backup_id: str) -> str:
    """Return what the names of all objects of a backup begin with."""
    return f"{backup_id}/"


def manifest_name(backup_id: str) -> str:
    """Return the name of a backup's manifest in its container."""
    return f"{prefix_of(backup_id)}manifest.json"


def segment_name(backup_id: str, number: int) -> str:
    """Return the name of a backup's segment, counted from 0."""
    return f"{prefix_of(backup_id)}{number:08d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One piece of the stream. `digest` is the hexadecimal SHA-256 of its bytes as they are stored."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The manifest that an incremental backup builds on."""

    container: str
    name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The segments of a backup in their order, and what they are.

    `encoding` names the layers of the stream from the inside, such as `mbstream+zstd`. `data_bytes` counts the bytes before
    compression, `stored_bytes` those in the segments. `positions` are the engine's own, such as `lsn` and `gtid`.
    """

    backup_id: str
    project_id: str
    instance_id: str
    manager: str
    datastore: str
    datastore_version: str
    encoding: str
    data_bytes: int
    stored_bytes: int
    segments: tuple[Segment, ...]
    parent: Parent | None = None
    positions: Mapping[str, JSON] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the object's content."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """Read an object's content. Raises `InvalidInput` for what is no manifest, or one of a later format."""
        try:
            data: dict[str, Any] = json.loads(content)
            if data.pop("format") != FORMAT:
                raise InvalidInput("The backup's manifest has a format that this version of the service does not know.")
            parent, segments = data.pop("parent"), data.pop("segments")
            return cls(
                **data,
                parent=None if parent is None else Parent(**parent),
                segments=tuple(Segment(**segment) for segment in segments),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput("The backup's manifest cannot be read: it is damaged, or no manifest.") from error
