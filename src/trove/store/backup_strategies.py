"""Rows of backup strategies: the container of one instance's backups, or of a whole project's."""

import sqlalchemy as sa
from sqlalchemy import delete, select

from trove.core.backups import BackupStrategy
from trove.store.session import Tx
from trove.store.tables import backup_strategies as rows
from trove.store.upserts import upsert

_WHOLE_PROJECT = ""
"""Stands for no instance: a part of the key."""


def put(tx: Tx, strategy: BackupStrategy) -> None:
    """Store a strategy instead of the one that the project has for the same. May run twice."""
    row = {
        "tenant_id": strategy.project_id,
        "instance_id": strategy.instance_id or _WHOLE_PROJECT,
        "backend": strategy.backend,
        "swift_container": strategy.container,
    }
    tx.execute(upsert(tx.dialect, rows), row)


def all(tx: Tx, *, project_id: str | None, instance_id: str | None = None) -> tuple[BackupStrategy, ...]:  # noqa: A001
    """Return strategies, by project, its own before those of its instances. None does not filter."""
    statement = select(rows).order_by(rows.c.tenant_id, rows.c.instance_id)
    if project_id is not None:
        statement = statement.where(rows.c.tenant_id == project_id)
    if instance_id is not None:
        statement = statement.where(rows.c.instance_id == instance_id)
    return tuple(
        BackupStrategy(
            project_id=row.tenant_id,
            instance_id=row.instance_id or None,
            backend=row.backend,
            container=row.swift_container,
        )
        for row in tx.execute(statement)
    )


def container(tx: Tx, project_id: str, instance_id: str) -> str | None:
    """Return the container that the strategy for the instance names, else that for the whole project, else None."""
    ours = (rows.c.tenant_id == project_id, rows.c.instance_id.in_([instance_id, _WHOLE_PROJECT]))
    nearest_first = rows.c.instance_id.desc()
    found: str | None = tx.execute(select(rows.c.swift_container).where(*ours).order_by(nearest_first).limit(1)).scalar()
    return found


def remove(tx: Tx, project_id: str, instance_id: str | None) -> None:
    """Remove the strategy for an instance, or that for the whole project. A missing one is fine."""
    mine: sa.ColumnElement[bool] = rows.c.instance_id == (instance_id or _WHOLE_PROJECT)
    tx.execute(delete(rows).where(rows.c.tenant_id == project_id, mine))
