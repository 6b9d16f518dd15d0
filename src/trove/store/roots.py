"""Whether tenants hold the root account of their database server."""

from datetime import datetime

from sqlalchemy import select, update

from trove.core.clock import utcnow
from trove.store.session import Tx
from trove.store.tables import root_enabled_history
from trove.store.upserts import upsert


def record_enabled(tx: Tx, instance_id: str, user: str) -> None:
    """Record that `user` enabled root now. May run twice."""
    row = {"id": instance_id, "user": user, "created": utcnow(), "deleted_at": None}
    tx.execute(upsert(tx.dialect, root_enabled_history), row)


def record_disabled(tx: Tx, instance_id: str) -> None:
    """Record that root was disabled; that it once was enabled stays known. May run twice."""
    mine = (root_enabled_history.c.id == instance_id, root_enabled_history.c.deleted_at.is_(None))
    tx.execute(update(root_enabled_history).where(*mine).values(deleted_at=utcnow()))


def enabled(tx: Tx, instance_id: str) -> bool:
    """Tell whether root is enabled now."""
    mine = (root_enabled_history.c.id == instance_id, root_enabled_history.c.deleted_at.is_(None))
    return tx.execute(select(root_enabled_history.c.id).where(*mine)).first() is not None


def ever_enabled(tx: Tx, instance_id: str) -> bool:
    """Tell whether root was enabled at any time: the tenant may have changed anything in the server."""
    return tx.execute(select(root_enabled_history.c.id).where(root_enabled_history.c.id == instance_id)).first() is not None


def last(tx: Tx, instance_id: str) -> tuple[str, datetime] | None:
    """Return who enabled root last and when, whether it was disabled since or not; None when it never was."""
    mine = select(root_enabled_history.c.user, root_enabled_history.c.created).where(root_enabled_history.c.id == instance_id)
    row = tx.execute(mine).first()
    return None if row is None else (row[0], row[1])
