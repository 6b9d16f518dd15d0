"""What a server is in its replicated set, kept on its volume: it must hold when the server or its whole machine starts anew."""

import json
from dataclasses import dataclass
from enum import StrEnum

from trove.core.errors import GuestError
from trove.core.replication import Received, Source
from trove.datastores.contract import Host

_FILE = "standing.json"


class Role(StrEnum):
    """SOURCE takes writes of tenants, whether or not anybody follows it; the others take none."""

    SOURCE = "source"
    CLOSED = "closed"
    """It follows nobody, and takes no writes."""
    REPLICA = "replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The role, and whom the server is to follow, as a replica, or followed last. It holds secrets.

    `received` is how far it had come in the history of its source when that was noted last: a server that starts anew does not
    know it any more. It may have more.
    """

    role: Role = Role.SOURCE
    source: Source | None = None
    followed: Source | None = None
    received: Received | None = None


def read(host: Host) -> Standing:
    """Return what is kept; a server of which nothing is kept takes writes."""
    content = host.read_file(host.data_dir / _FILE)
    if content is None:
        return Standing()
    try:
        kept = json.loads(content)
        source, followed, received = kept["source"], kept["followed"], kept["received"]
        return Standing(
            role=Role(kept["role"]),
            source=None if source is None else Source.from_json(source),
            followed=None if followed is None else Source.from_json(followed),
            received=None if received is None else Received.from_json(received),
        )
    except (ValueError, TypeError, KeyError, AssertionError):
        # To guess would be to open a second source.
        raise GuestError(
            f"{_FILE} on the data volume cannot be read, so it is unknown whether the server may take writes."
        ) from None


def write(host: Host, standing: Standing, *, lasting: bool = True) -> None:
    """Keep it: on disk when this returns, if it is to be `lasting`."""
    known = {"source": standing.source, "followed": standing.followed, "received": standing.received}
    content = {"role": standing.role.value, **{name: None if each is None else each.to_json() for name, each in known.items()}}
    host.write_file(host.data_dir / _FILE, json.dumps(content).encode(), lasting=lasting)


def remove(host: Host) -> None:
    """Forget it, with the data."""
    (host.data_dir / _FILE).unlink(missing_ok=True)
