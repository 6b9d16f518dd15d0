"""Rows that nothing needs any more: the state of flows that ended, and what was reported of instances that are gone."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, delete, exists, false, select

from trove.core.operations import UNFINISHED
from trove.store.session import Tx
from trove.store.tables import guest_jobs, instances, operations, service_statuses, workflow_items


def remove_workflows(tx: Tx, *, limit: int) -> int:
    """Remove the state of at most `limit` flows whose operations have ended or are unknown; return how many. May run twice."""
    unfinished = exists().where(operations.c.id == workflow_items.c.flow_id, operations.c.state.in_(sorted(UNFINISHED)))
    return _remove(tx, workflow_items, "flow_id", ~unfinished, limit)


def remove_reports(tx: Tx, *, limit: int) -> int:
    """Remove what was reported of at most `limit` instances that are deleted or unknown; return how many. May run twice."""
    removed = 0
    for table in (guest_jobs, service_statuses):
        live = exists().where(instances.c.id == table.c.instance_id, instances.c.deleted == false())
        removed += _remove(tx, table, "instance_id", ~live, limit - removed)
    return removed


def remove_jobs(tx: Tx, *, before: datetime, limit: int) -> int:
    """Remove at most `limit` states of jobs last reported before `before` whose operations are not kept any more.

    Return how many. May run twice.
    """
    kept = exists().where(operations.c.id == guest_jobs.c.name)
    return _remove(tx, guest_jobs, "name", ~kept & (guest_jobs.c.sent < before), limit)


def _remove(tx: Tx, table: Table, column: str, condition: ColumnElement[bool], limit: int) -> int:
    """Remove the rows of the first `limit` values of a column for which the condition holds; return how many values."""
    if limit <= 0:
        return 0
    found = tx.execute(select(table.c[column]).where(condition).distinct().limit(limit)).scalars().all()
    if found:
        tx.execute(delete(table).where(table.c[column].in_(found)))
    return len(found)
