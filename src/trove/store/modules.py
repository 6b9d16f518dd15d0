"""Modules, and which instances have them. Contents are sealed."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy import false, func, or_, select, true, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.datastores import DatastoreVersion
from trove.core.ids import new_id
from trove.core.modules import Module, NewModule, digest
from trove.core.pages import Page
from trove.store.session import Tx
from trove.store.tables import datastore_versions, datastores, instance_modules, instances, modules

COLUMNS = (
    modules.c.id,
    modules.c.name,
    modules.c.type,
    modules.c.description,
    modules.c.tenant_id.label("project_id"),
    modules.c.datastore_id,
    datastores.c.name.label("datastore_name"),
    modules.c.datastore_version_id.label("version_id"),
    datastore_versions.c.name.label("version_name"),
    modules.c.auto_apply,
    modules.c.visible,
    modules.c.live_update,
    modules.c.priority_apply,
    modules.c.apply_order,
    modules.c.is_admin,
    modules.c.md5,
    modules.c.created,
    modules.c.updated,
)
"""The fields of `Module`, in a row of whatever is joined with `WITH_NAMES`."""

WITH_NAMES = modules.outerjoin(datastores, datastores.c.id == modules.c.datastore_id).outerjoin(
    datastore_versions, datastore_versions.c.id == modules.c.datastore_version_id
)
_LIVE = select(*COLUMNS).select_from(WITH_NAMES).where(modules.c.deleted == false())


def seen_by(project_id: str | None) -> sa.ColumnElement[bool]:
    """Return the condition for modules that a project sees: visible ones that are its own or for all. None: all modules."""
    if project_id is None:
        return true()
    return sa.and_(modules.c.visible == true(), or_(modules.c.tenant_id == project_id, modules.c.tenant_id.is_(None)))


def insert(tx: Tx, new: NewModule, contents: bytes) -> Module:
    """Store a module. Raises `InvalidInput` when there is one like it."""
    _need_unique(tx, new, None)
    now, module_id = utcnow(), new_id()
    row = {
        **_row(new),
        "id": module_id,
        "created": now,
        "updated": now,
        "contents": tx.vault.seal(contents),
        "md5": digest(contents),
        "deleted": False,
    }
    tx.execute(sa.insert(modules), row)
    return get(tx, module_id)


def get(tx: Tx, module_id: str, *, project_id: str | None = None) -> Module:
    """Return a module that `project_id` sees (None: any). Raises `NotFound`."""
    row = tx.execute(_LIVE.where(modules.c.id == module_id, seen_by(project_id))).first()
    if row is None:
        raise errors.NotFound(f"Module {module_id} was not found.")
    return read(row)


def hold(tx: Tx, module_id: str, *, project_id: str | None = None) -> Module:
    """Return a module as `get` does, and keep others from changing it, and what it is applied to, until `tx` ends."""
    tx.execute(select(modules.c.id).where(modules.c.id == module_id).with_for_update()).first()
    return get(tx, module_id, project_id=project_id)


def contents(tx: Tx, module_id: str) -> bytes:
    """Return the contents of a module. Raises `NotFound`."""
    sealed = tx.execute(
        select(modules.c.contents).where(modules.c.id == module_id, modules.c.deleted == false())
    ).scalar_one_or_none()
    if sealed is None:
        raise errors.NotFound(f"Module {module_id} was not found.")
    return tx.vault.open(sealed)


def page(
    tx: Tx,
    *,
    project_id: str | None,
    limit: int,
    marker: str | None = None,
    only_for: tuple[str | None, ...] = (),
) -> Page[Module]:
    """Return modules that a project sees (None: all), by id after the id `marker`.

    `only_for` holds the id of a datastore whose modules are wanted, or None for those of all datastores; empty: any module.
    """
    statement = _LIVE.where(seen_by(project_id)).order_by(modules.c.id).limit(limit + 1)
    for datastore_id in only_for:
        statement = statement.where(
            modules.c.datastore_id.is_(None) if datastore_id is None else modules.c.datastore_id == datastore_id
        )
    if marker is not None:
        statement = statement.where(modules.c.id > marker)
    found = [read(row) for row in tx.execute(statement)]
    return Page(items=tuple(found[:limit]), next_marker=found[limit - 1].id if len(found) > limit else None)


def automatic(tx: Tx, *, project_id: str, version: DatastoreVersion) -> tuple[Module, ...]:
    """Return the modules that every new instance of a project with such a version gets by itself, hidden ones too."""
    statement = _LIVE.where(
        modules.c.auto_apply == true(),
        or_(modules.c.tenant_id == project_id, modules.c.tenant_id.is_(None)),
        or_(modules.c.datastore_id.is_(None), modules.c.datastore_id == version.datastore_id),
        or_(modules.c.datastore_version_id.is_(None), modules.c.datastore_version_id == version.id),
    )
    return tuple(read(row) for row in tx.execute(statement.order_by(modules.c.id)))


def change(tx: Tx, module_id: str, new: NewModule, contents: bytes | None) -> Module:
    """Replace what a module is, and its contents unless None. Raises `InvalidInput` when there is one like it."""
    _need_unique(tx, new, module_id)
    values: dict[str, Any] = {**_row(new), "updated": utcnow()}
    if contents is not None:
        values |= {"contents": tx.vault.seal(contents), "md5": digest(contents)}
    tx.execute(update(modules).where(modules.c.id == module_id, modules.c.deleted == false()).values(**values))
    return get(tx, module_id)


def mark_deleted(tx: Tx, module_id: str) -> None:
    """Hide a module for good; its contents go."""
    now = utcnow()
    gone = {"deleted": True, "deleted_at": now, "updated": now, "contents": b""}
    tx.execute(update(modules).where(modules.c.id == module_id, modules.c.deleted == false()).values(**gone))


def count_instances(tx: Tx, module_ids: Collection[str]) -> dict[str, int]:
    """Return how many instances have each of these modules, those that are still to get it with them."""
    statement = (
        select(instance_modules.c.module_id, func.count())
        .select_from(instance_modules.join(instances, instances.c.id == instance_modules.c.instance_id))
        .where(instance_modules.c.module_id.in_(list(module_ids)), instances.c.deleted == false())
        .group_by(instance_modules.c.module_id)
    )
    return {module_id: int(count) for module_id, count in tx.execute(statement)}


def read(row: Any) -> Module:
    """Return the module of a row that has `COLUMNS`."""
    return Module(**{column.key: getattr(row, column.key) for column in COLUMNS})


def _row(new: NewModule) -> dict[str, Any]:
    row = asdict(new)
    row["tenant_id"], row["datastore_version_id"] = row.pop("project_id"), row.pop("version_id")
    return row


def _need_unique(tx: Tx, new: NewModule, but: str | None) -> None:
    """Raise `InvalidInput` when another module is the same to those who look for it.

    No constraint can say so, for NULL is never the same as NULL. One at a time makes and changes modules instead.
    """
    tx.execute(select(datastores.c.id).order_by(datastores.c.id).with_for_update()).all()
    statement = select(modules.c.id).where(
        modules.c.deleted == false(),
        modules.c.name == new.name,
        modules.c.type == new.type,
        modules.c.tenant_id.is_not_distinct_from(new.project_id),
        modules.c.datastore_id.is_not_distinct_from(new.datastore_id),
        modules.c.datastore_version_id.is_not_distinct_from(new.version_id),
        modules.c.id != (but or ""),
    )
    if (found := tx.execute(statement).scalar()) is not None:
        raise errors.InvalidInput(
            f"name: module {found} has the same name and type, and is for the same project, datastore and version."
        )
