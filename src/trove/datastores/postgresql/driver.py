"""Runs a PostgreSQL server on a host: prepare, restore, wipe, and what the other files of this folder do."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.contract import Dump, Host
from trove.datastores.postgresql.accounts import Accounts
from trove.datastores.postgresql.install import begin_history, initialise, use_template
from trove.datastores.postgresql.programs import LONGEST_S, newest
from trove.datastores.postgresql.replicas import Replicas
from trove.datastores.postgresql.upgrades import Upgrades


def driver(host: Host) -> "PostgreSQL":
    """Return the driver for `host`."""
    return PostgreSQL(host)


class PostgreSQL(Accounts, Replicas, Upgrades):
    """`Driver` and all facets of PostgreSQL."""

    encoding = "tar"

    def prepare(self, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Make the data directory unless it is there, write the configuration, start, wait until it answers.

        `progress(step, percent)` tells how far it is. A data directory that holds data is never overwritten.
        """
        progress("making the data directory", 10)
        if not self._holds_data():
            self._make_data()
        progress("starting the server", 40)
        self._config.write(config, lasting=False)
        self.start()
        if not self._is_standby():
            self._secure()
        progress("server answers", 80)

    @contextlib.contextmanager
    def dump(self, *, since: Mapping[str, JSON] | None) -> Iterator[Dump]:
        """Begin a backup: of everything, or of what changed since those positions. Nothing is left when the block ends."""
        from trove.datastores.postgresql import backup  # noqa: PLC0415

        if self._host.server_pid() is None:
            raise GuestError("The database server does not run.")
        with (
            self.session(timeout_s=LONGEST_S) as server,
            backup.dump(self._host, self._data, server, since=since) as begun,
        ):
            yield begun

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        """Make the data directory from backups, the full one first, whole or not at all; one that is there is left alone."""
        from trove.datastores.postgresql import backup  # noqa: PLC0415

        if self._holds_data():
            return
        new = self._data.with_suffix(".new")
        backup.restore(self._host, new, streams, progress=progress)
        begin_history(self._host, new)
        self._host.sync_tree(new)
        self._host.move(new, self._data)

    def wipe(self) -> None:
        """Stop the server and remove its data."""
        self.stop(timeout_s=30.0)
        for folder in (self._data, self._data.with_suffix(".new"), self._state.folder, self._old, self._new):
            self._host.remove_tree(folder)

    def _make_data(self) -> None:
        new = self._data.with_suffix(".new")
        self._host.remove_tree(new)
        major = newest(self._host)
        if not use_template(self._host, new, major):
            initialise(self._host, new, major)
        begin_history(self._host, new)
        self._host.move(new, self._data)
