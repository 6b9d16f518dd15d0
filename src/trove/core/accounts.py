"""Databases and users inside a database server, as they cross the API and the bus."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trove.core.json import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database (schema). None for character set and collation means the server's default."""

    name: str
    character_set: str | None = None
    collate: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the bus form."""
        return {"name": self.name, "character_set": self.character_set, "collate": self.collate}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Database":
        """Read the bus form."""
        return cls(name=str(data["name"]), character_set=_text(data.get("character_set")), collate=_text(data.get("collate")))


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account of the database server. `host` is a pattern; `password` is None when unknown and never shown by repr."""

    name: str
    host: str = "%"
    password: str | None = field(default=None, repr=False)
    databases: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return the bus form, with the password: only for sealed messages and encrypted columns."""
        return {"name": self.name, "host": self.host, "password": self.password, "databases": list(self.databases)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "User":
        """Read the bus form."""
        databases = data.get("databases") or ()
        assert isinstance(databases, list | tuple)
        return cls(
            name=str(data["name"]),
            host=str(data.get("host") or "%"),
            password=_text(data.get("password")),
            databases=tuple(str(name) for name in databases),
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
