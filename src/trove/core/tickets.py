"""Tickets: a narrow, expiring right to put or get objects below one prefix, which needs no credential besides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from trove.core.errors import InvalidInput
from trove.core.json import JSON


class Verb(StrEnum):
    """What a ticket lets its holder do; the values are HTTP methods."""

    PUT = "PUT"
    GET = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A right on the objects of one container whose names begin with `prefix`.

    The URL of an object is `base`, its quoted name, and `query`, which is the secret.
    """

    verb: Verb
    base: str
    prefix: str
    expires: datetime
    query: str = field(repr=False)

    def url_of(self, name: str) -> str:
        """Return the URL of an object. Raises `InvalidInput` for a name that the ticket is not for."""
        if not name.startswith(self.prefix):
            raise InvalidInput(f"The ticket is for objects below {self.prefix}, not for {name[:100]}.")
        return f"{self.base}/{quote(name)}?{self.query}"

    def to_json(self) -> dict[str, JSON]:
        """Return what crosses the bus."""
        return {
            "verb": self.verb.value,
            "base": self.base,
            "prefix": self.prefix,
            "expires": self.expires.isoformat(),
            "query": self.query,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Ticket":
        """Read what crossed the bus. Raises `InvalidInput`."""
        try:
            texts = {key: str(data[key]) for key in ("base", "prefix", "query")}
            return cls(verb=Verb(str(data["verb"])), expires=datetime.fromisoformat(str(data["expires"])), **texts)
        except (KeyError, ValueError) as error:
            raise InvalidInput("The ticket for the object store is malformed.") from error
