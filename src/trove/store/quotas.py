"""Quotas: how much a project may use, counted without races.

An accepted request reserves; the end of its operation turns the reservation into use, or cancels it; a deletion releases use.
Each happens in the transaction that changes the rows it counts, under locks on the project's counts taken in one order.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy import false, func, select

from trove.core import errors
from trove.core.operations import UNFINISHED
from trove.core.quotas import UNLIMITED, Drift, Quota, Resource
from trove.store.session import Tx
from trove.store.tables import backups, clusters, instances, operations, quota_usages, quotas
from trove.store.upserts import insert_missing, upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usage:
    in_use: int = 0
    reserved: int = 0


def limits_of(tx: Tx, project_id: str, defaults: Mapping[Resource, int]) -> tuple[Quota, ...]:
    """Return use and limit of every resource; `defaults` fills in where the project has no limit of its own."""
    limits = _limits(tx, project_id, defaults)
    usage = dict.fromkeys(Resource, _Usage()) | _read(tx, _counts(project_id, Resource))
    return tuple(
        Quota(resource=each, in_use=usage[each].in_use, reserved=usage[each].reserved, limit=limits[each]) for each in Resource
    )


def reserve(tx: Tx, project_id: str, deltas: Mapping[Resource, int], defaults: Mapping[Resource, int]) -> None:
    """Reserve what `deltas` add; a negative one needs no room and changes nothing before it is committed.

    Other transactions that reserve for the project wait until this one ends. Raises `QuotaExceeded`, and changes nothing, when
    a positive delta does not fit its limit beside what is in use and reserved. Not repeatable: reserves again.
    """
    limits = _limits(tx, project_id, defaults)
    usage = _lock(tx, project_id, deltas)
    exceeded = [
        f"{resource}: requested {delta}, in use {used.in_use}, reserved {used.reserved}, limit {limits[resource]}"
        for resource, delta in sorted(deltas.items())
        if delta > 0
        and limits[resource] != UNLIMITED
        and (used := usage[resource]).in_use + used.reserved + delta > limits[resource]
    ]
    if exceeded:
        raise errors.QuotaExceeded(f"Quota exceeded for {'; '.join(exceeded)}.")
    held = {each: replace(usage[each], reserved=usage[each].reserved + max(0, delta)) for each, delta in deltas.items()}
    _store(tx, project_id, held)


def commit(tx: Tx, project_id: str, deltas: Mapping[Resource, int]) -> None:
    """Count what was reserved as `deltas` as used, negative ones included. Not repeatable: counts again."""
    usage = _lock(tx, project_id, deltas)
    settled = {
        each: _Usage(in_use=usage[each].in_use + delta, reserved=usage[each].reserved - max(0, delta))
        for each, delta in deltas.items()
    }
    _store(tx, project_id, settled)


def cancel(tx: Tx, project_id: str, deltas: Mapping[Resource, int]) -> None:
    """Give back what was reserved as `deltas`. Not repeatable: gives back again."""
    usage = _lock(tx, project_id, deltas)
    freed = {each: replace(usage[each], reserved=usage[each].reserved - max(0, delta)) for each, delta in deltas.items()}
    _store(tx, project_id, freed)


def release(tx: Tx, project_id: str, amounts: Mapping[Resource, int]) -> None:
    """Count `amounts` (positive) as used no more; use never goes below 0. Not repeatable: counts again."""
    usage = _lock(tx, project_id, amounts)
    _store(tx, project_id, {each: replace(usage[each], in_use=usage[each].in_use - amount) for each, amount in amounts.items()})


def set_limit(tx: Tx, project_id: str, resource: Resource, limit: int) -> None:
    """Give the project its own limit; -1 is unlimited. May run twice. Raises `InvalidInput` below -1."""
    if limit < UNLIMITED:
        raise errors.InvalidInput(f"The limit of {resource} must be -1 (unlimited) or more, not {limit}.")
    tx.execute(upsert(tx.dialect, quotas), {"tenant_id": project_id, "resource": resource, "hard_limit": limit})


def recount(tx: Tx, project_id: str, *, repair: bool = True) -> tuple[Drift, ...]:
    """Compare the project's counts with its rows, set right what differs unless told not to, and return what differed.

    Nobody else changes the counts until `tx` ends; it must be one that may write. May run twice.
    """
    usage = _lock(tx, project_id, Resource)
    true = _true_usage(tx, project_id)
    if repair:
        _store(tx, project_id, {each: true[each] for each in Resource if true[each] != usage[each]})
    return tuple(
        Drift(
            project_id=project_id,
            resource=each,
            in_use=usage[each].in_use,
            reserved=usage[each].reserved,
            true_in_use=true[each].in_use,
            true_reserved=true[each].reserved,
        )
        for each in Resource
        if true[each] != usage[each]
    )


def projects(tx: Tx, *, limit: int, after: str = "") -> tuple[str, ...]:
    """Return the ids of projects with counts, live instances or backups, in their order, beginning behind `after`."""
    counted = select(quota_usages.c.tenant_id.label("project")).where(quota_usages.c.tenant_id > after)
    owning = [
        select(rows.c.tenant_id).where(rows.c.tenant_id > after, rows.c.deleted == false()) for rows in (instances, backups)
    ]
    every = counted.union(*owning).subquery()
    return tuple(tx.execute(select(every.c.project).order_by(every.c.project).limit(limit)).scalars())


def _true_usage(tx: Tx, project_id: str) -> dict[Resource, _Usage]:
    live = (instances.c.tenant_id == project_id, instances.c.deleted == false())
    totals = tx.execute(
        select(func.count(), func.sum(instances.c.ram_mib), func.sum(instances.c.volume_size)).where(*live)
    ).one()
    in_use = dict.fromkeys(Resource, 0)
    for resource, total in zip((Resource.INSTANCES, Resource.RAM, Resource.VOLUMES), totals, strict=True):
        in_use[resource] = int(total or 0)
    kept = select(func.count()).where(backups.c.tenant_id == project_id, backups.c.deleted == false())
    in_use[Resource.BACKUPS] = int(tx.execute(kept).scalar_one())
    reserved = dict.fromkeys(Resource, 0)
    for made_by_it, held in _reservations(tx, project_id):
        for resource, amount in held.items():
            reserved[resource] += max(0, amount)
            # The row of a backup is there as long as the operation that makes it.
            if made_by_it or resource is Resource.BACKUPS:
                in_use[resource] -= amount
    return {each: _Usage(in_use=max(0, in_use[each]), reserved=reserved[each]) for each in Resource}


def _reservations(tx: Tx, project_id: str) -> Iterator[tuple[bool, dict[Resource, int]]]:
    """Yield what each unfinished operation reserved, and whether that is for a live instance which it is still making."""
    rows = tx.execute(
        select(operations.c.reserved, func.coalesce(instances.c.id, clusters.c.id))
        .select_from(
            operations.outerjoin(
                instances, (instances.c.id == operations.c.resource_id) & (instances.c.deleted == false())
            ).outerjoin(clusters, (clusters.c.id == operations.c.resource_id) & (clusters.c.deleted == false()))
        )
        .where(
            operations.c.project_id == project_id,
            operations.c.state.in_(sorted(UNFINISHED)),
            operations.c.reserved.is_not(None),
        )
    )
    for text, live in rows:
        held = {Resource(name): amount for name, amount in json.loads(text).items()}
        # Only who makes instances reserves whole ones, alone or for a cluster; these rows are not in use before that ends.
        yield live is not None and held.get(Resource.INSTANCES, 0) > 0, held


def _limits(tx: Tx, project_id: str, defaults: Mapping[Resource, int]) -> dict[Resource, int]:
    own = tx.execute(select(quotas.c.resource, quotas.c.hard_limit).where(quotas.c.tenant_id == project_id))
    limits = {each: defaults.get(each, UNLIMITED) for each in Resource}
    return limits | {Resource(resource): limit for resource, limit in own}


def _lock(tx: Tx, project_id: str, resources: Iterable[Resource]) -> dict[Resource, _Usage]:
    """Lock the counts, always in the same order, and return them; a missing row is made."""
    wanted = sorted(resources)
    if not wanted:
        return {}
    statement = _counts(project_id, wanted).with_for_update()
    usage = _read(tx, statement)
    missing = [{"tenant_id": project_id, "resource": each, "in_use": 0, "reserved": 0} for each in wanted if each not in usage]
    if missing:
        tx.execute(insert_missing(tx.dialect, quota_usages), missing)
        usage = _read(tx, statement)
    return usage


def _counts(project_id: str, resources: Iterable[Resource]) -> sa.Select[tuple[str, int, int]]:
    return (
        select(quota_usages.c.resource, quota_usages.c.in_use, quota_usages.c.reserved)
        .where(quota_usages.c.tenant_id == project_id, quota_usages.c.resource.in_(list(resources)))
        .order_by(quota_usages.c.resource)
    )


def _read(tx: Tx, statement: sa.Select[tuple[str, int, int]]) -> dict[Resource, _Usage]:
    return {
        Resource(resource): _Usage(in_use=in_use, reserved=reserved) for resource, in_use, reserved in tx.execute(statement)
    }


def _store(tx: Tx, project_id: str, usage: Mapping[Resource, _Usage]) -> None:
    rows = [
        {"tenant_id": project_id, "resource": each, "in_use": max(0, now.in_use), "reserved": max(0, now.reserved)}
        for each, now in sorted(usage.items())
    ]
    if rows:
        tx.execute(upsert(tx.dialect, quota_usages), rows)
