"""All secrets at rest, sealed again: after a new key was put in front of the key file, before an old one is taken out of it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Table, select, tuple_, update

from trove.store import configurations
from trove.store.session import Database, Tx
from trove.store.tables import backup_keys, configuration_parameters, instance_tls, instances, modules, operations
from trove.store.vault import Vault

BATCH = 200

_SEALED: tuple[tuple["Table[Any]", str], ...] = (
    (instances, "encrypted_key"),
    (operations, "secrets"),
    (modules, "contents"),
    (backup_keys, "sealed"),
    (instance_tls, "sealed"),
)


def reseal(database: Database) -> int:
    """Seal every secret with the first key of the vault; return how many. May run twice, and while the service runs."""
    count = 0
    for table, name in _SEALED:
        count += _all(database, table, table.c[name], _again)
    return count + _all(database, configuration_parameters, configuration_parameters.c.value, configurations.reseal)


def _again(vault: Vault, sealed: Any) -> Any:
    return vault.seal(vault.open(sealed))


def _all(database: Database, table: "Table[Any]", column: "Column[Any]", again: Callable[[Vault, Any], Any]) -> int:
    after: tuple[Any, ...] | None = None
    count = 0
    while True:
        after, done = database.run(_batch, table, column, again, after)
        count += done
        if after is None:
            return count


def _batch(
    tx: Tx, table: "Table[Any]", column: "Column[Any]", again: Callable[[Vault, Any], Any], after: tuple[Any, ...] | None
) -> tuple[tuple[Any, ...] | None, int]:
    """Seal some rows again, in the order of their primary key; return the last one's and how many were sealed."""
    keys = list(table.primary_key)
    query = select(*keys, column).where(column.is_not(None)).order_by(*keys).limit(BATCH)
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    rows = tx.execute(query.with_for_update()).all()
    done = 0
    for row in rows:
        fresh = again(tx.vault, row[-1])
        if fresh is not None:
            done += 1
            mine = [key == value for key, value in zip(keys, row, strict=False)]
            tx.execute(update(table).where(*mine).values({column.name: fresh}))
    return (tuple(rows[-1][: len(keys)]) if len(rows) == BATCH else None), done
