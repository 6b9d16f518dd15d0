"""Rows of clusters with their members. Members are instances; what is theirs alone is in `store/instances.py`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import and_, bindparam, false, or_, select, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.clusters import MEMBER, TRANSITIONS, Cluster, ClusterEvent, ClusterTask, Member, NewCluster, target
from trove.core.operations import UNFINISHED, Fence
from trove.core.pages import Page
from trove.core.status import ServerStatus, Task
from trove.store import operations as operation_rows
from trove.store.datastores import VERSION_COLUMNS, VersionRows
from trove.store.session import Tx
from trove.store.tables import clusters, datastore_versions, datastores, instances, operations

FAULT_CHARACTERS = 255
IDS_AT_ONCE = 500

_OWN = (
    clusters.c.id,
    clusters.c.name,
    clusters.c.tenant_id,
    clusters.c.task,
    clusters.c.created,
    clusters.c.updated,
    clusters.c.configuration_id,
    clusters.c.locality,
    clusters.c.extended_properties,
    clusters.c.fault,
    clusters.c.deleted_at,
)
_EVERY = select(*_OWN, *VERSION_COLUMNS).select_from(
    clusters.outerjoin(datastore_versions, datastore_versions.c.id == clusters.c.datastore_version_id).outerjoin(
        datastores, datastores.c.id == datastore_versions.c.datastore_id
    )
)
_NEWEST_FIRST = (clusters.c.created.desc(), clusters.c.id.desc())
_IS_LIVE = (clusters.c.id == bindparam("wanted")) & (clusters.c.deleted == false())
_HOLD = select(clusters.c.task).where(_IS_LIVE).with_for_update()
_CHANGE = update(clusters).where(_IS_LIVE)
_MEMBERS = (
    select(instances.c.cluster_id, instances.c.id, instances.c.name, instances.c.type, instances.c.shard_id)
    .where(instances.c.cluster_id.in_(bindparam("ids", expanding=True)), instances.c.deleted == false())
    .order_by(instances.c.created, instances.c.name, instances.c.id)
)
_STANDINGS = (
    select(instances.c.id, instances.c.name, instances.c.task, instances.c.server_status)
    .where(instances.c.cluster_id == bindparam("wanted"), instances.c.deleted == false())
    .order_by(instances.c.id)
    .with_for_update()
)
_STRANDED = (
    clusters.c.deleted == false(),
    clusters.c.task != ClusterTask.NONE,
    clusters.c.id.not_in(select(operations.c.resource_id).where(operations.c.state.in_(sorted(UNFINISHED)))),
)


def insert(tx: Tx, new: NewCluster) -> None:
    """Store a new cluster without members: its task is BUILDING. Raises `NotFound` for an unknown datastore version."""
    now = utcnow()
    if tx.execute(select(datastore_versions.c.id).where(datastore_versions.c.id == new.datastore_version_id)).first() is None:
        raise errors.NotFound(f"Datastore version {new.datastore_version_id} was not found.")
    row = {
        "id": new.id,
        "created": now,
        "updated": now,
        "name": new.name,
        "tenant_id": new.project_id,
        "task": TRANSITIONS[ClusterEvent.CREATE_ACCEPTED][None],
        "datastore_version_id": new.datastore_version_id,
        "configuration_id": new.configuration_id,
        "locality": new.locality,
        "extended_properties": json.dumps(new.extended_properties) if new.extended_properties else None,
        "deleted": False,
    }
    tx.execute(sa.insert(clusters), row)


def get(tx: Tx, cluster_id: str, *, project_id: str | None = None, deleted: bool | None = False) -> Cluster:
    """Return a cluster with its members. `deleted`: only a deleted one, or only a live one; None: either.

    Raises `NotFound` when it is absent or not in `project_id` (None: any project).
    """
    row = tx.execute(_EVERY.where(clusters.c.id == cluster_id)).first()
    if row is None or (project_id is not None and row.tenant_id != project_id):
        raise _not_found(cluster_id)
    if deleted is not None and deleted != (row.deleted_at is not None):
        raise _not_found(cluster_id)
    return _with_members(tx, [row])[0]


def exists(tx: Tx, cluster_id: str) -> bool:
    """Tell whether there is such a live cluster."""
    return tx.execute(select(clusters.c.id).where(_IS_LIVE), {"wanted": cluster_id}).first() is not None


def page(tx: Tx, *, project_id: str, limit: int, marker: str | None = None) -> Page[Cluster]:
    """Return live clusters of a project, newest first, after the cluster `marker`, which may be deleted.

    Two statements, three with a marker. Raises `InvalidInput` for an unknown marker.
    """
    statement = _EVERY.where(clusters.c.tenant_id == project_id, clusters.c.deleted == false())
    if marker is not None:
        statement = statement.where(_after(tx, marker, project_id))
    rows = tx.execute(statement.order_by(*_NEWEST_FIRST).limit(limit + 1)).all()
    items = _with_members(tx, rows[:limit])
    return Page(items=items, next_marker=items[-1].id if items and len(rows) > limit else None)


def of_all_projects(tx: Tx, *, deleted: bool | None) -> tuple[Cluster, ...]:
    """Return the clusters of all projects, newest first; `deleted` narrows the list, None: both kinds."""
    statement = _EVERY if deleted is None else _EVERY.where(clusters.c.deleted == deleted)
    return _with_members(tx, tx.execute(statement.order_by(*_NEWEST_FIRST)).all())


def live_ids(tx: Tx) -> frozenset[str]:
    """Return the ids of all clusters that are not deleted."""
    return frozenset(tx.execute(select(clusters.c.id).where(clusters.c.deleted == false())).scalars())


def hold(tx: Tx, cluster_id: str) -> ClusterTask | None:
    """Return the task of a live cluster, None when there is none, and keep others from changing it until `tx` ends."""
    found = tx.execute(_HOLD, {"wanted": cluster_id}).scalar_one_or_none()
    return None if found is None else ClusterTask(found)


def apply(tx: Tx, cluster_id: str, event: ClusterEvent, *, fence: Fence | None = None, fault: str | None = None) -> None:
    """Let `event` change the task by the table of transitions. `fault` becomes the cluster's fault, None: it has none any more.

    The row is locked until `tx` ends. With `fence` it is the end of an operation, which no longer speaks for a cluster that a
    later one waits for. Raises `NotFound`; `NotReady` naming the task when the event is not possible now; `Fenced`.
    """
    task = hold(tx, cluster_id)
    if task is None:
        raise _not_found(cluster_id)
    if fence is not None:
        operation_rows.check(tx, fence)
        if operation_rows.newest_unfinished(tx, cluster_id) != fence.operation_id:
            raise errors.NotReady(f"Cluster {cluster_id} has been taken by another operation.")
    to = target(event, cluster_id, task)
    _change(tx, cluster_id, None, {"task": to, "fault": None if fault is None else fault[:FAULT_CHARACTERS]})


def set_configuration(tx: Tx, cluster_id: str, configuration_id: str | None, *, fence: Fence | None = None) -> None:
    """Store which configuration group is attached; None: none. May run twice. Raises `NotFound`, `Fenced`."""
    _change(tx, cluster_id, fence, {"configuration_id": configuration_id})


def record_version(tx: Tx, cluster_id: str, version_id: str, *, fence: Fence) -> None:
    """Store which datastore version the cluster runs. May run twice. Raises `NotFound`, `Fenced`."""
    _change(tx, cluster_id, fence, {"datastore_version_id": version_id})


def mark_deleted(tx: Tx, cluster_id: str, *, fence: Fence) -> None:
    """Hide the cluster for good; its members are gone before. Raises `NotFound` the second time, `Fenced`."""
    task = hold(tx, cluster_id)
    if task is None:
        raise _not_found(cluster_id)
    to, now = target(ClusterEvent.DELETED, cluster_id, task), utcnow()
    gone = {"task": to, "deleted": True, "deleted_at": now, "fault": None, "configuration_id": None}
    _change(tx, cluster_id, fence, gone)


def hold_members(tx: Tx, cluster_id: str) -> Mapping[str, tuple[str, Task, ServerStatus | None]]:
    """Return name, task and server status of each live member by id, and keep others from changing them until `tx` ends."""
    return {
        row.id: (row.name, Task(row.task), None if row.server_status is None else ServerStatus(row.server_status))
        for row in tx.execute(_STANDINGS, {"wanted": cluster_id})
    }


def stranded(tx: Tx, *, limit: int) -> tuple[tuple[str, ClusterTask], ...]:
    """Return id and task of live clusters that are busy, although no operation on them is unfinished."""
    rows = tx.execute(select(clusters.c.id, clusters.c.task).where(*_STRANDED).order_by(clusters.c.id).limit(limit))
    return tuple((row.id, ClusterTask(row.task)) for row in rows)


def hold_stranded(tx: Tx, cluster_id: str, task: ClusterTask) -> bool:
    """Tell whether the cluster still is stranded in that task, and keep others from changing it until `tx` ends."""
    same = (clusters.c.id == cluster_id, clusters.c.task == task, *_STRANDED)
    return tx.execute(select(clusters.c.id).where(*same).with_for_update()).first() is not None


def _change(tx: Tx, cluster_id: str, fence: Fence | None, values: Mapping[str, object]) -> None:
    if fence is not None:
        operation_rows.check(tx, fence)
    if tx.execute(_CHANGE, {"wanted": cluster_id, "updated": utcnow(), **values}).rowcount == 0:
        raise _not_found(cluster_id)


def _after(tx: Tx, marker: str, project_id: str) -> sa.ColumnElement[bool]:
    found = select(clusters.c.created).where(clusters.c.id == marker, clusters.c.tenant_id == project_id)
    created: datetime | None = tx.execute(found).scalar_one_or_none()
    if created is None:
        raise errors.InvalidInput(f"The marker {marker[:40]} is not a cluster of this project.")
    return and_(clusters.c.created <= created, or_(clusters.c.created < created, clusters.c.id < marker))


def _with_members(tx: Tx, rows: Iterable[Any]) -> tuple[Cluster, ...]:
    versions = VersionRows()
    found = [_read(row, versions) for row in rows]
    members = _members(tx, [each.id for each in found])
    return tuple(replace(each, members=members.get(each.id, ())) for each in found)


def _members(tx: Tx, ids: Sequence[str]) -> Mapping[str, tuple[Member, ...]]:
    found: dict[str, tuple[Member, ...]] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        for row in tx.execute(_MEMBERS, {"ids": ids[start : start + IDS_AT_ONCE]}):
            member = Member(id=row.id, name=row.name, type=row.type or MEMBER, shard_id=row.shard_id)
            found[row.cluster_id] = (*found.get(row.cluster_id, ()), member)
    return found


def _not_found(cluster_id: str) -> errors.NotFound:
    return errors.NotFound(f"Cluster {cluster_id} was not found.")


def _read(row: Any, versions: VersionRows) -> Cluster:
    (
        cluster_id, name, project_id, task, created, updated, configuration_id, locality, properties, fault, deleted_at,
    ) = row[: len(_OWN)]  # fmt: skip
    return Cluster(
        id=cluster_id,
        name=name,
        project_id=project_id,
        task=ClusterTask(task),
        datastore_version=versions.read(row[len(_OWN) :]),
        created=created,
        updated=updated,
        configuration_id=configuration_id,
        locality=locality,
        extended_properties=json.loads(properties) if properties else {},
        fault=fault,
        deleted_at=deleted_at,
    )
