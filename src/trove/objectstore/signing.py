"""Signs tickets for stores that have none of their own, and checks them: an HMAC over verb, container, prefix and expiry."""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, unquote, urlencode, urlsplit

from trove.core.clock import utcnow
from trove.core.errors import Refused
from trove.core.tickets import Ticket, Verb

SEALED = "What the ticket is for takes no more objects."
REFUSED = "The ticket is not for this object, has expired, or is forged."


class Signer:
    """Signs for the endpoint at the URL `endpoint`, where objects are `/container/name`. Whoever has `key` can make tickets."""

    def __init__(self, key: bytes, endpoint: str) -> None:
        self._key = key
        self._endpoint = endpoint.rstrip("/")

    def __repr__(self) -> str:
        return f"<Signer {self._endpoint}>"

    def ticket(self, container: str, prefix: str, verb: Verb, expires: datetime) -> Ticket:
        """Return a ticket for the objects below `prefix`."""
        until = int(expires.timestamp())
        values = {"prefix": prefix, "expires": str(until), "signature": self._signature(verb, container, prefix, until)}
        return Ticket(
            verb=verb,
            base=f"{self._endpoint}/{quote(container, safe='')}",
            prefix=prefix,
            expires=datetime.fromtimestamp(until, UTC),
            query=urlencode(values),
        )

    def check(self, verb: str, container: str, name: str, query: Mapping[str, str]) -> None:
        """Raise `Refused` unless the query is that of a ticket for this."""
        prefix, expires, signature = (query.get(key, "") for key in ("prefix", "expires", "signature"))
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and prefix and name.startswith(prefix)):
            raise Refused(REFUSED)
        good = self._signature(verb, container, prefix, int(expires))
        if not hmac.compare_digest(good.encode(), signature.encode(errors="replace")):
            raise Refused(REFUSED)
        if utcnow().timestamp() >= int(expires):
            raise Refused(REFUSED)

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object, which nobody can use without a ticket."""
        return f"{self._endpoint}/{quote(container, safe='')}/{quote(name)}"

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object's URL; None when it is none of this endpoint."""
        if not url.startswith(f"{self._endpoint}/"):
            return None
        path = urlsplit(url[len(self._endpoint) :]).path
        container, _, name = path.lstrip("/").partition("/")
        return (unquote(container), unquote(name)) if container and name else None

    def _signature(self, verb: str, container: str, prefix: str, until: int) -> str:
        # Lengths in front, so that no two rights make the same text.
        text = "".join(f"{len(part)}:{part}" for part in (verb, container, prefix, str(until)))
        return hmac.new(self._key, text.encode(), sha256).hexdigest()
