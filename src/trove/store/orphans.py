"""Rows of orphans: recorded when the reconciler finds them, gone when they are removed or belong to an instance again."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select, update

from trove.core.clock import utcnow
from trove.core.orphans import HeldKind, Orphan
from trove.store.session import Tx
from trove.store.tables import orphans
from trove.store.upserts import insert_missing

REASON_CHARACTERS = 255

_IDS_AT_ONCE = 500
_ORDER = {kind: number for number, kind in enumerate(HeldKind)}


def record(tx: Tx, kind: HeldKind, reasons: Sequence[tuple[str, str]], *, limit: int) -> tuple[str, ...]:
    """Store that things of `kind` were seen, as pairs of instance id and reason; return the ids that are new, at most `limit`.

    More new ones wait for the next time. A known one gets the new reason and keeps when it was seen first. May run twice.
    """
    now = utcnow()
    known = {orphan.instance_id: orphan for orphan in all(tx, kind=kind)}
    fresh = [pair for pair in reasons if pair[0] not in known][:limit]
    if fresh:
        rows = [
            {
                "kind": kind,
                "resource_id": instance_id,
                "reason": reason[:REASON_CHARACTERS],
                "first_seen": now,
                "last_seen": now,
            }
            for instance_id, reason in fresh
        ]
        tx.execute(insert_missing(tx.dialect, orphans), rows)
    changed = [(one, reason) for one, reason in reasons if one in known and known[one].reason != reason[:REASON_CHARACTERS]]
    for instance_id, reason in changed:
        this = (orphans.c.kind == kind, orphans.c.resource_id == instance_id)
        tx.execute(update(orphans).where(*this).values(reason=reason[:REASON_CHARACTERS]))
    seen = sorted(instance_id for instance_id, _ in reasons if instance_id in known)
    for start in range(0, len(seen), _IDS_AT_ONCE):
        these = orphans.c.resource_id.in_(seen[start : start + _IDS_AT_ONCE])
        tx.execute(update(orphans).where(orphans.c.kind == kind, these).values(last_seen=now))
    return tuple(instance_id for instance_id, _ in fresh)


def all(tx: Tx, *, kind: HeldKind | None = None) -> tuple[Orphan, ...]:  # noqa: A001
    """Return the orphans of a kind, or of all kinds, in the order in which they are removed."""
    statement = select(orphans)
    if kind is not None:
        statement = statement.where(orphans.c.kind == kind)
    found = (
        Orphan(
            kind=HeldKind(row.kind),
            instance_id=row.resource_id,
            reason=row.reason,
            first_seen=row.first_seen,
            last_seen=row.last_seen,
        )
        for row in tx.execute(statement)
    )
    return tuple(sorted(found, key=lambda orphan: (_ORDER[orphan.kind], orphan.first_seen, orphan.instance_id)))


def count(tx: Tx) -> int:
    """Count all orphans."""
    return int(tx.execute(select(func.count()).select_from(orphans)).scalar_one())


def forget(tx: Tx, kind: HeldKind, ids: Collection[str]) -> None:
    """Remove these from the record: they are gone, or belong to an instance again. May run twice."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _IDS_AT_ONCE):
        these = orphans.c.resource_id.in_(ordered[start : start + _IDS_AT_ONCE])
        tx.execute(delete(orphans).where(orphans.c.kind == kind, these))
