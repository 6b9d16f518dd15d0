"""INSERT that updates the row that is already there, in each database's own dialect."""

from functools import cache
from typing import Any

from sqlalchemy import Executable, Table, case, func
from sqlalchemy.dialects import mysql, postgresql, sqlite


@cache
def upsert(dialect: str, table: Table, *, order: str | None = None, since: tuple[str, str] | None = None) -> Executable:
    """Return a statement that inserts rows into `table` or replaces the values of those that exist, by primary key.

    With `order` a row changes only where the given value of that column is not less than the stored one (a stored NULL
    is less than any). With `since=(time, of)` the column `time` changes only where the column `of` changes.
    One statement must not name the same row twice.
    """
    names = [column.name for column in table.columns if not column.primary_key]
    insert: Any = {"mysql": mysql, "postgresql": postgresql, "sqlite": sqlite}[dialect].insert(table)
    given = insert.inserted if dialect == "mysql" else insert.excluded
    values: dict[str, Any] = {name: given[name] for name in names}
    if since is not None:
        time, of = since
        values[time] = case((table.c[of] == given[of], table.c[time]), else_=given[time])
    newer = None if order is None else (table.c[order].is_(None) | (given[order] >= table.c[order]))
    if dialect != "mysql":
        return insert.on_conflict_do_update(  # type: ignore[no-any-return]
            index_elements=[column.name for column in table.primary_key], set_=values, where=newer
        )
    if newer is not None:
        values = {name: func.if_(newer, value, table.c[name]) for name, value in values.items()}
    # MySQL assigns from left to right and sees what it assigned before: what others are compared with comes last.
    last = {order: 2} if since is None else {order: 2, since[1]: 1}
    return insert.on_duplicate_key_update(sorted(values.items(), key=lambda item: last.get(item[0], 0)))  # type: ignore[no-any-return]


@cache
def insert_missing(dialect: str, table: Table) -> Executable:
    """Return a statement that inserts rows into `table` and leaves those that exist alone, by primary key."""
    if dialect == "mysql":
        # Not INSERT IGNORE: it takes a shared lock on the existing row, and two of them deadlock when both go on to write.
        name = next(iter(table.primary_key)).name
        return mysql.insert(table).on_duplicate_key_update({name: table.c[name]})
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    return insert.on_conflict_do_nothing()
