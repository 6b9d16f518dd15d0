"""What trove-manage prints: tables for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from trove.core.clock import wire_time

Row = Mapping[str, Any]


def show_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows: as a JSON list with all that they hold, or as a table of `columns`."""
    if as_json:
        print(json.dumps([_plain(row) for row in rows], indent=1))
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[index]) for line in cells)]) for index, column in enumerate(columns)]
    for line in [[column.upper() for column in columns], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_one(row: Row, *, as_json: bool) -> None:
    """Print one thing: as a JSON object, or a line for each of its values."""
    if as_json:
        print(json.dumps(_plain(row), indent=1))
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        print(f"{name.ljust(width)}  {_cell(value)}".rstrip())


def say(text: str, *, as_json: bool, **values: object) -> None:
    """Print a sentence, or its values as a JSON object."""
    print(json.dumps(_plain(values)) if as_json else text)


def _plain(row: Row) -> dict[str, Any]:
    return {name: wire_time(value) + "Z" if isinstance(value, datetime) else value for name, value in row.items()}


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return wire_time(value) + "Z"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)
    return str(value)
