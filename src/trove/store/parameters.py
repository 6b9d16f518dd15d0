"""What operators have set of a datastore version's parameters, beside or instead of what its engine ships."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import bindparam, delete, select

from trove.core.parameters import Parameter, ParameterType
from trove.store.session import Tx
from trove.store.tables import datastore_configuration_parameters as rows
from trove.store.upserts import upsert

_REMOVED = "removed"
"""In place of a type: the version has no such parameter, although its engine ships one."""
_OF = select(rows).where(rows.c.datastore_version_id == bindparam("version"))


def of_version(tx: Tx, version_id: str) -> Mapping[str, Parameter | None]:
    """Return what is set for a version, by name; None where a shipped parameter was removed."""
    found = tx.execute(_OF, {"version": version_id})
    return {row.name: None if row.data_type == _REMOVED else _read(row) for row in found}


def put(tx: Tx, version_id: str, *parameters: Parameter) -> None:
    """Store parameters, instead of those of the same names. May run twice."""
    values = [
        {
            "datastore_version_id": version_id,
            "name": each.name,
            "restart_required": each.restart_required,
            "data_type": each.type,
            "min_size": None if each.minimum is None else str(each.minimum),
            "max_size": None if each.maximum is None else str(each.maximum),
        }
        for each in parameters
    ]
    if values:
        tx.execute(upsert(tx.dialect, rows), values)


def remove(tx: Tx, version_id: str, name: str, *, shipped: bool) -> None:
    """Remove a parameter; a `shipped` one is remembered as removed. May run twice."""
    if not shipped:
        tx.execute(delete(rows).where(rows.c.datastore_version_id == version_id, rows.c.name == name))
        return
    row = {
        "datastore_version_id": version_id,
        "name": name,
        "restart_required": False,
        "data_type": _REMOVED,
        "min_size": None,
        "max_size": None,
    }
    tx.execute(upsert(tx.dialect, rows), row)


def forget(tx: Tx, version_id: str) -> int:
    """Forget all that was set for a version, so that it has what its engine ships; return how many there were."""
    return tx.execute(sa.delete(rows).where(rows.c.datastore_version_id == version_id)).rowcount


def _read(row: sa.Row[tuple[object, ...]]) -> Parameter:
    kind = ParameterType(row.data_type)
    low, high = (_number(text, kind) for text in (row.min_size, row.max_size))
    return Parameter(name=row.name, type=kind, restart_required=row.restart_required, minimum=low, maximum=high)


def _number(text: str | None, kind: ParameterType) -> int | float | None:
    if text is None:
        return None
    return float(text) if kind is ParameterType.FLOAT else int(text)
