"""What a backup consists of: the manifest, a small JSON object that is written last. A backup without one does not exist."""

import json
import re
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


_OBJECT = re.compile(r"(?P<id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9]{8}|manifest\.json)?")


def backup_of(name: str) -> str | None:
    """Return the id of the backup whose object, or whose `prefix_of`, a name is; None for all other names."""
    found = _OBJECT.fullmatch(name)
    return found["id"] if found else None


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
class Encryption:
    """How the stream was encrypted: by a key of its own, which `wrapped_key` is, encrypted by the project's key `key_id`."""

    cipher: str
    key_id: str
    wrapped_key: str


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
    encryption: Encryption | None = None

    def to_bytes(self) -> bytes:
        """Return the object's content."""
        content = {"format": FORMAT, **asdict(self)}
        if self.encryption is None:
            del content["encryption"]  # who does not know of it yet can read the rest
        return json.dumps(content, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """Read an object's content. Raises `InvalidInput` for what is no manifest, or one of a later format."""
        try:
            data: dict[str, Any] = json.loads(content)
            if data.pop("format") != FORMAT:
                raise InvalidInput("The backup's manifest has a format that this version of the service does not know.")
            parent, segments, encryption = data.pop("parent"), data.pop("segments"), data.pop("encryption", None)
            return cls(
                **data,
                parent=None if parent is None else Parent(**parent),
                segments=tuple(Segment(**segment) for segment in segments),
                encryption=None if encryption is None else Encryption(**encryption),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput("The backup's manifest cannot be read: it is damaged, or no manifest.") from error
