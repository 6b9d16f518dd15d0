"""Runs a server of MySQL, or of a build of it, on a host, and makes and restores its backups."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.contract import Dump, Host
from trove.datastores.families.mysql.dialect import Dialect
from trove.datastores.families.oracle_mysql.replication import Replicating


class MySQL(Replicating):
    """What the family's `Server` is, with `Replication`, and `Backups` by copies and binary logs."""

    encoding = "tar"

    def __init__(self, host: Host, dialect: Dialect) -> None:
        super().__init__(host, dialect)

    @contextlib.contextmanager
    def dump(self, *, since: Mapping[str, JSON] | None) -> Iterator[Dump]:
        """Begin a backup: of everything, or of what changed since those positions. Nothing is left when the block ends."""
        from trove.datastores.families.oracle_mysql import clone_backup  # noqa: PLC0415

        if self._host.server_pid() is None:
            raise GuestError("The database server does not run.")
        with (
            self.session(read_timeout_s=int(clone_backup.LONGEST_S)) as sql,
            clone_backup.dump(self._host, sql, self._data, since=since, writable=self._writable) as begun,
        ):
            yield begun

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        """Make the data directory from backups, the full one first, whole or not at all; one that is there is left alone."""
        from trove.datastores.families.oracle_mysql import clone_backup  # noqa: PLC0415

        if self._holds_data():
            return
        new = self._data.with_suffix(".new")
        password = self._password()
        admission = clone_backup.Admission(first_sql=self.dialect.first_sql(password), password=password)
        clone_backup.restore(self._host, new, streams, admission=admission, progress=progress)
        self._host.sync_tree(new)
        self._host.move(new, self._data)
