"""Replication by streaming of the write-ahead log, one physical slot a replica.

A server that is to take no writes is in recovery, always: nothing that a session or a superuser does gets past that, and it
holds over restarts. Sources: "Log-Shipping Standby Servers", "Hot Standby" and "pg_rewind" of PostgreSQL's manual.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from trove.core.errors import GuestError, TroveError
from trove.core.json import JSON
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.datastores.postgresql import naming
from trove.datastores.postgresql.backup import number_of, text_of
from trove.datastores.postgresql.install import IDENTITY
from trove.datastores.postgresql.programs import installed, major_of, newest, program, run
from trove.datastores.postgresql.server import Server
from trove.datastores.postgresql.serverconfig import conninfo
from trove.datastores.postgresql.sql import Session, literal, name, verifier
from trove.datastores.postgresql.state import Followed, password_line

STOP_TIMEOUT_S = 120.0
FOLLOW_TIMEOUT_S = 90.0
APPLY_TIMEOUT_S = 600.0

_PROMOTE_TIMEOUT_S = 300
_NAME = re.compile(r"[a-z0-9_]{1,63}")
_RIGHTS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind needs. Source: its page in PostgreSQL's manual."""
_ANEW = "The replica must be built anew: "
_IN_USE = "(55006)"
_TAIL = 16 * 1024
_TROUBLE = (
    "could not connect to the primary",
    "could not receive data from WAL",
    "could not start WAL streaming",
    "could not receive timeline",
    "forked off current",
    "identifier differs",
    "highest timeline",
)
_STATE = """
SELECT COALESCE(status, ''), COALESCE(latest_end_lsn, '0/0'), pg_last_wal_replay_lsn(),
GREATEST(0, EXTRACT(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))
FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver ON true"""
_TOLD = f"""
SELECT convert_from(pg_read_binary_file('{IDENTITY}'), 'UTF8'), pg_is_in_recovery(),
CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_walfile_name(pg_current_wal_lsn()) END,
CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"""
_HISTORY = "SELECT replace(convert_from(pg_read_binary_file('pg_wal/{:08X}.history'), 'UTF8'), chr(10), ';')"
_IS_APPLYING = """
SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() < COALESCE(pg_last_wal_receive_lsn(), '0/0') AND NOT EXISTS (
SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval')"""
_OWN_TIMELINE = "SELECT max(substr(name, 1, 8)) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}(.partial)?$'"


class Replicas(Server):
    """The facet Replication of PostgreSQL."""

    def get_replication_snapshot(self, account: Account, *, progress: Callable[[str, int], None]) -> Mapping[str, JSON]:
        """Make the account for a replica, and the slot that keeps the log for it from now on."""
        progress("making the account of the replica", 10)
        with self.session() as server:
            _ensure_account(server, account)
            _ensure_slot(server, account.name)
        return {"slot": account.name}

    def prepare_replica(
        self, *, config: str, snapshot: Mapping[str, JSON], source: Source, progress: Callable[[str, int], None]
    ) -> None:
        """Copy the data of the source, whatever there is here, start the server and have it follow its source."""
        new = self._data.with_suffix(".new")
        self.stop(timeout_s=STOP_TIMEOUT_S)
        for folder in (self._data, new, self._host.data_dir / "template", self._state.folder):
            self._host.remove_tree(folder)
        progress("copying the data of the source", 10)
        # Without a directory of its own, because the program makes it.
        run(
            self._host,
            program(self._host, newest(self._host), "pg_basebackup"),
            f"--dbname={conninfo(_followed(source), '{password}')}",
            f"--slot={snapshot.get('slot') or source.account.name}",
            f"--pgdata={new}",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-password",
            "--no-manifest",
            "--no-sync",  # the caller syncs
            secrets={"password": password_line(source.account)},
        )
        if major_of(new) not in installed(self._host):
            raise GuestError(f"The source is PostgreSQL {major_of(new)}, which this server has not.")
        self._host.write_file(new / "standby.signal", b"")
        self._state.follow(source)
        self._host.move(new, self._data)
        progress("starting the server", 70)
        self._config.write(config, lasting=False)
        self.start()
        self._await_following()

    def attach_replica(self, source: Source | None) -> None:
        """Take no more writes of tenants and follow `source`; None is whom it followed last.

        What was a source itself is rewound to where they parted. Raises `GuestError` when it must be built anew.
        """
        if not self._holds_data():
            raise GuestError(f"{_ANEW}there is no data directory.")
        was_parted = self._state.flag("parted")
        if source is None:
            if self._state.followed() is None or not self._is_standby():
                raise GuestError("There is no source that it followed before.")
            self.start()
        elif self._is_standby() and not self._state.flag("rewinding"):
            self.start()
            parted = self._parted_from(source)
            if parted is not None and not self._state.flag("closed"):
                self._state.set_flag("parted", on=was_parted)
                self.reload()
                raise GuestError(f"{_ANEW}{parted}")
            if parted is not None:
                self._rewind(source)
        else:
            self._rewind(source)
        if source is not None:
            self._state.follow(source)
        for flag in ("closed", "parted"):
            self._state.set_flag(flag, on=False)
        if self._host.server_pid() is None:
            self.start()
        else:
            self.reload()
        self._await_following()

    def detach_replica(self, *, for_failover: bool) -> None:
        """Apply all that was received, then follow nobody. It takes writes afterwards unless `for_failover`."""
        if not self._is_standby():
            return
        self.start()
        self._state.set_flag("parted", on=True)
        self.reload()
        self._apply_all()
        if not for_failover:
            self._promote()

    def make_read_only(self, read_only: bool) -> None:
        """Take no more writes of tenants, or take them again.

        A server that does not run stays so, and is reached by nobody when it is started.
        """
        if read_only:
            if self._is_standby():
                return
            self._state.set_flag("closed", on=True)
            if self._host.server_pid() is not None:
                self.stop(timeout_s=STOP_TIMEOUT_S)
                self._host.write_file(self._data / "standby.signal", b"")
                self.start()
        elif self._state.flag("closed"):
            # It followed nobody since, so it may go on as what it was, in the same history.
            self.stop(timeout_s=STOP_TIMEOUT_S)
            (self._data / "standby.signal").unlink(missing_ok=True)
            self._state.set_flag("closed", on=False)
            self.start()
        elif self._is_standby():
            self.start()
            self._promote()

    def enable_as_master(self, accounts: Sequence[Account]) -> None:
        """Let replicas log in with these accounts, existing ones with their new passwords; then take writes."""
        promoting = self._is_standby()
        if promoting:
            self.start()
            with self.session() as server:
                for account in accounts:
                    _ensure_slot(server, account.name)
        self.make_read_only(False)
        self.start()
        with self.session(timeout_s=_PROMOTE_TIMEOUT_S) as server:
            for account in accounts:
                _ensure_account(server, account)
                _ensure_slot(server, account.name)
            if promoting:
                server.run("CHECKPOINT")  # before it, pg_rewind takes this server for a part of the old history

    def demote_replication_master(self) -> None:
        """Forget what only a source needs; the server follows another one by now."""
        with self.session() as server:
            for (slot,) in server.run("SELECT slot_name FROM pg_replication_slots WHERE NOT temporary"):
                _drop_slot(server, slot)

    def cleanup_source_on_replica_detach(self, account: str) -> None:
        """Remove the account of a replica that follows no more, and its slot. Missing is fine."""
        with self.session() as server:
            _drop_slot(server, account)
            server.run(f"DROP ROLE IF EXISTS {name(account)}")

    def get_latest_txn_id(self) -> str:
        """Return the position in the log after the last write that this source took."""
        with self.session() as server:
            return text_of(_position(server))

    def wait_for_txn(self, txn: str, *, timeout_s: float) -> None:
        """Return when a write of the source is applied here; raises `GuestError` after `timeout_s` seconds."""
        wanted, deadline = number_of(txn), time.monotonic() + timeout_s
        with self.session(timeout_s=timeout_s + 10) as server:
            while (applied := _position(server)) < wanted:
                if time.monotonic() > deadline:
                    state = self.replica_state()
                    why = f" {state.problem}" if state is not None and state.problem else ""
                    raise GuestError(f"The replica has come to {text_of(applied)}, not to {txn}, in {timeout_s:.0f} s.{why}")
                time.sleep(0.01)

    def get_last_txn(self) -> Received:
        """Return how far the writes of the source have been received, applied or not."""
        with self.session() as server:
            received = _position(server, "GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())")
            origin = f"{self._identity()}/{int(server.value(_OWN_TIMELINE), 16)}"
        return Received(origin=origin, position=received)

    def replica_state(self) -> ReplicaState | None:
        """Return whether and how closely this server follows its source; None when it is not a replica."""
        if not self._is_standby() or self._state.flag("closed"):
            return None
        if self._state.flag("parted") or self._state.followed() is None:
            return ReplicaState(following=False, problem="It was parted from its source.")
        if self._host.server_pid() is None:
            return ReplicaState(following=False, problem="The database server does not run.")
        with self.session() as server:
            ((status, known, applied, age),) = server.run(_STATE)
        if status != "streaming":
            return ReplicaState(following=False, problem=self._trouble())
        if applied and number_of(applied) >= number_of(known):
            return ReplicaState(following=True, lag_s=0.0)
        return ReplicaState(following=True, lag_s=round(float(age), 3) if age else None)

    def _promote(self) -> None:
        with self.session(timeout_s=_PROMOTE_TIMEOUT_S) as server:
            if server.value("SELECT pg_is_in_recovery()") == "t":
                server.run(f"SELECT pg_promote(true, {_PROMOTE_TIMEOUT_S - 10})")
            if server.value("SELECT pg_is_in_recovery()") == "t":
                raise GuestError("The server does not become a source: it is still in recovery.")
        self._state.forget_source()
        for flag in ("closed", "parted"):
            self._state.set_flag(flag, on=False)
        self.reload()

    def _apply_all(self) -> None:
        """Return when nobody sends any more and all that was received is applied: of the last record there may be half only."""
        deadline = time.monotonic() + APPLY_TIMEOUT_S
        with self.session(timeout_s=APPLY_TIMEOUT_S) as server:
            while server.run("SELECT 1 FROM pg_stat_wal_receiver") or server.value(_IS_APPLYING) == "t":
                if time.monotonic() > deadline:
                    raise GuestError("The replica does not come to the end of what it has received.")
                time.sleep(0.01)

    def _await_following(self) -> None:
        deadline = time.monotonic() + FOLLOW_TIMEOUT_S
        state = None
        while time.monotonic() < deadline:
            with suppress(TroveError):
                state = self.replica_state()
                if state is not None and state.following:
                    return
            time.sleep(0.02)
        raise GuestError(f"The replica does not follow its source: {state.problem if state else 'it is none'}")

    def _identity(self) -> str:
        return (self._host.read_file(self._data / IDENTITY) or b"").decode()

    def _parted_from(self, source: Source) -> str | None:
        """Part this standby from whom it follows, and return why it cannot follow another one; None when it can."""
        if self._asked(source, _TOLD).split("|")[0] != self._identity():
            return "its data are not a copy of those of the source."
        self._state.set_flag("parted", on=True)
        self.reload()
        self._apply_all()
        # Only now, because the source goes on.
        _, in_recovery, file, end = self._asked(source, _TOLD).split("|")
        if in_recovery == "t":
            return None  # what that has, all have
        timeline = int(file[:8], 16)
        with self.session() as server:
            own = int(server.value(_OWN_TIMELINE), 16)
            received = _position(server)
        ends = {timeline: number_of(end)}
        if timeline > 1 and own != timeline:
            lines = self._asked(source, _HISTORY.format(timeline)).split(";")
            entries = [line.split("\t") for line in lines if re.match(r"\d+\t", line)]
            ends |= {int(entry[0]): number_of(entry[1]) for entry in entries}
        if own not in ends or received > ends[own]:
            return f"it has writes that the source never got, up to {text_of(received)} in timeline {own}."
        return None

    def _asked(self, source: Source, statement: str) -> str:
        """Return the only row that a source answers to a statement of its replica."""
        told = conninfo(_followed(source), "{password}", dbname="postgres", options="-c search_path=pg_catalog")
        line = (self._program("psql"), "-X", "-w", "-A", "-t", "-q", f"--dbname={told}", "-c", statement)
        return run(self._host, *line, secrets={"password": password_line(source.account)}, timeout_s=60).strip()

    def _rewind(self, source: Source) -> None:
        """Bring the data of what went on alone back to where it parted from the source. Stops the server.

        At no moment does the server take writes of tenants: it is closed first, and reached by nobody until it is in recovery.
        """
        identity = self._asked(source, _TOLD).split("|")[0]
        if identity != self._identity():
            raise GuestError(f"{_ANEW}its data are not a copy of those of the source.")
        self._state.set_flag("closed", on=True)
        self.stop(timeout_s=STOP_TIMEOUT_S)
        if not self._state.flag("rewinding"):
            (self._data / "standby.signal").unlink(missing_ok=True)
            # Only a server that was stopped cleanly, and not as a standby, tells all that it ever wrote.
            self._config.use_written()
            self._launch(private=True)
            self.stop(timeout_s=STOP_TIMEOUT_S)
        told = conninfo(_followed(source), "{password}", dbname="postgres")
        line = (self._program("pg_rewind"), f"--target-pgdata={self._data}", f"--source-server={told}", "--no-ensure-shutdown")
        secrets = {"password": password_line(source.account)}
        try:
            run(self._host, *line, "--dry-run", secrets=secrets)
            self._state.set_flag("rewinding", on=True)
            run(self._host, *line, secrets=secrets)
        except GuestError as error:
            raise GuestError(f"{_ANEW}{error.message}") from None
        self._host.write_file(self._data / "standby.signal", b"")
        self._state.set_flag("rewinding", on=False)

    def _trouble(self) -> str:
        """Return the last words of the server's log about its source."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        found = [line for line in lines if any(words in line for words in _TROUBLE)]
        return re.sub(r"^.*?(FATAL|ERROR|LOG):\s+", "", found[-1]) if found else "It is not connected to its source."


def _followed(source: Source) -> Followed:
    return Followed(host=source.host, port=source.port, account=source.account.name)


def _position(server: Session, of_standby: str = "pg_last_wal_replay_lsn()") -> int:
    return number_of(server.value(f"SELECT CASE WHEN pg_is_in_recovery() THEN {of_standby} ELSE pg_current_wal_lsn() END"))


def _ensure_account(server: Session, account: Account) -> None:
    if not _NAME.fullmatch(account.name):
        raise GuestError(f"The account of a replica must be named in small letters, digits and '_', not '{account.name}'.")
    with server.transaction():
        for role, options in ((naming.REPLICAS, "NOLOGIN"), (account.name, "NOLOGIN")):
            if not server.run("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                server.run(f"CREATE ROLE {name(role)} {options}")
        for function in _RIGHTS:
            server.run(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {naming.REPLICAS}")
        server.run(f"GRANT {naming.REPLICAS} TO {name(account.name)}")
        server.run(f"ALTER ROLE {name(account.name)} LOGIN REPLICATION PASSWORD {literal(verifier(account.password))}")


def _ensure_slot(server: Session, slot: str) -> None:
    """Make the slot of a replica that keeps the log from now on, unless there is one that does."""
    rows = server.run("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", slot)
    if rows and rows[0][0] in {"lost", "unreserved"}:
        _drop_slot(server, slot)
        rows = ()
    if not rows:
        server.run("SELECT pg_create_physical_replication_slot($1, true)", slot)


def _drop_slot(server: Session, slot: str) -> None:
    """Drop a slot, also one that is in use: its replica follows another source by now, or is about to."""
    for _ in range(100):
        rows = server.run("SELECT COALESCE(active_pid, 0) FROM pg_replication_slots WHERE slot_name = $1", slot)
        if not rows:
            return
        if rows[0][0] != "0":
            server.run("SELECT pg_terminate_backend($1::int)", rows[0][0])
            time.sleep(0.05)
        try:
            server.run("SELECT pg_drop_replication_slot($1)", slot)
        except GuestError as error:
            if not error.message.endswith(_IN_USE):
                raise
            continue
        return
    raise GuestError(f"Replication slot {slot} cannot be dropped: somebody uses it.")
