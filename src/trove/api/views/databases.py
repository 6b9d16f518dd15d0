"""How databases look: by their names only (contract 7.1)."""

from collections.abc import Iterable

from trove.core.json import JSON


def named(names: Iterable[str]) -> list[JSON]:
    """Return a list of databases."""
    return [{"name": name} for name in names]
