"""Replication of MariaDB by global transaction ids: who writes, who follows whom, and how far each has come.

Sources: "Global Transaction ID", "CHANGE MASTER TO", "SHOW REPLICA STATUS" and "read_only" of MariaDB's manual, each tried on a
real server. Accounts of replicas are made and removed behind the back of the binary log: they belong to one server, and nothing
that an agent does may give a replica transactions that its source does not have.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trove.core.errors import GuestError, InvalidInput, TroveError
from trove.core.json import JSON
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.datastores.families.mysql import sql as family
from trove.datastores.families.mysql.role import OPEN, PARTED, REPLICA, Role, RoleFile
from trove.datastores.families.mysql.server import Server
from trove.datastores.families.mysql.sql import Session
from trove.datastores.mariadb import positions
from trove.datastores.mariadb.positions import Position
from trove.datastores.mariadb.source import history, need_common_history
from trove.datastores.mariadb.state import await_following, state_of, status_of

LOG = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 3
"""How long statements in hand may take until their connections are ended, so that the server can be closed."""
ROLL_BACK_TIMEOUT_S = 120
"""How long what they did may take to be undone."""
APPLY_TIMEOUT_S = 900.0
_LONG_S = 300
"""Stopping a replica waits for the transaction in hand."""
_WAIT_S = 5
"""One wait on a connection; the server's own limits on idle connections are longer."""
_ACCOUNTS = "SELECT User, Host FROM mysql.global_priv WHERE User REGEXP '^replica_[0-9a-f]{16}$'"
_FOLLOW = (
    "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s, MASTER_USE_GTID = slave_pos, "
    "MASTER_CONNECT_RETRY = 2, MASTER_HEARTBEAT_PERIOD = 5, MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 0"
)
"""Without verification MASTER_SSL is TLS where the source has it, which may come and go, and nothing where it has not."""
_LOG_BIN = "mariadb-bin"
"""What the binary log's files begin with, as the configuration says."""
_WRITERS = (
    "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() "
    "AND COMMAND NOT IN ('Binlog Dump', 'Daemon', 'Slave_IO', 'Slave_SQL', 'Slave_worker') AND USER <> 'system user'"
)
_SLEEPING_EVENTS = "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE STATUS = 'SLAVESIDE_DISABLED'"


class Replicating(Server):
    """What the family's `Server` is, and `Replication`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._role = RoleFile(self._host)

    def start(self) -> None:
        """Start the server as what it was, and have a replica follow its source."""
        super().start()
        if self._role.read().following:
            try:
                with self.session() as sql:
                    _follow_by_tls(sql)
                    sql.run("START SLAVE")
            except TroveError as error:
                # It serves reads; `replica_state` tells what is wrong.
                LOG.error("the server does not follow its source: %s", error)

    def wipe(self) -> None:
        """Stop the server, and remove its data and what it was."""
        super().wipe()
        self._role.forget()

    def get_replication_snapshot(self, account: Account, *, progress: Callable[[str, int], None]) -> Mapping[str, JSON]:
        """Make the account for a replica. Its data come by a backup, which tells from where on it is to follow."""
        progress("making the account of the replica", 10)
        with self.session() as sql:
            self._let_in(sql, account)
        return {}

    def prepare_replica(
        self, *, config: str, snapshot: Mapping[str, JSON], source: Source, progress: Callable[[str, int], None]
    ) -> None:
        """Start the server on data that were restored from a backup of the source, closed, and follow from where that ends."""
        self._role.write(Role(closed=True, following=self._role.read().following))
        found = snapshot.get("positions")
        begin = positions.read(str(found.get("gtid") or "")) if isinstance(found, Mapping) else {}
        self._begin_log_at(begin)
        self.prepare(config=config, progress=progress)
        progress("following the source", 85)
        with self.session() as sql:
            _begin_at(sql, begin)
            for name, host in sql.run(_ACCOUNTS):
                self._keep_out(sql, name, host)
            self._follow(sql, source)

    def attach_replica(self, source: Source | None) -> None:
        """Take no more writes and follow `source`; None is whom it followed last. A server that does not run is started."""
        before, ran = self._role.read(), self._host.server_pid() is not None
        if not ran:
            self._role.write(PARTED)
            self.start()
        if source is None:
            self._follow_again()
            return
        try:
            self._prove_common_history(source)
        except GuestError:
            self._role.write(before)
            if ran:
                self._be_again(before)
            raise
        with self.session(read_timeout_s=_LONG_S) as sql:
            self._follow(sql, source)

    def detach_replica(self, *, for_failover: bool) -> None:
        """Apply all that was received, then follow nobody. It takes writes afterwards unless `for_failover`."""
        with self.session(read_timeout_s=_LONG_S) as sql:
            if not status_of(sql) and not self._role.read().closed:
                return  # it has taken writes of its own by now
            self._apply_all(sql)
            self._role.write(PARTED)
            sql.run("STOP SLAVE")
            if not for_failover:
                self._part(sql)
        if not for_failover:
            self._role.write(OPEN)
            self._open()

    def make_read_only(self, read_only: bool) -> None:
        """Take no more writes of tenants, or take them again. What was being written is acknowledged before, or never."""
        role = self._role.read()
        if read_only:
            self._role.write(Role(closed=True, following=role.following))
            self._close()
        elif role.following:
            raise GuestError("This server is a replica, so it cannot take writes of its own. Detach it first.")
        else:
            self._role.write(OPEN)
            self._open()

    def enable_as_master(self, accounts: Sequence[Account]) -> None:
        """Let replicas log in with these accounts, existing ones with their new passwords; then take writes."""
        with self.session(read_timeout_s=_LONG_S) as sql:
            if status_of(sql):
                if self._role.read().following:
                    raise GuestError("This server still follows its source. Part it from that first.")
                self._part(sql)
            for account in accounts:
                self._let_in(sql, account)
        self._role.write(OPEN)
        self._open()

    def demote_replication_master(self) -> None:
        """Remove the accounts of those that were its replicas."""
        with self.session() as sql:
            for name, host in sql.run(_ACCOUNTS):
                self._keep_out(sql, name, host)

    def cleanup_source_on_replica_detach(self, account: str) -> None:
        """Remove the account of a replica that follows no more. Missing is fine."""
        with self.session() as sql:
            for name, host in sql.run(_ACCOUNTS):
                if name == account:
                    self._keep_out(sql, name, host)

    def get_latest_txn_id(self) -> str:
        """Return the last write that this source took."""
        with self.session() as sql:
            return positions.write(_own_position(sql))

    def wait_for_txn(self, txn: str, *, timeout_s: float) -> None:
        """Return when a write of the source is applied here; raises `GuestError` after `timeout_s` seconds."""
        wanted, until = positions.read(txn), time.monotonic() + timeout_s
        with self.session() as sql:
            while not positions.reaches(_own_position(sql), wanted):
                left = until - time.monotonic()
                if left <= 0:
                    problem = state_of(status_of(sql)).problem
                    why = f" {problem}" if problem else ""
                    raise GuestError(f"The replica did not catch up with its source within {timeout_s:.0f} s.{why}")
                sql.run("SELECT MASTER_GTID_WAIT(%s, %s)", txn, min(_WAIT_S, left))

    def get_last_txn(self) -> Received:
        """Return how far the writes of the source have been received; `origin` is the source that it follows, or did last."""
        with self.session() as sql:
            status = status_of(sql)
            if not status:
                raise GuestError("This server is not a replica: it has received nothing.")
            received = positions.merged(positions.read(status["Gtid_IO_Pos"]), _own_position(sql))
        return Received(origin=f"{status['Master_Host']}:{status['Master_Port']}", position=positions.length(received))

    def replica_state(self) -> ReplicaState | None:
        """Return whether and how closely this server follows its source; None when it is not a replica."""
        if not self._role.read().following:
            return None
        with self.session(read_timeout_s=5) as sql:
            return state_of(status_of(sql))

    def check_open(self) -> None:
        """Raise `InvalidInput` when the server takes no changes: with one, it would not be like its source any more."""
        if self._role.read().closed:
            raise InvalidInput("This instance is a replica, which takes no changes of its own. Make them on its source.")

    def _tell_tls(self) -> bool:
        pending = super()._tell_tls()
        if self._role.read().following and self._host.server_pid() is not None:
            with self.session(read_timeout_s=_LONG_S) as sql:
                if _follow_by_tls(sql):
                    sql.run("START SLAVE")
        return pending

    def _more_options(self) -> tuple[str, ...]:
        # Only the agent has it follow its source.
        closed = ("--read-only",) if self._role.read().closed else ()
        return (*super()._more_options(), "--skip-slave-start", *closed)

    def _follow_again(self) -> None:
        with self.session(read_timeout_s=_LONG_S) as sql:
            if not status_of(sql):
                raise GuestError("This server follows nobody whom it could follow again.")
            self._role.write(REPLICA)
            self._close_with(sql)
            sql.run("START SLAVE")

    def _begin_log_at(self, begin: Position) -> None:
        """Have the binary log of a server that never ran begin where its backup ends: it can be the source itself, later.

        A server without a binary log takes where it begins from the state of one. (RESET MASTER would wait for a second.)
        """
        if begin and self._holds_data() and self._host.read_file(self._data / f"{_LOG_BIN}.index") is None:
            lines = "".join(f"{begin[domain]}\n" for domain in sorted(begin))
            self._host.write_file(self._data / f"{_LOG_BIN}.state", lines.encode())

    def _prove_common_history(self, source: Source) -> None:
        """Close the server and part it from whom it follows; raise `GuestError` if it has what the source never got.

        A first look changes nothing; the second one sees what was written, or applied, meanwhile.
        """
        with self.session() as sql:
            need_common_history(_own_position(sql), history(source), source)
        self._role.write(PARTED)
        self._close()
        with self.session(read_timeout_s=_LONG_S) as sql:
            sql.run("STOP SLAVE")
            own = _own_position(sql)
            need_common_history(own, history(source), source)
            if own and own != positions.read(_value(sql, "gtid_slave_pos")):
                sql.run("SET GLOBAL gtid_slave_pos = %s", positions.write(own))

    def _be_again(self, role: Role) -> None:
        """Let a server be what it was before it was closed, or parted, in vain."""
        with contextlib.suppress(TroveError), self.session() as sql:
            if role.following:
                sql.run("START SLAVE")
            if not role.closed:
                sql.run("SET GLOBAL read_only = OFF")

    def _follow(self, sql: Session, source: Source) -> None:
        """Follow a source, and return when it is known to have what this server needs."""
        account = source.account
        # Nothing that a tenant may switch on shall write the password down.
        sql.run("SET SESSION slow_query_log = 0")
        sql.run("STOP SLAVE")
        sql.run(_FOLLOW, source.host, source.port, account.name, account.password)
        sql.run("START SLAVE")
        self._role.write(REPLICA)
        await_following(sql)

    def _part(self, sql: Session) -> None:
        """Forget the source, and let the tenants' events run here that only the source ran."""
        sql.run("STOP SLAVE")
        self._wake_events(sql)
        sql.run("RESET SLAVE ALL")

    def _apply_all(self, sql: Session) -> None:
        """Receive nothing more, and return when all that was received is applied.

        A server whose threads both stand still has nothing that is not applied: they would fetch it anew.
        """
        until = time.monotonic() + APPLY_TIMEOUT_S
        sql.run("STOP SLAVE IO_THREAD")
        while (status := status_of(sql)) and status["Slave_SQL_Running"] == "Yes":
            received = positions.read(status["Gtid_IO_Pos"])
            if positions.reaches(_own_position(sql), received):
                return
            if time.monotonic() > until:
                sql.run("START SLAVE IO_THREAD")
                raise GuestError(f"The replica has not applied what it has received within {APPLY_TIMEOUT_S:.0f} s.")
            sql.run("SELECT MASTER_GTID_WAIT(%s, %s)", positions.write(received), _WAIT_S)
        if status and int(status["Last_SQL_Errno"]):
            raise GuestError(f"The replica cannot apply what it has received: {status['Last_SQL_Error']}")

    def _let_in(self, sql: Session, account: Account) -> None:
        who, identified = sql.account(account.name, "%"), self.dialect.accounts.identified(account.password)
        sql.run("SET SESSION sql_log_bin = 0")
        sql.run(f"CREATE USER IF NOT EXISTS {who} {identified}")
        sql.run(f"ALTER USER {who} {identified} ACCOUNT UNLOCK")
        sql.run(f"GRANT REPLICATION SLAVE ON *.* TO {who}")

    def _keep_out(self, sql: Session, name: str, host: str) -> None:
        sql.run("SET SESSION sql_log_bin = 0")
        sql.run(f"DROP USER IF EXISTS {sql.account(name, host)}")
        self.dialect.accounts.end_sessions(sql, name, host)

    def _wake_events(self, sql: Session) -> None:
        """Let the tenants' events run here that only the source ran."""
        for schema, event, definer in sql.run(_SLEEPING_EVENTS):
            user, _, host = str(definer).rpartition("@")
            try:
                sql.run(f"ALTER DEFINER = {sql.account(user, host)} EVENT {family.name(schema)}.{family.name(event)} ENABLE")
            except TroveError as error:
                LOG.warning("event %s of database %s stays disabled: %s", event, schema, error)

    def _close(self) -> None:
        with self.session(read_timeout_s=_LONG_S) as sql:
            self._close_with(sql)

    def _close_with(self, sql: Session) -> None:
        """Set read_only, which waits for statements and commits in hand; what is open then cannot be committed any more.

        Connections that are in the way for too long are ended: what they did is not acknowledged, and undone.
        """
        for patience_s, last in ((CLOSE_TIMEOUT_S, False), (ROLL_BACK_TIMEOUT_S, True)):
            sql.run(f"SET SESSION lock_wait_timeout = {patience_s}")
            try:
                sql.run("SET GLOBAL read_only = ON")
                return
            except GuestError:
                if last:
                    raise
            for (connection,) in sql.run(_WRITERS):
                with contextlib.suppress(TroveError):
                    sql.run(f"KILL HARD CONNECTION {int(connection)}")

    def _open(self) -> None:
        with self.session() as sql:
            sql.run("SET GLOBAL read_only = OFF")


def _follow_by_tls(sql: Session) -> bool:
    """Have a replica that was told to do without TLS by an earlier release use it where its source has it.

    Tells whether it did, and follows no more until it is started again.
    """
    if status_of(sql).get("Master_SSL_Allowed") != "No":
        return False
    sql.run("STOP SLAVE")
    sql.run("CHANGE MASTER TO MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 0")
    return True


def _begin_at(sql: Session, begin: Position) -> None:
    """Let a server that was made from a backup know from where on it is to follow, unless it has come further by now."""
    if not positions.reaches(positions.read(_value(sql, "gtid_binlog_pos")), begin):
        raise GuestError("The server's binary log does not begin where the backup of its source ends.")
    if not positions.reaches(positions.read(_value(sql, "gtid_slave_pos")), begin):
        sql.run("STOP SLAVE")
        sql.run("SET GLOBAL gtid_slave_pos = %s", positions.write(begin))


def _own_position(sql: Session) -> Position:
    """Return the last transaction that this server has, by whomever it was taken first."""
    ((logged, followed),) = sql.run("SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos")
    return positions.merged(positions.read(logged), positions.read(followed))


def _value(sql: Session, variable: str) -> str:
    ((value,),) = sql.run(f"SELECT @@GLOBAL.{variable}")
    return str(value or "")
