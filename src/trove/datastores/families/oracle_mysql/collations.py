"""The character sets and collations that MySQL knows, read from `collations.yaml`."""

from functools import cache
from importlib.resources import files

from trove.datastores.families.mysql import collations


def check(character_set: str | None, collate: str | None) -> None:
    """Raise `InvalidInput` unless both exist and belong together. None means the server's default."""
    collations.check(table(), character_set, collate)


@cache
def table() -> dict[str, frozenset[str]]:
    """Return the full names of the collations of each character set."""
    import yaml  # noqa: PLC0415  a guest that is given no character set never needs it

    data = yaml.safe_load(files(__package__).joinpath("collations.yaml").read_text(encoding="ascii"))
    return {name: frozenset(f"{name}_{own}" if own else name for own in names) for name, names in data.items()}
