"""Runs a Percona Server on a host, with backups by XtraBackup where that is installed."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.contract import Dump, Host
from trove.datastores.families.oracle_mysql.dialect import dialect
from trove.datastores.families.oracle_mysql.driver import MySQL
from trove.datastores.families.oracle_mysql.naming import NAMES
from trove.datastores.percona.spec import SPEC


def driver(host: Host) -> "Percona":
    """Return the driver for `host`."""
    return Percona(host)


class Percona(MySQL):
    """What MySQL's driver is, but for backups where `xtrabackup` is installed: those are streamed, and nothing is staged."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, dialect(SPEC, NAMES))
        self._has_xtrabackup = host.find_program("xtrabackup") is not None
        if self._has_xtrabackup:
            self.encoding = "xbstream"

    @contextlib.contextmanager
    def dump(self, *, since: Mapping[str, JSON] | None) -> Iterator[Dump]:
        """Begin a backup: of everything, or of what changed since those positions. Nothing is left when the block ends."""
        if not self._has_xtrabackup:
            with super().dump(since=since) as copied:
                yield copied
            return
        from trove.datastores.percona import xtrabackup  # noqa: PLC0415

        if self._host.server_pid() is None:
            raise GuestError("The database server does not run.")
        places = xtrabackup.Places(data=self._data, socket=self._socket, config=self._config.path)
        with xtrabackup.dump(self._host, places, self._password(), since=since) as begun:
            yield begun

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        """Make the data directory from backups, the full one first, whole or not at all; one that is there is left alone."""
        if not self._has_xtrabackup:
            super().restore(streams, progress=progress)
            return
        from trove.datastores.percona import xtrabackup  # noqa: PLC0415

        if self._holds_data():
            return
        new = self._data.with_suffix(".new")
        xtrabackup.restore(self._host, new, streams, progress=progress)
        self._host.sync_tree(new)
        self._host.move(new, self._data)
