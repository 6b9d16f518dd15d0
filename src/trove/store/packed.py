"""Wide rows as one JSON value each, where the driver is slow with many columns.

PyMySQL takes every field of every row apart in Python: for a page of instances that is most of what a request costs. The
server packs a row into a JSON array instead, and one call of a fast parser unpacks it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Select, func

from trove.store.session import Tx
from trove.store.tables import UtcDateTime


class Packed:
    """A SELECT of texts, numbers, booleans and times; no binary column. Its rows are read by position, on every database."""

    def __init__(self, statement: Select[Any]) -> None:
        columns = list(statement.selected_columns)
        self._plain = statement
        self._packed = statement.with_only_columns(func.json_array(*columns), maintain_column_froms=True)
        self._times = tuple(at for at, column in enumerate(columns) if isinstance(column.type, UtcDateTime))
        self._flags = tuple(at for at, column in enumerate(columns) if isinstance(column.type, Boolean))

    def all(self, tx: Tx, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows, in order."""
        if tx.dialect != "mysql":
            return tx.execute(self._plain, parameters).all()
        return [self._unpack(text) for text in tx.execute(self._packed, parameters).scalars()]

    def first(self, tx: Tx, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the first row, or None."""
        return next(iter(self.all(tx, parameters)), None)

    def _unpack(self, text: str) -> Sequence[Any]:
        row: list[Any] = orjson.loads(text)
        for at in self._times:
            if row[at] is not None:
                row[at] = datetime.fromisoformat(row[at]).replace(tzinfo=UTC)
        for at in self._flags:
            if row[at] is not None:
                row[at] = bool(row[at])
        return row
