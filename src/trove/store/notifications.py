"""The outbox: notifications are stored in the transaction of what they tell, so that none is lost and none is made up."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import delete, func, select, update

from trove.core.clock import utcnow
from trove.core.json import JSON
from trove.core.notifications import Notification
from trove.store.session import Tx
from trove.store.tables import notification_periods, notifications
from trove.store.upserts import insert_missing


def put(tx: Tx, event_type: str, payload: Mapping[str, JSON]) -> None:
    """Store a notification to be published after the commit; nothing in a process that has no publisher."""
    put_all(tx, event_type, [payload])


def put_all(tx: Tx, event_type: str, payloads: Collection[Mapping[str, JSON]]) -> None:
    """Store many of one type, in their order; nothing in a process that has no publisher."""
    if tx.publisher is None or not payloads:
        return
    common = {"publisher_id": tx.publisher.id, "event_type": event_type, "created": utcnow()}
    tx.execute(sa.insert(notifications), [{**common, "payload": json.dumps(payload)} for payload in payloads])


def waiting(tx: Tx, limit: int) -> tuple[Notification, ...]:
    """Return the oldest ones that are not published yet."""
    rows = tx.execute(select(notifications).order_by(notifications.c.number).limit(limit)).mappings()
    return tuple(Notification(**{**row, "payload": json.loads(row["payload"])}) for row in rows)


def forget(tx: Tx, numbers: Collection[int]) -> None:
    """Remove what was published. May run twice."""
    tx.execute(delete(notifications).where(notifications.c.number.in_(list(numbers))))


def trim(tx: Tx, most: int) -> int:
    """Remove the oldest ones beyond `most`, unpublished; return how many were lost so."""
    last_lost = tx.execute(
        select(notifications.c.number).order_by(notifications.c.number.desc()).offset(most).limit(1)
    ).scalar_one_or_none()
    if last_lost is None:
        return 0
    return tx.execute(delete(notifications).where(notifications.c.number <= last_lost)).rowcount


def count(tx: Tx) -> int:
    """Return how many wait."""
    return int(tx.execute(select(func.count()).select_from(notifications)).scalar_one())


def begin_period(tx: Tx, name: str, *, length_s: float) -> tuple[datetime, datetime] | None:
    """Return begin and end of a period of the reports `name` that is over now, for the caller to report on in `tx`.

    None while it is not over, and for all but the first process that asks: the next period begins in the same transaction. The
    first period of all begins when it is first asked for. One that nobody reported on in time is longer than `length_s`.
    """
    now = utcnow()
    began = tx.execute(select(notification_periods.c.began).where(notification_periods.c.name == name)).scalar_one_or_none()
    if began is None:
        tx.execute(insert_missing(tx.dialect, notification_periods), {"name": name, "began": now})
        return None
    if (now - began).total_seconds() < length_s:
        return None
    mine = (notification_periods.c.name == name, notification_periods.c.began == began)
    return (began, now) if tx.execute(update(notification_periods).where(*mine).values(began=now)).rowcount else None
