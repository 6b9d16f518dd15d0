"""Backups of instances, and where they are to be kept."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trove.core.datastores import DatastoreVersion


class BackupState(StrEnum):
    """NEW → BUILDING → SAVING → COMPLETED or FAILED; RESTORED was made elsewhere; DELETE_FAILED may still have objects."""

    NEW = "NEW"
    BUILDING = "BUILDING"
    SAVING = "SAVING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RESTORED = "RESTORED"
    DELETE_FAILED = "DELETE_FAILED"


RUNNING = frozenset({BackupState.NEW, BackupState.BUILDING, BackupState.SAVING})
"""States in which a backup is being made."""

USABLE = frozenset({BackupState.COMPLETED, BackupState.RESTORED})
"""States in which a backup can be restored."""


class BackupType(StrEnum):
    """What a backup holds: everything, what changed since its parent, or what was made elsewhere and is not ours to delete."""

    FULL = "full"
    INCREMENTAL = "incremental"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One row of the `backups` table.

    `container` and `location` (a URL, for people and for imports) tell where the manifest is, `checksum` is the SHA-256 of it.
    `size_bytes` is how much data it holds, before compression. `note` is why it failed. `deleting`: its deletion was accepted.
    `datastore_version` is None when that is no longer on offer.
    """

    id: str
    name: str
    project_id: str
    state: BackupState
    type: BackupType
    storage_driver: str
    created: datetime
    updated: datetime
    description: str | None = None
    instance_id: str | None = None
    datastore_version: DatastoreVersion | None = None
    parent_id: str | None = None
    container: str | None = None
    location: str | None = None
    checksum: str | None = None
    size_bytes: int | None = None
    note: str | None = None
    deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackup:
    """What `store.backups.insert` needs."""

    id: str
    name: str
    project_id: str
    datastore_version_id: str
    storage_driver: str
    container: str
    type: BackupType = BackupType.FULL
    state: BackupState = BackupState.NEW
    description: str | None = None
    instance_id: str | None = None
    parent_id: str | None = None
    location: str | None = None
    checksum: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStrategy:
    """In which container the backups of one instance are kept, or, without an instance, those of a whole project."""

    project_id: str
    container: str
    instance_id: str | None = None
    backend: str = "swift"
