"""What is stored of the TLS of an instance."""

from sqlalchemy import false, select

from trove.store.session import Tx
from trove.store.tables import instances


def mode(tx: Tx, instance_id: str) -> str | None:
    """Return the mode that TLS was enabled with, None when Trove never enabled it or the instance is gone."""
    statement = select(instances.c.ssl_mode).where(instances.c.id == instance_id, instances.c.deleted == false())
    found: str | None = tx.execute(statement).scalar_one_or_none()
    return found
