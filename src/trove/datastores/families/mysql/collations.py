"""Checks character sets and collations against what an engine knows."""

from collections.abc import Mapping

from trove.core.errors import InvalidInput


def check(known: Mapping[str, frozenset[str]], character_set: str | None, collate: str | None) -> None:
    """Raise `InvalidInput` unless both exist and belong together. None means the server's default.

    `known` are the full names of the collations of each character set.
    """
    wanted = None if character_set is None else _modern(character_set.lower())
    if wanted is not None and wanted not in known:
        raise InvalidInput(f"Character set '{character_set}' is not known; there are: {', '.join(sorted(known))}.")
    if collate is None:
        return
    owner = next((name for name, names in known.items() if _modern_collation(collate.lower()) in names), None)
    if owner is None:
        raise InvalidInput(f"Collation '{collate}' is not known.")
    if wanted is not None and owner != wanted:
        raise InvalidInput(f"Collation '{collate}' belongs to character set '{owner}', not to '{character_set}'.")


def _modern(character_set: str) -> str:
    return "utf8mb3" if character_set == "utf8" else character_set


def _modern_collation(collation: str) -> str:
    return "utf8mb3_" + collation.removeprefix("utf8_") if collation.startswith("utf8_") else collation
