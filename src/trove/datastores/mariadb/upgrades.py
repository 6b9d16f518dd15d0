"""Upgrades of MariaDB: the new server on the same data, a copy of which is kept until the upgrade is known to have worked.

Source: "Upgrading MariaDB" and "mariadb-upgrade" of MariaDB's manual: from any version to any later one, cleanly shut down.
"""

import re
from collections.abc import Callable
from typing import Any

from trove.core.errors import GuestError
from trove.core.trees import bytes_on_disk
from trove.core.units import MIB
from trove.datastores.contract import Command
from trove.datastores.families.mysql.naming import ADMIN
from trove.datastores.families.mysql.programs import program, run
from trove.datastores.families.mysql.server import Server
from trove.datastores.mariadb.install import PACKAGE
from trove.datastores.mariadb.spec import SPEC

STOP_TIMEOUT_S = 300.0
TABLES_TIMEOUT_S = 12 * 3600.0
"""Every table is looked at, and some are built anew. The control plane's deadline comes first."""
MARGIN = 128 * MIB
"""What the server itself needs beside the copy while it starts on old data."""


class Upgrading(Server):
    """What the family's `Server` is, and `Upgrades`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kept = self._data.with_name("data.before-upgrade")
        self._kept_config = self._data.with_name("config.before-upgrade")
        self._private = False

    def check_upgrade(self, version: str) -> None:
        """Raise `GuestError` when `version` is older, or no known step from this one, or when there is no room for a copy."""
        present = self.version()
        if present is None:
            raise GuestError("The database server does not answer: it must run well before it is upgraded.")
        if _series(version) < _series(present):
            raise GuestError(f"MariaDB cannot go back from {present} to {version}.")
        if _series(version) not in {_series(known) for known in SPEC.usable_versions}:
            raise GuestError(f"An upgrade from {present} to {version} is not known to work.")
        needed, usage = bytes_on_disk(self._data) + MARGIN, self._host.usage()
        if needed > usage.total - usage.used:
            raise GuestError(
                f"A copy of the data is kept during the upgrade, which takes {needed // MIB} MiB; the volume has "
                f"{(usage.total - usage.used) // MIB} MiB left. Resize the volume first."
            )

    def upgrade(self, version: str, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Start the server, which is the new one by now, on data of which a copy is kept, and bring its tables up to it.

        No tenant reaches it before its data are whole.
        """
        self.stop(timeout_s=STOP_TIMEOUT_S)  # one that an earlier attempt has left
        if not self._kept.exists():
            progress("keeping a copy of the data", 10)
            self._keep()
        self._config.write(config)
        progress("starting the new server", 40)
        self._private = True
        try:
            Server.start(self)  # not as a replica, if it is one
            self._need_version(version)
            progress("upgrading the tables", 60)
            self._upgrade_tables()
            self.stop(timeout_s=STOP_TIMEOUT_S)
        finally:
            self._private = False

    def revert_upgrade(self) -> None:
        """Stop the server, and put the copy in the place of the data. Without one: nothing."""
        self.stop(timeout_s=STOP_TIMEOUT_S)
        if self._kept.exists():
            self._host.remove_tree(self._data)
            self._host.move(self._kept, self._data)
            self._host.sync_tree(self._data)
        config = self._host.read_file(self._kept_config)
        if config is not None:
            self._config.write(config.decode())
        self.finish_upgrade()

    def finish_upgrade(self) -> None:
        """Remove what was kept."""
        for folder in (self._kept, self._kept.with_suffix(".new")):
            self._host.remove_tree(folder)
        self._kept_config.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Stop the server, and remove its data and what was kept of them."""
        super().wipe()
        self.finish_upgrade()

    def _more_options(self) -> tuple[str, ...]:
        return (*super()._more_options(), *(("--skip-networking",) if self._private else ()))

    def _keep(self) -> None:
        config = self._host.read_file(self._config.path)
        if config is not None:
            self._host.write_file(self._kept_config, config)
        new = self._kept.with_suffix(".new")
        self._host.remove_tree(new)
        self._host.copy_tree(self._data, new)
        self._host.sync_tree(new)
        self._host.move(new, self._kept)
        self._host.sync_tree(self._kept)

    def _need_version(self, version: str) -> None:
        present = self.version()
        if present is None or _series(present) != _series(version):
            raise GuestError(f"The server that is installed here is {present}, not {version}.")

    def _upgrade_tables(self) -> None:
        account = f"[client]\nuser={ADMIN}\npassword={self._password()}\nsocket={self._socket}\n"
        upgrade = program(self._host, PACKAGE, "mariadb-upgrade", "mysql_upgrade")
        line = (upgrade, "--defaults-file={account}", "--silent")
        run(self._host, Command(argv=line, secret_files={"account": account.encode()}, timeout_s=TABLES_TIMEOUT_S))


def _series(version: str) -> tuple[int, ...]:
    """Return the part of a version number that names its series, such as 10.11."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
