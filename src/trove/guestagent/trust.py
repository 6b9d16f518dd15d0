"""Whose certificates the agent trusts, of the bus and of the object store."""

from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from trove.guestagent.user import make_way

NAME = "ca.pem"
_TLS_SCHEMES = ("amqps", "rabbits", "valkeys", "rediss")

ca_file: Path | None = None
"""Set once, before anything connects; None for the authorities that the system trusts."""


def keep_within_reach(source: Path, folder: Path) -> Path:
    """Copy certificates to where an agent can read them that has given up its rights; return the copy."""
    copy, fresh = folder / NAME, folder / f".{NAME}.new"
    make_way(copy)
    fresh.write_bytes(source.read_bytes())
    fresh.chmod(0o644)
    fresh.replace(copy)
    return copy


def trusting(url: str, file: Path) -> str:
    """Return a transport URL that names these certificates, for each of its hosts that is reached with TLS."""
    return ";".join(_one_trusting(part, file) for part in url.split(";"))


def _one_trusting(url: str, file: Path) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme not in _TLS_SCHEMES and query.get("ssl") not in {"1", "true", "True"}:
        return url
    query["ssl_ca_certs"] = str(file)
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))
