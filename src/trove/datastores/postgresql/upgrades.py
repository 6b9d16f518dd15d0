"""Upgrades to another major version by pg_upgrade, which copies the data: the old ones stay on the volume until all is well.

On the volume: `upgrading` (the new data, as long as they are not whole), `old` (the data from before). Source: "pg_upgrade" of
PostgreSQL's manual.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from trove.core.errors import GuestError, TroveError
from trove.core.trees import bytes_on_disk
from trove.core.units import MIB
from trove.datastores.postgresql.control import CLEAN, control_data
from trove.datastores.postgresql.install import IDENTITY, initialise
from trove.datastores.postgresql.naming import ADMIN
from trove.datastores.postgresql.programs import KNOWN, complaint, major_of, program, run
from trove.datastores.postgresql.server import Server

LOG = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 300.0
_MARKED = 'unrecognized parameter "pg_attver"'
"""Releases since November 2026 mark columns so; those before do not know that."""
_SPARE = 256 * MIB
"""Room for a fresh data directory and its log beside the copy."""


class Upgrades(Server):
    """The facet Upgrades of PostgreSQL."""

    def check_upgrade(self, version: str) -> None:
        """Raise `GuestError` saying what stands in the way of an upgrade to `version`, such as space; change nothing."""
        target, present = _major(version), major_of(self._data)
        if present is None:
            raise GuestError("There is no data directory: the instance was not prepared.")
        if target < present:
            raise GuestError(f"PostgreSQL {present} cannot become {version}: its data can only go to later versions.")
        if target not in KNOWN:
            raise GuestError(f"PostgreSQL {version} is not known; known are {', '.join(map(str, KNOWN))}.")
        if self._is_standby():
            raise GuestError("A replica cannot be upgraded: upgrade its source alone, and build new replicas from it.")
        if target == present:
            return
        usage, needed = self._host.usage(), bytes_on_disk(self._data) + _SPARE
        if usage.total - usage.used < needed:
            free = (usage.total - usage.used) // MIB
            raise GuestError(f"The upgrade copies the data: it needs {needed // MIB} MiB on the volume, {free} MiB are free.")
        if self._host.server_pid() is not None:
            with self.session() as server:
                if server.run("SELECT 1 FROM pg_prepared_xacts"):
                    raise GuestError("There are prepared transactions: commit or roll them back before the upgrade.")
                if server.run("SELECT 1 FROM pg_replication_slots WHERE slot_type = 'logical'"):
                    raise GuestError("There are logical replication slots: drop them before the upgrade.")

    def upgrade(self, version: str, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Start this version of the server with this configuration, and bring its data up to it.

        The old data are only read.
        """
        target = _major(version)
        present = major_of(self._data)
        if present is None and major_of(self._old) is None:
            raise GuestError("There is no data directory: the instance was not prepared.")
        self._config.write(config)
        if present != target:
            self._convert(target, progress)
        progress("starting the server", 80)
        self.stop(timeout_s=_STOP_TIMEOUT_S)  # one that an earlier attempt has left
        self._config.use_written()
        self._launch(private=True)
        self.stop(timeout_s=_STOP_TIMEOUT_S)

    def revert_upgrade(self) -> None:
        """Stop the server, and bring the data back to what they were before `upgrade`. Without one: nothing."""
        if not self._old.exists() and not self._new.exists():
            return
        self.stop(timeout_s=_STOP_TIMEOUT_S)
        if self._old.exists():
            self._host.remove_tree(self._new)
            if self._data.exists():
                self._host.move(self._data, self._new)
            self._host.move(self._old, self._data)
        self._host.remove_tree(self._new)

    def finish_upgrade(self) -> None:
        """Gather statistics of the converted data, and remove those from before the upgrade."""
        present = major_of(self._data)
        if self._old.exists() and present is not None and self._host.server_pid() is not None:
            self._analyze(present)
        for folder in (self._old, self._new):
            self._host.remove_tree(folder)

    @property
    def _old(self) -> Path:
        return self._host.data_dir / "old"

    @property
    def _new(self) -> Path:
        return self._host.data_dir / "upgrading"

    def _convert(self, target: int, progress: Callable[[str, int], None]) -> None:
        """Make data of the new version of those that are there, and put them in their place."""
        self.stop(timeout_s=_STOP_TIMEOUT_S)
        if not self._data.exists():  # it was cut off between the two moves below
            self._host.move(self._old, self._data)
        present = major_of(self._data)
        assert present is not None
        progress("making the new data directory", 5)
        self._host.remove_tree(self._new)
        self._settle(present)
        initialise(self._host, self._new, target)
        line = (
            "env",
            f"--chdir={self._host.run_dir}",  # where it writes a script that nobody needs
            program(self._host, target, "pg_upgrade"),
            f"--old-bindir={Path(program(self._host, present, 'postgres')).parent}",
            f"--new-bindir={Path(program(self._host, target, 'postgres')).parent}",
            f"--old-datadir={self._data}",
            f"--new-datadir={self._new}",
            f"--username={ADMIN}",
            f"--socketdir={self._host.run_dir}",
        )
        progress("checking the data", 15)
        self._run(line, "--check")
        progress("copying the data", 25)
        self._run(line)
        identity = self._host.read_file(self._data / IDENTITY)
        if identity is not None:
            self._host.write_file(self._new / IDENTITY, identity)
        self._host.sync_tree(self._new)
        self._host.move(self._data, self._old)
        self._host.move(self._new, self._data)
        self._host.sync_tree(self._data)

    def _settle(self, major: int) -> None:
        """See to it that the old data were left cleanly, without letting anybody in."""
        told = control_data(self._host, program(self._host, major, "pg_controldata"), self._data)
        if told.get("Database cluster state") in CLEAN:
            return
        self._config.change({})  # what is written is for the new version
        self._launch(private=True)
        self.stop(timeout_s=_STOP_TIMEOUT_S)

    def _run(self, line: tuple[str, ...], *more: str) -> None:
        try:
            run(self._host, *line, *more, named=True)
        except GuestError as error:
            words = f"{error.message} {self._report()}".strip()
            if _MARKED in words:
                words = "This release of the new version is older than the data's, and cannot take them: update it first."
            raise GuestError(words) from None

    def _report(self) -> str:
        """Return what pg_upgrade and what it ran wrote down of what stands in its way."""
        lists = sorted(self._new.glob("pg_upgrade_output.d/*/*.txt"))
        logs = sorted(self._new.glob("pg_upgrade_output.d/*/log/*.log"))
        texts = [(self._host.read_file(path) or b"").decode(errors="replace") for path in (*lists, *logs)]
        found = [text[:500] for text in texts[: len(lists)]] + [complaint(text.splitlines()) for text in texts[len(lists) :]]
        return " ".join(text for text in found if text)[:2000]

    def _analyze(self, major: int) -> None:
        """Gather the statistics that the new server does not have yet; without them it is slow, and nothing worse."""
        line = (program(self._host, major, "vacuumdb"), "--all", "--analyze-in-stages", f"--host={self._host.run_dir}")
        missing = ("--missing-stats-only",) if major >= 18 else ()
        try:
            run(self._host, *line, *missing, f"--username={ADMIN}", "--no-password")
        except TroveError as error:
            LOG.warning("statistics are not complete: %s", error)


def _major(version: str) -> int:
    digits = version.partition(".")[0]
    if not digits.isdigit():
        raise GuestError(f"'{version}' is not a version of PostgreSQL.")
    return int(digits)
