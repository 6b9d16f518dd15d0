"""Tickets: a narrow, expiring right to put or get objects below one prefix, which needs no credential besides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from trove.core.errors import InvalidInput
from trove.core.json import JSON

SIGNATURE = "X-Amz-Signature"
"""What the signature of a name is called in its URL."""


class Verb(StrEnum):
    """What a ticket lets its holder do; the values are HTTP methods."""

    PUT = "PUT"
    GET = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A right on the objects of one container whose names begin with `prefix`.

    The URL of an object is `base`, its quoted name, and `query`, which is the secret. Where the store signs each name for
    itself, `signatures` are those of the names after `prefix` that may be used, and there is none for any other. `headers` must
    be sent with it. What is told of an object (metadata) is sent in headers that begin with `meta`; None: not at all.
    """

    verb: Verb
    base: str
    prefix: str
    expires: datetime
    query: str = field(repr=False)
    signatures: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    meta: str | None = "X-Object-Meta-"

    def url_of(self, name: str) -> str:
        """Return the URL of an object. Raises `InvalidInput` for a name that the ticket is not for."""
        if not name.startswith(self.prefix):
            raise InvalidInput(f"The ticket is for objects below {self.prefix}, not for {name[:100]}.")
        url = f"{self.base}/{quote(name)}?{self.query}"
        if self.signatures is None:
            return url
        signature = self.signatures.get(name.removeprefix(self.prefix))
        if signature is None:
            raise InvalidInput(f"The ticket is not for {name[:100]}: it is good for {len(self.signatures)} names only.")
        return f"{url}&{SIGNATURE}={signature}"

    def to_json(self) -> dict[str, JSON]:
        """Return what crosses the bus."""
        return {
            "verb": self.verb.value,
            "base": self.base,
            "prefix": self.prefix,
            "expires": self.expires.isoformat(),
            "query": self.query,
            "signatures": None if self.signatures is None else dict(self.signatures),
            "headers": dict(self.headers),
            "meta": self.meta,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Ticket":
        """Read what crossed the bus. Raises `InvalidInput`."""
        try:
            signatures, meta = data.get("signatures"), data.get("meta", "X-Object-Meta-")
            return cls(
                verb=Verb(str(data["verb"])),
                expires=datetime.fromisoformat(str(data["expires"])),
                base=str(data["base"]),
                prefix=str(data["prefix"]),
                query=str(data["query"]),
                signatures=None if signatures is None else _texts(signatures),
                headers=_texts(data.get("headers", {})),
                meta=None if meta is None else str(meta),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInput("The ticket for the object store is malformed.") from error


def _texts(data: object) -> dict[str, str]:
    if not isinstance(data, Mapping):
        raise TypeError("not a mapping")
    return {str(key): str(value) for key, value in data.items()}
