"""The character sets and collations that MariaDB knows, read from `collations.yaml`."""

from functools import cache
from importlib.resources import files

from trove.core.errors import InvalidInput


def check(character_set: str | None, collate: str | None) -> None:
    """Raise `InvalidInput` unless both exist and belong together. None means the server's default."""
    known = table()
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


@cache
def table() -> dict[str, frozenset[str]]:
    """Return the full names of the collations of each character set."""
    import yaml  # noqa: PLC0415  a guest that is given no character set never needs it

    data = yaml.safe_load(files(__package__).joinpath("collations.yaml").read_text(encoding="ascii"))
    known = {name: list(own) for name, own in data["collations"].items()}
    for name in data["uca1400_sets"]:
        known[name] += data["uca1400"]
    return {name: frozenset(f"{name}_{own}" if own else name for own in names) for name, names in known.items()}


def _modern(character_set: str) -> str:
    return "utf8mb3" if character_set == "utf8" else character_set


def _modern_collation(collation: str) -> str:
    return "utf8mb3_" + collation.removeprefix("utf8_") if collation.startswith("utf8_") else collation
