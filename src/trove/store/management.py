"""What administrators look through: the instances of all projects, deleted ones too."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, and_, false, func, or_, select

from trove.core import errors
from trove.core.instances import Instance
from trove.core.pages import Page
from trove.store.datastores import VersionRows
from trove.store.instances import EVERY, read
from trove.store.session import Tx
from trove.store.tables import instances

IDS_AT_ONCE = 500

_NEWEST_FIRST = (instances.c.created.desc(), instances.c.id.desc())
_EVERY = EVERY.add_columns(instances.c.deleted_at)


def page(
    tx: Tx,
    *,
    limit: int,
    marker: str | None = None,
    deleted: bool | None = None,
    include_clustered: bool = False,
    project_id: str | None = None,
) -> Page[Instance]:
    """Return instances, newest first. `deleted` and `project_id` narrow the list; None: both kinds, all projects.

    The marker is the last instance of the page before, which may have been deleted since, or the number of instances to skip.
    Raises `InvalidInput` for another.
    """
    conditions = [] if deleted is None else [instances.c.deleted == deleted]
    if not include_clustered:
        conditions.append(instances.c.cluster_id.is_(None))
    if project_id is not None:
        conditions.append(instances.c.tenant_id == project_id)
    wanted = select(instances.c.id).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit + 1)
    if marker is not None:
        wanted = wanted.offset(int(marker)) if marker.isdecimal() and len(marker) < 10 else _after(tx, wanted, marker)
    # The ids are found first, so that what belongs to the instances is read for one page only.
    rows = tx.execute(_EVERY.where(instances.c.id.in_(select(wanted.subquery().c.id))).order_by(*_NEWEST_FIRST)).all()
    versions = VersionRows()
    items = tuple(_read(row, versions) for row in rows[:limit])
    return Page(items=items, next_marker=items[-1].id if items and len(rows) > limit else None)


def get(tx: Tx, instance_id: str, *, deleted: bool | None = None) -> Instance:
    """Return an instance of any project; `deleted`: only a deleted one, or only a live one. Raises `NotFound`."""
    row = tx.execute(_EVERY.where(instances.c.id == instance_id)).first()
    if row is not None:
        found = _read(row, VersionRows())
        if deleted is None or deleted == (found.deleted_at is not None):
            return found
    raise errors.NotFound(f"Instance {instance_id} was not found.")


def some(tx: Tx, ids: Collection[str]) -> tuple[Instance, ...]:
    """Return those of these instances that are live, by id."""
    versions, found = VersionRows(), []
    ordered = sorted(ids)
    for start in range(0, len(ordered), IDS_AT_ONCE):
        chunk = ordered[start : start + IDS_AT_ONCE]
        live = _EVERY.where(instances.c.id.in_(chunk), instances.c.deleted == false()).order_by(instances.c.id)
        found += [_read(row, versions) for row in tx.execute(live)]
    return tuple(found)


def accounts(tx: Tx) -> Mapping[str, int]:
    """Return how many live instances each project has that has any."""
    live = select(instances.c.tenant_id, func.count()).where(instances.c.deleted == false())
    return {row[0]: row[1] for row in tx.execute(live.group_by(instances.c.tenant_id).order_by(instances.c.tenant_id))}


def instance_ids(tx: Tx, project_id: str) -> tuple[str, ...]:
    """Return the ids of the live instances of a project."""
    live = select(instances.c.id).where(instances.c.tenant_id == project_id, instances.c.deleted == false())
    return tuple(tx.execute(live.order_by(instances.c.id)).scalars())


def _after(tx: Tx, wanted: Select[Any], marker: str) -> Select[Any]:
    created = tx.execute(select(instances.c.created).where(instances.c.id == marker)).scalar_one_or_none()
    if created is None:
        raise errors.InvalidInput(f"The marker {marker[:40]!r} is neither an instance nor a number.")
    earlier = and_(instances.c.created == created, instances.c.id < marker)
    return wanted.where(or_(instances.c.created < created, earlier))


def _read(row: Any, versions: VersionRows) -> Instance:
    return replace(read(row[:-1], versions), deleted_at=row[-1])
