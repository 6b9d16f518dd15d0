"""Which instances have which modules. An empty MD5 says that nobody has confirmed yet what the instance has."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, delete, false, func, or_, select, true, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.instances import Instance
from trove.core.modules import Applied, Tally
from trove.core.pages import Page
from trove.core.status import Task
from trove.store import instances as instance_rows
from trove.store import modules as module_rows
from trove.store.datastores import VersionRows
from trove.store.session import Tx
from trove.store.tables import instance_modules, instances, modules
from trove.store.upserts import insert_missing

_UNCONFIRMED = ""

_LINK = (instance_modules.c.instance_id == bindparam("of_instance")) & (instance_modules.c.module_id == bindparam("of_module"))
_CONFIRM = update(instance_modules).where(_LINK).values(md5=bindparam("now_md5"), updated=bindparam("at"))
_TOUCH = update(instance_modules).where(_LINK).values(updated=bindparam("at"))
_FORGET = delete(instance_modules).where(
    _LINK, instance_modules.c.updated == bindparam("seen", type_=instance_modules.c.updated.type)
)


def intend(tx: Tx, instance_id: str, module_ids: Iterable[str]) -> None:
    """Note that an instance is to have modules, before its guest gets them: so none is there that nobody knows of.

    Those that it has keep what is noted of them, but for the time: a removal that began before forgets them no more.
    """
    now = utcnow()
    rows = [
        {"instance_id": instance_id, "module_id": each, "md5": _UNCONFIRMED, "created": now, "updated": now}
        for each in module_ids
    ]
    if rows:
        tx.execute(insert_missing(tx.dialect, instance_modules), rows)
        tx.execute(_TOUCH, [{"of_instance": instance_id, "of_module": row["module_id"], "at": now} for row in rows])


def confirm(tx: Tx, instance_id: str, module_id: str, md5: str | None) -> None:
    """Note which contents of a module an instance has now, None when it has them not. May run twice."""
    given = {"of_instance": instance_id, "of_module": module_id, "now_md5": md5 or _UNCONFIRMED, "at": utcnow()}
    tx.execute(_CONFIRM, given)


def forget(tx: Tx, instance_id: str, module_id: str, *, seen: datetime) -> None:
    """Note that an instance has a module no more, unless it was applied after `seen`, its time of change. May run twice."""
    tx.execute(_FORGET, {"of_instance": instance_id, "of_module": module_id, "seen": seen})


def of_instance(tx: Tx, instance_id: str, *, project_id: str | None) -> tuple[Applied, ...]:
    """Return the modules of an instance that a project sees (None: all), in the order in which they are applied."""
    statement = (
        select(
            *module_rows.COLUMNS,
            instance_modules.c.md5.label("has_md5"),
            instance_modules.c.created.label("has_since"),
            instance_modules.c.updated.label("has_updated"),
        )
        .select_from(module_rows.WITH_NAMES.join(instance_modules, instance_modules.c.module_id == modules.c.id))
        .where(instance_modules.c.instance_id == instance_id, modules.c.deleted == false(), module_rows.seen_by(project_id))
    )
    found = [
        Applied(module=module_rows.read(row), md5=row.has_md5 or None, created=row.has_since, updated=row.has_updated)
        for row in tx.execute(statement)
    ]
    return tuple(sorted(found, key=lambda each: each.module.turn))


def one(tx: Tx, instance_id: str, module_id: str, *, project_id: str | None) -> Applied:
    """Return a module of an instance that a project sees. Raises `NotFound`."""
    for each in of_instance(tx, instance_id, project_id=project_id):
        if each.module.id == module_id:
            return each
    raise errors.NotFound(f"Module {module_id} was not found on instance {instance_id}.")


def instances_with(
    tx: Tx, module_id: str, *, project_id: str | None, include_clustered: bool, limit: int, marker: str | None = None
) -> Page[Instance]:
    """Return the live instances of a project (None: of all) that have a module, by id after the id `marker`."""
    having = select(instance_modules.c.instance_id).where(instance_modules.c.module_id == module_id)
    statement = (
        instance_rows.EVERY.where(instances.c.id.in_(having), *_wanted(project_id, include_clustered))
        .order_by(instances.c.id)
        .limit(limit + 1)
    )
    if marker is not None:
        statement = statement.where(instances.c.id > marker)
    versions = VersionRows()
    found = [instance_rows.read(row, versions) for row in tx.execute(statement)]
    return Page(items=tuple(found[:limit]), next_marker=found[limit - 1].id if len(found) > limit else None)


def tallies(tx: Tx, module_id: str, *, project_id: str | None, include_clustered: bool) -> tuple[Tally, ...]:
    """Return, for each contents that live instances have of a module, how many have it and since when."""
    link = instance_modules.c
    statement = (
        select(link.md5, func.count(), func.min(link.updated), func.max(link.updated))
        .select_from(instance_modules.join(instances, instances.c.id == link.instance_id))
        .where(link.module_id == module_id, *_wanted(project_id, include_clustered))
        .group_by(link.md5)
        .order_by(link.md5)
    )
    return tuple(
        Tally(md5=md5 or None, instances=count, first_updated=first, last_updated=last)
        for md5, count, first, last in tx.execute(statement)
    )


def due(
    tx: Tx, module_id: str, *, project_id: str | None, include_clustered: bool, md5: str | None, touched_before: datetime | None
) -> tuple[str, ...]:
    """Return the ids of live instances that are to get a module's present contents, in order.

    Those that have others; with `touched_before` also those that have the same since before that time. `md5`: only those that
    have these. Instances that are being built get them anyway.
    """
    link = instance_modules.c
    old = link.md5 != modules.c.md5
    statement = (
        select(link.instance_id)
        .select_from(
            instance_modules.join(instances, instances.c.id == link.instance_id).join(modules, modules.c.id == link.module_id)
        )
        .where(
            link.module_id == module_id,
            instances.c.task.not_in([Task.BUILDING, Task.DELETING]),
            old if touched_before is None else or_(old, link.updated < touched_before),
            true() if md5 is None else link.md5 == md5,
            *_wanted(project_id, include_clustered),
        )
        .order_by(link.instance_id)
    )
    return tuple(tx.execute(statement).scalars())


def _wanted(project_id: str | None, include_clustered: bool) -> tuple[ColumnElement[bool], ...]:
    return (
        instances.c.deleted == false(),
        true() if project_id is None else instances.c.tenant_id == project_id,
        true() if include_clustered else instances.c.cluster_id.is_(None),
    )
