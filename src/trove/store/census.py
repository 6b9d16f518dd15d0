"""What the reconciler asks the state database, and its repairs: each writes only if the row still is what was seen."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import delete, false, or_, select, update

from trove.core.census import Finder, Silence, Standing, Stranded, Unowned
from trove.core.clock import utcnow
from trove.core.operations import UNFINISHED
from trove.core.replication import ReplicaState
from trove.core.status import IDLE_TASKS, ServerStatus, Task
from trove.core.transitions import SET_TASKS
from trove.store import instances as instance_rows
from trove.store.session import Tx
from trove.store.tables import instance_faults, instances, operations, service_statuses

IDS_AT_ONCE = 500

_IDLE = sorted(IDLE_TASKS)
_SETTLED = sorted(IDLE_TASKS | {Task.FAILED, Task.DELETED})
_BUSY_RESOURCES = select(operations.c.resource_id).where(operations.c.state.in_(sorted(UNFINISHED)))
# Not correlated: few operations are unfinished, and the database looks them up once for all instances.
_NOTHING_UNFINISHED = instances.c.id.not_in(_BUSY_RESOURCES) & or_(
    instances.c.cluster_id.is_(None), instances.c.cluster_id.not_in(_BUSY_RESOURCES)
)
_AT_REST = (
    instances.c.deleted == false(),
    instances.c.task.in_(_IDLE),
    instances.c.compute_instance_id.is_not(None),
    _NOTHING_UNFINISHED,
)
# An operation on one member of a replicated set holds them all: a set is called by its source, also in the source's own row.
_SET = sa.func.coalesce(instances.c.slave_of_id, instances.c.id)
_BUSY_MEMBER = instances.alias("busy_member")
_BUSY_SETS = select(sa.func.coalesce(_BUSY_MEMBER.c.slave_of_id, _BUSY_MEMBER.c.id)).where(
    _BUSY_MEMBER.c.id.in_(_BUSY_RESOURCES)
)
_STRANDED = (
    instances.c.deleted == false(),
    instances.c.task.not_in(_SETTLED),
    _NOTHING_UNFINISHED,
    or_(instances.c.task.not_in(sorted(SET_TASKS)), _SET.not_in(_BUSY_SETS)),
)
_STANDING = (
    select(
        instances.c.id,
        instances.c.task,
        instances.c.server_status,
        instances.c.updated,
        instance_faults.c.message,
        instance_faults.c.details,
    )
    .select_from(instances.outerjoin(instance_faults, instance_faults.c.instance_id == instances.c.id))
    .where(*_AT_REST)
)


def page(tx: Tx, *, after: str, limit: int) -> tuple[Standing, ...]:
    """Return instances at rest that have a server, by id, after the id `after` ("" begins)."""
    statement = _STANDING.where(instances.c.id > after).order_by(instances.c.id).limit(limit)
    return tuple(map(_standing, tx.execute(statement)))


def standings(tx: Tx, ids: Collection[str]) -> tuple[Standing, ...]:
    """Return those of these instances that are at rest and have a server."""
    return tuple(_standing(row) for chunk in _chunks(ids) for row in tx.execute(_STANDING.where(instances.c.id.in_(chunk))))


def faulted(tx: Tx, finder: Finder, *, limit: int) -> tuple[Standing, ...]:
    """Return instances at rest whose fault the reconciler found, the oldest faults first."""
    statement = _STANDING.where(_found_by(finder)).order_by(instance_faults.c.created, instances.c.id).limit(limit)
    return tuple(map(_standing, tx.execute(statement)))


def with_server(tx: Tx) -> frozenset[str]:
    """Return the ids of all instances at rest that have a server."""
    return frozenset(tx.execute(select(instances.c.id).where(*_AT_REST)).scalars())


def deleted_among(tx: Tx, ids: Collection[str]) -> frozenset[str]:
    """Return those of these ids that are instances which their tenants had deleted."""
    query = select(instances.c.id).where(instances.c.deleted == sa.true())
    return frozenset(found for chunk in _chunks(ids) for found in tx.execute(query.where(instances.c.id.in_(chunk))).scalars())


def live_among(tx: Tx, ids: Collection[str]) -> frozenset[str]:
    """Return those of these ids that are live instances."""
    query = select(instances.c.id).where(instances.c.deleted == false())
    return frozenset(found for chunk in _chunks(ids) for found in tx.execute(query.where(instances.c.id.in_(chunk))).scalars())


def follow_server(tx: Tx, seen: Standing, status: ServerStatus, fault: str | None) -> bool:
    """Set the server's status as the cloud tells it, unless the row has changed since it was seen; return whether it was set.

    `fault` becomes the instance's fault, instead of any other; None clears the fault that was found on the server, if any.
    """
    unchanged = (
        instances.c.id == seen.instance_id,
        instances.c.task == seen.task,
        instances.c.updated == seen.updated,
        *_AT_REST,
    )
    if tx.execute(update(instances).where(*unchanged).values(server_status=status, updated=utcnow())).rowcount == 0:
        return False
    if fault is not None:
        instance_rows.record_fault(tx, seen.instance_id, fault, f"{Finder.SERVER}: {fault}")
    else:
        clear_fault(tx, seen.instance_id, Finder.SERVER)
    return True


def clear_fault(tx: Tx, instance_id: str, finder: Finder) -> bool:
    """Forget the fault of an instance if this finder found it; return whether it did. May run twice."""
    mine = (instance_faults.c.instance_id == instance_id, _found_by(finder))
    return tx.execute(delete(instance_faults).where(*mine)).rowcount > 0


def last_heard(tx: Tx) -> datetime | None:
    """Return when any guest was heard last; None when none ever was."""
    return tx.execute(select(sa.func.max(service_statuses.c.heard_at))).scalar_one_or_none()


def silent(tx: Tx, *, before: datetime, limit: int) -> tuple[Silence, ...]:
    """Return instances at rest with an ACTIVE server and without a fault whose guest was last heard before `before`."""
    statement = (
        select(instances.c.id, service_statuses.c.heard_at)
        .select_from(
            service_statuses.join(instances, instances.c.id == service_statuses.c.instance_id).outerjoin(
                instance_faults, instance_faults.c.instance_id == instances.c.id
            )
        )
        .where(
            service_statuses.c.heard_at < before,
            instances.c.server_status == ServerStatus.ACTIVE,
            instance_faults.c.instance_id.is_(None),
            *_AT_REST,
        )
        .order_by(service_statuses.c.heard_at)
        .limit(limit)
    )
    return tuple(Silence(instance_id=row.id, heard_at=row.heard_at) for row in tx.execute(statement))


def astray(tx: Tx, *, limit: int) -> tuple[tuple[str, ReplicaState], ...]:
    """Return replicas at rest, by id, whose guests said last that they do not follow, with what they said."""
    statement = (
        select(instances.c.id, service_statuses.c.replica_state)
        .select_from(service_statuses.join(instances, instances.c.id == service_statuses.c.instance_id))
        .where(
            instances.c.slave_of_id.is_not(None),
            service_statuses.c.replica_state.like('{"following": false,%'),  # as `store.guests` writes it
            *_AT_REST,
        )
        .order_by(instances.c.id)
        .limit(limit)
    )
    return tuple((row.id, ReplicaState.from_json(json.loads(row.replica_state))) for row in tx.execute(statement))


def record_silence(tx: Tx, seen: Silence, fault: str) -> bool:
    """Store that nothing is heard of a guest, unless it was heard since, or the instance has changed; return whether it was."""
    heard = select(service_statuses.c.heard_at).where(service_statuses.c.instance_id == seen.instance_id).with_for_update()
    if tx.execute(heard).scalar_one_or_none() != seen.heard_at or not standings(tx, [seen.instance_id]):
        return False
    if tx.execute(select(instance_faults.c.instance_id).where(instance_faults.c.instance_id == seen.instance_id)).first():
        return False
    instance_rows.record_fault(tx, seen.instance_id, fault, f"{Finder.GUEST}: {fault}")
    return True


def heard_again(tx: Tx, *, since: datetime, limit: int) -> tuple[str, ...]:
    """Return the ids of instances with a fault for silence whose guests were heard at `since` or later."""
    statement = (
        select(instance_faults.c.instance_id)
        .join(service_statuses, service_statuses.c.instance_id == instance_faults.c.instance_id)
        .where(_found_by(Finder.GUEST), service_statuses.c.heard_at >= since)
        .limit(limit)
    )
    return tuple(tx.execute(statement).scalars())


def stranded(tx: Tx, *, limit: int) -> tuple[Stranded, ...]:
    """Return live instances that are busy, although no operation on them is unfinished."""
    statement = select(instances.c.id, instances.c.task, instances.c.task_start_time).where(*_STRANDED).limit(limit)
    return tuple(Stranded(instance_id=row.id, task=Task(row.task), since=row.task_start_time) for row in tx.execute(statement))


def hold_stranded(tx: Tx, seen: Stranded) -> bool:
    """Tell whether the instance still is stranded in the same task, and keep others from changing it until `tx` ends."""
    same = (instances.c.id == seen.instance_id, instances.c.task == seen.task, *_STRANDED)
    return tx.execute(select(instances.c.id).where(*same).with_for_update()).first() is not None


def unowned(tx: Tx, *, before: datetime, limit: int) -> tuple[Unowned, ...]:
    """Return unfinished operations whose lease ran out before `before`, or that were not touched since then and have none."""
    since = sa.func.coalesce(operations.c.lease_until, operations.c.updated, type_=operations.c.updated.type)
    statement = (
        select(operations.c.id, operations.c.kind, operations.c.resource_id, since.label("since"))
        .where(operations.c.state.in_(sorted(UNFINISHED)), since < before)
        .order_by(operations.c.created, operations.c.id)
        .limit(limit)
    )
    return tuple(
        Unowned(operation_id=row.id, kind=row.kind, resource_id=row.resource_id, since=row.since)
        for row in tx.execute(statement)
    )


def _found_by(finder: Finder) -> sa.ColumnElement[bool]:
    details: sa.ColumnElement[Any] = instance_faults.c.details
    return details.startswith(finder.value, autoescape=True)


def _standing(row: Any) -> Standing:
    return Standing(
        instance_id=row.id,
        task=Task(row.task),
        server_status=None if row.server_status is None else ServerStatus(row.server_status),
        updated=row.updated,
        fault_details=None if row.message is None else row.details or "",
    )


def _chunks(ids: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[start : start + IDS_AT_ONCE] for start in range(0, len(ordered), IDS_AT_ONCE))
