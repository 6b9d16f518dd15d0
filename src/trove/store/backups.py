"""Rows of backups. One that is deleted stays as a row; what it holds in the object store is others' business."""

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import and_, false, or_, select, update

from trove.core import errors
from trove.core.backups import RUNNING, Backup, BackupState, BackupType, NewBackup
from trove.core.clock import utcnow
from trove.core.operations import Fence
from trove.core.pages import Page
from trove.store import operations
from trove.store.datastores import VERSION_COLUMNS, VersionRows
from trove.store.session import Tx
from trove.store.tables import backups, datastore_versions, datastores

_OWN = (
    backups.c.id,
    backups.c.name,
    backups.c.tenant_id,
    backups.c.state,
    backups.c.backup_type,
    backups.c.storage_driver,
    backups.c.created,
    backups.c.updated,
    backups.c.description,
    backups.c.instance_id,
    backups.c.parent_id,
    backups.c.container,
    backups.c.location,
    backups.c.checksum,
    backups.c.size_bytes,
    backups.c.note,
    backups.c.deleting,
)
_LIVE = backups.c.deleted == false()
_WHOLE = (
    select(*_OWN, *VERSION_COLUMNS)
    .select_from(
        backups.outerjoin(datastore_versions, datastore_versions.c.id == backups.c.datastore_version_id).outerjoin(
            datastores, datastores.c.id == datastore_versions.c.datastore_id
        )
    )
    .where(_LIVE)
)
_NEWEST_FIRST = (backups.c.created.desc(), backups.c.id.desc())
_RUNNING = backups.c.state.in_(sorted(RUNNING))


def insert(tx: Tx, new: NewBackup) -> Backup:
    """Store a new backup. Quota is the caller's. Raises `NotFound` for an unknown datastore version."""
    wanted = select(datastore_versions.c.id).where(datastore_versions.c.id == new.datastore_version_id)
    if tx.execute(wanted).first() is None:
        raise errors.NotFound(f"Datastore version {new.datastore_version_id} was not found.")
    now = utcnow()
    row = {
        "id": new.id,
        "created": now,
        "updated": now,
        "name": new.name,
        "description": new.description,
        "tenant_id": new.project_id,
        "instance_id": new.instance_id,
        "datastore_version_id": new.datastore_version_id,
        "parent_id": new.parent_id,
        "state": new.state,
        "backup_type": new.type,
        "storage_driver": new.storage_driver,
        "container": new.container,
        "location": new.location,
        "checksum": new.checksum,
        "size_bytes": new.size_bytes,
        "deleting": False,
        "deleted": False,
    }
    tx.execute(sa.insert(backups), row)
    return get(tx, new.id)


def get(tx: Tx, backup_id: str, *, project_id: str | None = None, hold: bool = False) -> Backup:
    """Return a live backup. With `hold` nobody else changes it until `tx` ends.

    Raises `NotFound` when it is absent, deleted, or not in `project_id` (None: any project).
    """
    if hold:
        tx.execute(select(backups.c.id).where(backups.c.id == backup_id).with_for_update())
    row = tx.execute(_WHOLE.where(backups.c.id == backup_id)).first()
    if row is None or (project_id is not None and row[2] != project_id):
        raise errors.NotFound(f"Backup {backup_id} was not found.")
    return _read(row, VersionRows())


def exists(tx: Tx, backup_id: str) -> bool:
    """Tell whether there is such a live backup."""
    return tx.execute(select(backups.c.id).where(backups.c.id == backup_id, _LIVE)).first() is not None


def page(  # noqa: PLR0913
    tx: Tx,
    *,
    project_id: str | None,
    instance_id: str | None = None,
    datastore_id: str | None = None,
    limit: int,
    marker: str | None = None,
    offset: int = 0,
) -> Page[Backup]:
    """Return live backups, newest first, after the backup `marker`, which may be deleted, or after `offset` of them.

    None does not filter. Raises `InvalidInput` for an unknown marker.
    """
    statement = _WHOLE.order_by(*_NEWEST_FIRST).limit(limit + 1)
    if project_id is not None:
        statement = statement.where(backups.c.tenant_id == project_id)
    if instance_id is not None:
        statement = statement.where(backups.c.instance_id == instance_id)
    if datastore_id is not None:
        statement = statement.where(datastore_versions.c.datastore_id == datastore_id)
    if marker is not None:
        statement = statement.where(_after(tx, marker, project_id))
    elif offset:
        statement = statement.offset(offset)
    versions = VersionRows()
    found = [_read(row, versions) for row in tx.execute(statement)]
    items = tuple(found[:limit])
    return Page(items=items, next_marker=items[-1].id if items and len(found) > limit else None)


def newest_completed(tx: Tx, instance_id: str) -> Backup | None:
    """Return the newest whole backup of an instance that is not being deleted, None when there is none."""
    mine = (backups.c.instance_id == instance_id, backups.c.state == BackupState.COMPLETED, backups.c.deleting == false())
    row = tx.execute(_WHOLE.where(*mine).order_by(*_NEWEST_FIRST).limit(1)).first()
    return None if row is None else _read(row, VersionRows())


def with_descendants(tx: Tx, backup_id: str) -> tuple[Backup, ...]:
    """Return a live backup and all that build on it, each before the one that it builds on.

    Nobody else changes them until `tx` ends. Raises `NotFound`.
    """
    found = [get(tx, backup_id, hold=True)]
    layer = [backup_id]
    while layer:
        below = select(backups.c.id).where(backups.c.parent_id.in_(layer), _LIVE).with_for_update()
        layer = sorted(tx.execute(below).scalars())
        found += sorted((get(tx, each) for each in layer), key=lambda each: (each.created, each.id))
    return tuple(reversed(found))


def record(  # noqa: PLR0913
    tx: Tx,
    backup_id: str,
    *,
    fence: Fence,
    state: BackupState,
    location: str | None = None,
    checksum: str | None = None,
    size_bytes: int | None = None,
    note: str | None = None,
) -> bool:
    """Store how far a running backup is; None leaves a value as it is. May run twice.

    Returns False, and changes nothing, when it runs no more: it ended, or was deleted. Raises `Fenced`.
    """
    operations.check(tx, fence)
    values = {"location": location, "checksum": checksum, "size_bytes": size_bytes, "note": note}
    given = {name: value for name, value in values.items() if value is not None}
    return _change(tx, [backup_id], _RUNNING, state=state, **given) > 0


def fail_running(tx: Tx, instance_id: str, note: str) -> int:
    """Call what runs on an instance failed; return how many backups did. May run twice."""
    mine = (backups.c.instance_id == instance_id, _LIVE, _RUNNING)
    ids = list(tx.execute(select(backups.c.id).where(*mine)).scalars())
    return _change(tx, ids, _RUNNING, state=BackupState.FAILED, note=note)


def mark_deleting(tx: Tx, ids: Collection[str]) -> None:
    """Note that the deletion of these backups was accepted. What still runs has failed. May run twice."""
    _change(tx, ids, _RUNNING, state=BackupState.FAILED, note="It was deleted before it ended.")
    _change(tx, ids, deleting=True)


def deletion_failed(tx: Tx, ids: Collection[str], note: str) -> None:
    """Note that these backups could not be deleted, as far as they are there. Their rows stay. May run twice."""
    _change(tx, ids, state=BackupState.DELETE_FAILED, deleting=False, note=note)


def mark_deleted(tx: Tx, backup_id: str, *, fence: Fence) -> bool:
    """Hide a backup for good; return False when that was done before. Quota is the caller's. Raises `Fenced`."""
    operations.check(tx, fence)
    return _change(tx, [backup_id], deleted=True, deleted_at=utcnow()) > 0


def live_ids(tx: Tx) -> frozenset[str]:
    """Return the ids of all backups that are not deleted."""
    return frozenset(tx.execute(select(backups.c.id).where(_LIVE)).scalars())


def _change(tx: Tx, ids: Collection[str], *conditions: sa.ColumnElement[bool], **values: object) -> int:
    if not ids:
        return 0
    wanted = (backups.c.id.in_(sorted(ids)), _LIVE, *conditions)
    return tx.execute(update(backups).where(*wanted).values(updated=utcnow(), **values)).rowcount


def _after(tx: Tx, marker: str, project_id: str | None) -> sa.ColumnElement[bool]:
    row = tx.execute(select(backups.c.created, backups.c.tenant_id).where(backups.c.id == marker)).first()
    if row is None or (project_id is not None and row.tenant_id != project_id):
        raise errors.InvalidInput(f"The marker {marker} is not a backup of this project.")
    created = backups.c.created
    return and_(created <= row.created, or_(created < row.created, backups.c.id < marker))


def _read(row: Any, versions: VersionRows) -> Backup:
    (
        backup_id, name, project_id, state, type_, storage_driver, created, updated, description, instance_id, parent_id,
        container, location, checksum, size_bytes, note, deleting,
    ) = row[: len(_OWN)]  # fmt: skip
    version: Iterable[Any] = row[len(_OWN) :]
    return Backup(
        id=backup_id,
        name=name,
        project_id=project_id,
        state=BackupState(state),
        type=BackupType(type_),
        storage_driver=storage_driver,
        created=created,
        updated=updated,
        description=description,
        instance_id=instance_id,
        datastore_version=versions.read(list(version)) if row[len(_OWN)] is not None else None,
        parent_id=parent_id,
        container=container,
        location=location,
        checksum=checksum,
        size_bytes=size_bytes,
        note=note,
        deleting=bool(deleting),
    )
