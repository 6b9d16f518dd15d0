"""Rows of operations: accepted once, run by one owner at a time, never lost."""

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, Select, and_, bindparam, case, delete, or_, select, union_all, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.operations import UNFINISHED, Fence, NewOperation, Operation, OperationState
from trove.core.pages import Page
from trove.store.session import Tx
from trove.store.tables import operations

STEP_CHARACTERS = 255
LEASE_S = 30.0

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A lease that ran out long ago."""

_OPEN = sorted(UNFINISHED)
_PLAIN = [column for column in operations.columns if column.name != "secrets"]
_IS_OPEN = operations.c.state.in_(_OPEN)
# Statements that each operation needs many times are made once: making one costs more than executing it.
_CHECK = select(operations.c.fence, operations.c.state).where(operations.c.id == bindparam("id")).with_for_update()
_GET = select(*_PLAIN).where(operations.c.id == bindparam("id"))
_WITH_SECRETS = select(operations).where(operations.c.id == bindparam("id"))
_SIGNS = select(operations.c.fence, operations.c.state, operations.c.cancel_requested).where(operations.c.id == bindparam("id"))


def _oldest(states: Iterable[str], columns: Iterable[Column[Any]], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return a statement for the `most` oldest operations in some states.

    Of each state no more are read than wanted, in the order of an index: with one condition on all states a database would
    read and sort everything that waits.
    """
    in_order = (operations.c.created, operations.c.id)
    parts = [
        select(*columns).where(operations.c.state == state, *conditions).order_by(*in_order).limit(bindparam("most")).subquery()
        for state in states
    ]
    all_ = union_all(*(select(part) for part in parts)).subquery()
    return select(all_).order_by(all_.c.created, all_.c.id).limit(bindparam("most"))


_UNFINISHED = _oldest(_OPEN, _PLAIN)
_UNFINISHED_OF = (
    select(*_PLAIN)
    .where(_IS_OPEN, operations.c.resource_id == bindparam("resource"))
    .order_by(operations.c.created, operations.c.id)
    .limit(bindparam("most"))
)
_BEFORE = bindparam("before", type_=operations.c.finished.type)
# What ended before then was created before then: that is what the index knows.
_OLD = _oldest(
    sorted(set(OperationState) - UNFINISHED),
    (operations.c.id, operations.c.created),
    operations.c.created < _BEFORE,
    operations.c.finished < _BEFORE,
)
_OPEN_BEYOND: Select[Any] = (
    select(sa.literal_column("1")).where(_IS_OPEN).limit(1).offset(bindparam("passed_over", type_=sa.Integer))
)
_OPEN_OF = select(operations.c.id).where(_IS_OPEN, operations.c.resource_id == bindparam("resource")).limit(1)
_OLDEST_OF = _OPEN_OF.order_by(operations.c.created, operations.c.id)
_NEWEST_OF = _OPEN_OF.order_by(operations.c.created.desc(), operations.c.id.desc())
_CLAIM = (
    update(operations)
    .where(operations.c.id == bindparam("wanted"), _IS_OPEN)
    .values(
        fence=operations.c.fence + 1,
        attempts=operations.c.attempts + 1,
        state=case((operations.c.state == OperationState.PENDING, OperationState.RUNNING), else_=operations.c.state),
        started=sa.func.coalesce(operations.c.started, bindparam("now", type_=operations.c.started.type)),
        owner=bindparam("by"),
        updated=bindparam("now", type_=operations.c.updated.type),
        lease_until=bindparam("until"),
    )
)
_EXPIRED = bindparam("expired", type_=operations.c.lease_until.type)
_CLAIM_EXPIRED = _CLAIM.where(or_(operations.c.lease_until.is_(None), operations.c.lease_until < _EXPIRED))
# What is set is named by the parameters.
_ADVANCE = update(operations).where(operations.c.id == bindparam("owned"), operations.c.fence == bindparam("claim"), _IS_OPEN)


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
        "client_ip": new.client_ip,
    }
    tx.execute(sa.insert(operations), row)
    return get(tx, new.id)


def get(tx: Tx, operation_id: str, *, project_id: str | None = None) -> Operation:
    """Return an operation without its secrets. Raises `NotFound` when absent or not in `project_id` (None: any project)."""
    row = tx.execute(_GET, {"id": operation_id}).mappings().first()
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
    rows = (
        tx.execute(_UNFINISHED, {"most": limit})
        if resource_id is None
        else tx.execute(_UNFINISHED_OF, {"most": limit, "resource": resource_id})
    )
    return tuple(_read(row) for row in rows.mappings())


def oldest_unfinished(tx: Tx, resource_id: str) -> str | None:
    """Return the id of the operation of a resource that must end next; None when all have ended."""
    found: str | None = tx.execute(_OLDEST_OF, {"resource": resource_id}).scalar_one_or_none()
    return found


def are_unfinished(tx: Tx, count: int) -> bool:
    """Tell whether at least `count` (1 or more) operations, of all projects, have not ended."""
    return tx.execute(_OPEN_BEYOND, {"passed_over": count - 1}).first() is not None


def newest_unfinished(tx: Tx, resource_id: str) -> str | None:
    """Return the id of the operation of a resource that was accepted last and has not ended; None when all have."""
    found: str | None = tx.execute(_NEWEST_OF, {"resource": resource_id}).scalar_one_or_none()
    return found


def claim(
    tx: Tx, operation_id: str, *, owner: str, lease_s: float = LEASE_S, expired_before: datetime | None = None
) -> tuple[Operation, Fence]:
    """Take the operation over for `owner` and return it with its secrets; whoever held it before is fenced off.

    PENDING becomes RUNNING; RUNNING and REVERTING stay. The lease begins. With `expired_before` only an operation whose lease
    ran out before then is taken. Raises `NotFound`; `Conflict` when it has ended, or its lease has not run out.
    """
    now = utcnow()
    tx.claims.pop(operation_id, None)
    values = {"wanted": operation_id, "now": now, "by": owner, "until": now + timedelta(seconds=lease_s)}
    if expired_before is None:
        taken = tx.execute(_CLAIM, values).rowcount
    else:
        taken = tx.execute(_CLAIM_EXPIRED, {**values, "expired": expired_before}).rowcount
    row = tx.execute(_WITH_SECRETS, {"id": operation_id}).mappings().first()
    if row is None:
        raise _not_found(operation_id)
    if not taken:
        if row["state"] in _OPEN:
            raise errors.Conflict(f"Operation {operation_id} has a runner, {row['owner']}, until {row['lease_until']}.")
        raise errors.Conflict(f"Operation {operation_id} has ended: {row['state']}.")
    secrets = {} if row["secrets"] is None else json.loads(tx.vault.open(row["secrets"]))
    return _read(row, secrets), Fence(operation_id=operation_id, number=row["fence"])


def renew(tx: Tx, fences: Collection[Fence], until: datetime) -> set[str]:
    """Prolong the leases of what these claims still own, in one statement; return the ids of operations that they lost."""
    keys = sa.tuple_(operations.c.id, operations.c.fence)
    owned = and_(keys.in_([(fence.operation_id, fence.number) for fence in fences]), operations.c.state.in_(_OPEN))
    if tx.execute(update(operations).where(owned).values(lease_until=until)).rowcount == len(fences):
        return set()
    kept = set(tx.execute(select(operations.c.id).where(owned)).scalars())
    return {fence.operation_id for fence in fences} - kept


def let_go(tx: Tx, fence: Fence) -> None:
    """End the lease in good order, so that another may go on with the operation at once; the attempt does not count.

    Changes nothing when it is owned no more.
    """
    owned = (operations.c.id == fence.operation_id, operations.c.fence == fence.number, operations.c.lease_until != NEVER)
    values = {"lease_until": NEVER, "attempts": operations.c.attempts - 1}
    tx.execute(update(operations).where(*owned).values(**values))


def disown(tx: Tx, operation_id: str, fence: Fence | None = None) -> bool:
    """Fence off whoever owns the operation, and end the lease; return whether there was something to take away.

    With `fence` only that claim is fenced off. May run twice.
    """
    tx.claims.pop(operation_id, None)
    wanted = [operations.c.id == operation_id, operations.c.state.in_(_OPEN)]
    if fence is not None:
        wanted.append(operations.c.fence == fence.number)
    values = {"fence": operations.c.fence + 1, "lease_until": NEVER}
    return tx.execute(update(operations).where(*wanted).values(**values)).rowcount > 0


def leased_until(tx: Tx, resource_id: str, *, lease_s: float = LEASE_S) -> datetime | None:
    """Return when the last sign of a runner on a resource that has unfinished operations runs out, or ran out.

    That is the latest lease of its operations, also of ended ones: their runner goes on to the next. An operation that never
    began gives a runner a lease's time to begin it. None when nothing is unfinished.
    """
    open_ = operations.c.state.in_(_OPEN)
    begun = and_(open_, operations.c.state != OperationState.PENDING, operations.c.lease_until.is_(None))
    row = tx.execute(
        select(
            sa.func.max(operations.c.lease_until).label("leased"),
            sa.func.min(case((open_, operations.c.created))).label("waiting"),
            # Begun by a version that knew no leases.
            sa.func.max(case((begun, operations.c.updated))).label("updated"),
        ).where(operations.c.resource_id == resource_id)
    ).one()
    if row.waiting is None:
        return None
    begins = [each + timedelta(seconds=lease_s) for each in (row.waiting, row.updated) if each is not None]
    latest: datetime = max([*begins, *([row.leased] if row.leased else [])])
    return latest


def check(tx: Tx, fence: Fence) -> None:
    """Raise `Fenced` unless `fence` still owns its operation; until the transaction ends nobody else can claim it."""
    if tx.claims.get(fence.operation_id) == fence.number:
        return
    if tx.writable and tx.locks_reach_one_node:
        # A claim by another task manager, on another node, must meet this at COMMIT.
        _advance(tx, fence, {})
        _hold(tx, fence)
        return
    row = tx.execute(_CHECK, {"id": fence.operation_id}).first()
    if row is None or row.fence != fence.number or row.state not in UNFINISHED:
        raise _fenced(fence)
    _hold(tx, fence)


def must_stop(tx: Tx, fence: Fence) -> bool:
    """Tell whether the operation was asked to stop. Raises `Fenced` unless `fence` still owns it; locks nothing."""
    row = tx.execute(_SIGNS, {"id": fence.operation_id}).first()
    if row is None or row.fence != fence.number or row.state not in UNFINISHED:
        raise _fenced(fence)
    return bool(row.cancel_requested)


def progress(tx: Tx, fence: Fence, *, step: str, percent: int) -> None:
    """Record what is being done, and how much is done of 100. Raises `Fenced`."""
    _advance(tx, fence, {"step": step[:STEP_CHARACTERS], "percent": percent})


def reverting(tx: Tx, fence: Fence) -> None:
    """Record that the operation failed and is being undone. May run twice. Raises `Fenced`."""
    _advance(tx, fence, {"state": OperationState.REVERTING})


def forget_reserved(tx: Tx, fence: Fence) -> None:
    """Record that the operation holds no quota any more: it is settled in this transaction already. Raises `Fenced`."""
    _advance(tx, fence, {"reserved": None})


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
    ids = tx.execute(_OLD, {"before": before, "most": limit}).scalars().all()
    return tx.execute(delete(operations).where(operations.c.id.in_(ids))).rowcount if ids else 0


def _advance(tx: Tx, fence: Fence, values: dict[str, object]) -> None:
    owned = {"owned": fence.operation_id, "claim": fence.number}
    tx.claims.pop(fence.operation_id, None)
    if tx.execute(_ADVANCE, {**owned, "updated": utcnow(), **values}).rowcount == 0:
        raise _fenced(fence)


def _hold(tx: Tx, fence: Fence) -> None:
    """Remember that the row is locked in this transaction and owned by `fence`, so that it is not asked again."""
    if tx.writable:
        tx.claims[fence.operation_id] = fence.number


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
