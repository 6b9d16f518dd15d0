"""Quotas: how much a project may use, counted without races."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy import bindparam, select, update

from trove.core import errors
from trove.core.quotas import UNLIMITED, Quota, Resource
from trove.store.session import Tx
from trove.store.tables import quota_usages, quotas
from trove.store.upserts import insert_missing, upsert

_SET_USAGE = (
    update(quota_usages)
    .where(quota_usages.c.tenant_id == bindparam("project"), quota_usages.c.resource == bindparam("counted"))
    .values(in_use=bindparam("now"))
)


def limits_of(tx: Tx, project_id: str, defaults: Mapping[Resource, int]) -> tuple[Quota, ...]:
    """Return use and limit of every resource; `defaults` fills in where the project has no limit of its own."""
    limits = _limits(tx, project_id, defaults)
    statement = select(quota_usages.c.resource, quota_usages.c.in_use).where(quota_usages.c.tenant_id == project_id)
    used: dict[str, int] = {row.resource: row.in_use for row in tx.execute(statement)}
    return tuple(Quota(resource=each, in_use=used.get(each, 0), limit=limits[each]) for each in Resource)


def reserve(tx: Tx, project_id: str, deltas: Mapping[Resource, int], defaults: Mapping[Resource, int]) -> None:
    """Count `deltas` as used. Other transactions that reserve for the project wait until this one ends.

    Raises `QuotaExceeded`, and changes nothing, when a positive delta does not fit its limit. Not repeatable: counts again.
    """
    limits = _limits(tx, project_id, defaults)
    used = _lock(tx, project_id, deltas)
    exceeded = [
        f"{resource}: requested {delta}, in use {used[resource]}, limit {limits[resource]}"
        for resource, delta in sorted(deltas.items())
        if delta > 0 and limits[resource] != UNLIMITED and used[resource] + delta > limits[resource]
    ]
    if exceeded:
        raise errors.QuotaExceeded(f"Quota exceeded for {'; '.join(exceeded)}.")
    _store(tx, project_id, {resource: used[resource] + delta for resource, delta in deltas.items()})


def release(tx: Tx, project_id: str, deltas: Mapping[Resource, int]) -> None:
    """Count `deltas` (positive numbers) as used no more; use never goes below 0. Not repeatable: counts again."""
    used = _lock(tx, project_id, deltas)
    _store(tx, project_id, {resource: used[resource] - delta for resource, delta in deltas.items()})


def set_limit(tx: Tx, project_id: str, resource: Resource, limit: int) -> None:
    """Give the project its own limit; -1 is unlimited. May run twice. Raises `InvalidInput` below -1."""
    if limit < UNLIMITED:
        raise errors.InvalidInput(f"The limit of {resource} must be -1 (unlimited) or more, not {limit}.")
    tx.execute(upsert(tx.dialect, quotas), {"tenant_id": project_id, "resource": resource, "hard_limit": limit})


def _limits(tx: Tx, project_id: str, defaults: Mapping[Resource, int]) -> dict[Resource, int]:
    own = tx.execute(select(quotas.c.resource, quotas.c.hard_limit).where(quotas.c.tenant_id == project_id))
    limits = {each: defaults.get(each, UNLIMITED) for each in Resource}
    return limits | {Resource(resource): limit for resource, limit in own}


def _lock(tx: Tx, project_id: str, resources: Iterable[Resource]) -> dict[Resource, int]:
    """Lock the rows of use, always in the same order, and return them; a missing row is made."""
    wanted = sorted(resources)
    statement: sa.Select[tuple[str, int]] = (
        select(quota_usages.c.resource, quota_usages.c.in_use)
        .where(quota_usages.c.tenant_id == project_id, quota_usages.c.resource.in_(wanted))
        .order_by(quota_usages.c.resource)
        .with_for_update()
    )
    used = {Resource(resource): in_use for resource, in_use in tx.execute(statement)}
    missing = [{"tenant_id": project_id, "resource": each, "in_use": 0} for each in wanted if each not in used]
    if missing:
        tx.execute(insert_missing(tx.dialect, quota_usages), missing)
        used = {Resource(resource): in_use for resource, in_use in tx.execute(statement)}
    return used


def _store(tx: Tx, project_id: str, used: Mapping[Resource, int]) -> None:
    rows = [{"project": project_id, "counted": each, "now": max(0, now)} for each, now in sorted(used.items())]
    if rows:
        tx.execute(_SET_USAGE, rows)
