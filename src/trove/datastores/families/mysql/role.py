"""What a server is in its replicated set, on its volume: so it comes up as what it was, whatever befell it."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from trove.datastores.contract import Host

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """`closed`: it takes no writes of tenants. `following`: it follows the source that it knows of."""

    closed: bool = False
    following: bool = False


OPEN = Role()
PARTED = Role(closed=True)
REPLICA = Role(closed=True, following=True)


class RoleFile:
    """The role, on disk before anybody acts on it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # On the volume, which outlives the server when that is made anew.
        self._path: Path = host.data_dir / "replication.json"

    def read(self) -> Role:
        """Return the role. A server of which it cannot be told takes no writes: another one may take them."""
        content = self._host.read_file(self._path)
        if content is None:
            return OPEN
        try:
            stored = json.loads(content)
            return Role(closed=bool(stored["closed"]), following=bool(stored["following"]))
        except (ValueError, TypeError, KeyError):
            LOG.error("%s cannot be read: the server takes no writes", self._path.name)
            return PARTED

    def write(self, role: Role) -> None:
        """Keep another role; writes only what differs."""
        if role != self.read():
            self._host.write_file(self._path, json.dumps(asdict(role)).encode())

    def forget(self) -> None:
        """Be what a server is that belongs to no set."""
        self._path.unlink(missing_ok=True)
