"""Runs a MariaDB server on a host, alone or in a replicated set, upgrades it, and makes and restores its backups."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.contract import Dump, Host
from trove.datastores.mariadb.dialect import DIALECT
from trove.datastores.mariadb.replication import Replicating
from trove.datastores.mariadb.upgrades import Upgrading


def driver(host: Host) -> "MariaDB":
    """Return the driver for `host`."""
    return MariaDB(host)


class MariaDB(Replicating, Upgrading):
    """What the family's `Server` is, with `Replication`, `Upgrades` and `Backups`."""

    encoding = "mbstream"

    def __init__(self, host: Host) -> None:
        super().__init__(host, DIALECT)

    @contextlib.contextmanager
    def dump(self, *, since: Mapping[str, JSON] | None) -> Iterator[Dump]:
        """Begin a backup: of everything, or of what changed since those positions. Nothing is left when the block ends."""
        from trove.datastores.mariadb import backup  # noqa: PLC0415

        if self._host.server_pid() is None:
            raise GuestError("The database server does not run.")
        places = backup.Places(data=self._data, socket=self._socket, config=self._config.path)
        with backup.dump(self._host, places, self._password(), since=since) as begun:
            yield begun

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        """Make the data directory from backups, the full one first, whole or not at all; one that is there is left alone."""
        from trove.datastores.mariadb import backup  # noqa: PLC0415

        if self._holds_data():
            return
        new = self._data.with_suffix(".new")
        backup.restore(self._host, new, streams, progress=progress)
        self._host.sync_tree(new)
        self._host.move(new, self._data)
