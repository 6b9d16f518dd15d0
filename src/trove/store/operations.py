"""Rows of operations: accepted once, run by one owner at a time, never lost."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, or_, select, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.operations import UNFINISHED, Fence, NewOperation, Operation, OperationState
from trove.core.pages import Page
from trove.store.session import Tx
from trove.store.tables import operations

STEP_CHARACTERS = 255

_OPEN = sorted(UNFINISHED)
_PLAIN = [column for column in operations.columns if column.name != "secrets"]
_CHECK = select(operations.c.fence, operations.c.state).where(operations.c.id == bindparam("id")).with_for_update()


def insert(tx: Tx, new: NewOperation) -> Operation:
    """Store a new operation, PENDING, its secrets encrypted."""
    now = utcnow()
    row = {
        "id": new.id,
        "kind": new.kind,
        "resource_type": new.resource_type,
        "resource_id": new.resource_id,
        "project_id": new.project_id,
        "user_id": new.user_id,
        "request_id": new.request_id,
        "state": OperationState.PENDING,
        "step": "",
        "percent": 0,
        "attempts": 0,
        "fence": 0,
        "cancel_requested": False,
        "created": now,
        "updated": now,
        "deadline": new.deadline,
        "args": json.dumps(new.args),
        "secrets": tx.vault.seal(json.dumps(new.secrets).encode()) if new.secrets else None,
        "reserved": json.dumps(new.reserved) if new.reserved else None,
    }
    tx.execute(sa.insert(operations), row)
    return get(tx, new.id)


def get(tx: Tx, operation_id: str, *, project_id: str | None = None) -> Operation:
    """Return an operation without its secrets. Raises `NotFound` when absent or not in `project_id` (None: any project)."""
    row = tx.execute(select(*_PLAIN).where(operations.c.id == operation_id)).mappings().first()
    if row is None or (project_id is not None and row["project_id"] != project_id):
        raise _not_found(operation_id)
    return _read(row)


def page(  # noqa: PLR0913
    tx: Tx,
    *,
    project_id: str | None,
    resource_id: str | None = None,
    state: OperationState | None = None,
    kind: str | None = None,
    limit: int,
    marker: str | None = None,
) -> Page[Operation]:
    """Return operations, newest first, after the operation `marker`, without secrets. None does not filter.

    Raises `InvalidInput` for an unknown marker.
    """
    statement = select(*_PLAIN).order_by(operations.c.created.desc(), operations.c.id.desc()).limit(limit + 1)
    wanted = {"project_id": project_id, "resource_id": resource_id, "state": state, "kind": kind}
    for name, value in wanted.items():
        if value is not None:
            statement = statement.where(operations.c[name] == value)
    if marker is not None:
        statement = statement.where(_after(tx, marker, project_id))
    found = [_read(row) for row in tx.execute(statement).mappings()]
    items = tuple(found[:limit])
    return Page(items=items, next_marker=items[-1].id if items and len(found) > limit else None)


def unfinished(tx: Tx, *, limit: int, resource_id: str | None = None) -> tuple[Operation, ...]:
    """Return operations that have not ended, of one resource or of all, oldest first, without secrets."""
    statement: Select[Any] = select(*_PLAIN).where(operations.c.state.in_(_OPEN))
    if resource_id is not None:
        statement = statement.where(operations.c.resource_id == resource_id)
    statement = statement.order_by(operations.c.created, operations.c.id).limit(limit)
    return tuple(_read(row) for row in tx.execute(statement).mappings())


def claim(tx: Tx, operation_id: str, *, owner: str) -> tuple[Operation, Fence]:
    """Take the operation over for `owner` and return it with its secrets; whoever held it before is fenced off.

    PENDING becomes RUNNING; RUNNING and REVERTING stay. Raises `NotFound`; `Conflict` when it has ended.
    """
    now = utcnow()
    pending = operations.c.state == OperationState.PENDING
    statement = (
        update(operations)
        .where(operations.c.id == operation_id, operations.c.state.in_(_OPEN))
        .values(
            fence=operations.c.fence + 1,
            attempts=operations.c.attempts + 1,
            state=case((pending, OperationState.RUNNING), else_=operations.c.state),
            started=sa.func.coalesce(operations.c.started, now),
            owner=owner,
            updated=now,
        )
    )
    taken = tx.execute(statement).rowcount
    row = tx.execute(select(operations).where(operations.c.id == operation_id)).mappings().first()
    if row is None:
        raise _not_found(operation_id)
    if not taken:
        raise errors.Conflict(f"Operation {operation_id} has ended: {row['state']}.")
    secrets = {} if row["secrets"] is None else json.loads(tx.vault.open(row["secrets"]))
    return _read(row, secrets), Fence(operation_id=operation_id, number=row["fence"])


def check(tx: Tx, fence: Fence) -> None:
    """Raise `Fenced` unless `fence` still owns its operation; until the transaction ends nobody else can claim it."""
    row = tx.execute(_CHECK, {"id": fence.operation_id}).first()
    if row is None or row.fence != fence.number or row.state not in UNFINISHED:
        raise _fenced(fence)


def progress(tx: Tx, fence: Fence, *, step: str, percent: int) -> None:
    """Record what is being done, and how much is done of 100. Raises `Fenced`."""
    _advance(tx, fence, {"step": step[:STEP_CHARACTERS], "percent": percent})


def reverting(tx: Tx, fence: Fence) -> None:
    """Record that the operation failed and is being undone. May run twice. Raises `Fenced`."""
    _advance(tx, fence, {"state": OperationState.REVERTING})


def finish(tx: Tx, fence: Fence, state: OperationState, error: str | None = None) -> None:
    """End the operation as `state` and empty its secrets. May run twice with the same state. Raises `Fenced`."""
    now = utcnow()
    values: dict[str, object] = {"state": state, "error": error, "finished": now, "secrets": None}
    if state is OperationState.SUCCEEDED:
        values["percent"] = 100
    try:
        _advance(tx, fence, values)
    except errors.Fenced:
        row = tx.execute(select(operations.c.fence, operations.c.state).where(operations.c.id == fence.operation_id)).first()
        if row is None or (row.fence, row.state) != (fence.number, state):
            raise


def request_cancel(tx: Tx, operation_id: str) -> bool:
    """Ask the runner to stop; return False when the operation has ended already. May run twice. Raises `NotFound`."""
    statement = (
        update(operations)
        .where(operations.c.id == operation_id, operations.c.state.in_(_OPEN))
        .values(cancel_requested=True, updated=utcnow())
    )
    if tx.execute(statement).rowcount:
        return True
    get(tx, operation_id)
    return False


def cancel_requested(tx: Tx, operation_id: str) -> bool:
    """Tell whether the operation was asked to stop. Raises `NotFound`."""
    found = tx.execute(select(operations.c.cancel_requested).where(operations.c.id == operation_id)).scalar_one_or_none()
    if found is None:
        raise _not_found(operation_id)
    return bool(found)


def delete_finished(tx: Tx, before: datetime, limit: int) -> int:
    """Remove at most `limit` operations that ended before `before`, oldest first; return how many. May run twice."""
    old = select(operations.c.id).where(operations.c.state.not_in(_OPEN), operations.c.finished < before)
    ids = tx.execute(old.order_by(operations.c.finished).limit(limit)).scalars().all()
    return tx.execute(delete(operations).where(operations.c.id.in_(ids))).rowcount if ids else 0


def _advance(tx: Tx, fence: Fence, values: dict[str, object]) -> None:
    owned = (operations.c.id == fence.operation_id, operations.c.fence == fence.number, operations.c.state.in_(_OPEN))
    if tx.execute(update(operations).where(*owned).values(updated=utcnow(), **values)).rowcount == 0:
        raise _fenced(fence)


def _after(tx: Tx, marker: str, project_id: str | None) -> ColumnElement[bool]:
    row = tx.execute(select(operations.c.created, operations.c.project_id).where(operations.c.id == marker)).first()
    if row is None or (project_id is not None and row.project_id != project_id):
        raise errors.InvalidInput(f"The marker {marker} is not an operation of this project.")
    created = operations.c.created
    return and_(created <= row.created, or_(created < row.created, operations.c.id < marker))


def _not_found(operation_id: str) -> errors.NotFound:
    return errors.NotFound(f"Operation {operation_id} was not found.")


def _fenced(fence: Fence) -> errors.Fenced:
    return errors.Fenced(f"Operation {fence.operation_id} is no longer owned by claim {fence.number}.")


def _read(row: Any, secrets: dict[str, Any] | None = None) -> Operation:
    values = {column.name: row[column.name] for column in _PLAIN}
    values |= {
        "state": OperationState(values["state"]),
        "args": json.loads(values["args"]),
        "secrets": secrets or {},
        "reserved": json.loads(values["reserved"] or "{}"),
    }
    return Operation(**values)
