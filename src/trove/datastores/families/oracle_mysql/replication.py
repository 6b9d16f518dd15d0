"""Replication of MySQL by global transaction ids: who writes, who follows whom, and how far each has come.

Sources: "Replication with Global Transaction Identifiers", "The Clone Plugin", "CHANGE REPLICATION SOURCE TO" and
"super_read_only" of MySQL's manual, each tried on a real server. Accounts of replicas are made and removed behind the binary
log's back: they belong to one server, and nothing that an agent does may give a replica transactions that its source has not.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trove.core.errors import GuestError, InvalidInput, TroveError, Unavailable
from trove.core.json import JSON
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.datastores.families.mysql import sql as family
from trove.datastores.families.mysql.role import OPEN, PARTED, REPLICA, Role, RoleFile
from trove.datastores.families.mysql.server import Server
from trove.datastores.families.mysql.sql import Session
from trove.datastores.families.oracle_mysql import positions

LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 60.0
"""How long a source may take until it answers one that begins to follow it."""
CLOSE_TIMEOUT_S = 5
"""How long statements in hand may take until their connections are ended, so that the server can be closed."""
LONGEST_CLONE_S = 7 * 24 * 3600
_WAIT_S = 5
_STOP_TIMEOUT_S = 120.0
_ENDED_BY_CLONE = "(3707)"
"""How the error ends that says: the copy is there, and the server has ended, for nobody but the agent can start it again."""
_LOST_LOGS = frozenset({1236, 13114, 13115})
_FOLLOW = (
    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = %s, SOURCE_PASSWORD = %s, "
    "SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 2, SOURCE_RETRY_COUNT = 0, "
    "SOURCE_HEARTBEAT_PERIOD = 5"
)
_FOLLOWED = "SELECT Host, Port, User_name, User_password FROM mysql.slave_master_info WHERE Channel_name = '' AND Host <> ''"
_WRITERS = (
    "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND NOT IN "
    "('Binlog Dump', 'Binlog Dump GTID', 'Daemon') AND USER NOT IN ('system user', 'event_scheduler')"
)
_SLEEPING_EVENTS = (
    "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS "
    "WHERE STATUS IN ('REPLICA_SIDE_DISABLED', 'SLAVESIDE_DISABLED')"
)


class Replicating(Server):
    """What the family's `Server` is, and `Replication`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._role = RoleFile(self._host)

    def wipe(self) -> None:
        """Stop the server, and remove its data and what it was."""
        super().wipe()
        self._role.forget()

    def get_replication_snapshot(self, account: Account, *, progress: Callable[[str, int], None]) -> Mapping[str, JSON]:
        """Make the account with which a replica copies the data by itself, and then follows."""
        progress("making the account of the replica", 10)
        with self.session() as sql:
            self._let_in(sql, account)
        return {}

    def prepare_replica(
        self, *, config: str, snapshot: Mapping[str, JSON], source: Source, progress: Callable[[str, int], None]
    ) -> None:
        """Copy the data of the source by the plugin CLONE, whatever there is here, start on them closed, and follow it."""
        if self._host.server_pid() is not None:
            self.stop(timeout_s=_STOP_TIMEOUT_S)
        self._role.write(PARTED)
        self._host.remove_tree(self._data)
        self.prepare(config=config, progress=lambda _step, percent: progress("starting an empty server", 5 + percent // 10))
        progress("copying the data of the source", 20)
        begin, _ = _history(source)
        self._clone(source)
        progress("starting the server with the copy", 80)
        self.start()
        progress("following the source", 90)
        with self.session() as sql:
            # A server that was killed in the middle starts again, with what it had before.
            ((whole,),) = sql.run("SELECT GTID_SUBSET(%s, @@GLOBAL.gtid_executed)", begin)
            if not whole:
                raise GuestError("The database server ended while it copied the data of its source.")
            self._follow(sql, source)

    def attach_replica(self, source: Source | None) -> None:
        """Take no more writes and follow `source`; None is whom it followed last. A server that does not run is started."""
        before, ran = self._role.read(), self._host.server_pid() is not None
        if not ran:
            self._role.write(PARTED)
            self.start()
        with self.session() as sql:
            source = source or _followed(sql)
        try:
            self._prove_common_history(source)
        except TroveError:
            # One that did not run before stays closed: somebody else may take the writes by now.
            if ran:
                self._be_again(before)
            raise
        with self.session() as sql:
            self._follow(sql, source)

    def detach_replica(self, *, for_failover: bool) -> None:
        """Apply all that was received, then follow nobody. It takes writes afterwards unless `for_failover`."""
        with self.session() as sql:
            if _status(sql):
                sql.run("STOP REPLICA IO_THREAD")
                _apply_all(sql)
                self._role.write(PARTED)
                sql.run("STOP REPLICA")
            self._role.write(PARTED)
            if not for_failover:
                _part(sql)
        if not for_failover:
            self._open()

    def make_read_only(self, read_only: bool) -> None:
        """Take no more writes of tenants, or take them again. What was being written is acknowledged before, or never."""
        role = self._role.read()
        if read_only:
            self._role.write(Role(closed=True, following=role.following))
            if self._host.server_pid() is not None:
                self._close()
        elif role.following:
            raise GuestError("This server is a replica, so it cannot take writes of its own. Detach it first.")
        else:
            self._open()

    def enable_as_master(self, accounts: Sequence[Account]) -> None:
        """Let replicas log in with these accounts, existing ones with their new passwords; then take writes."""
        with self.session() as sql:
            if _status(sql):
                if self._role.read().following:
                    raise GuestError("This server still follows its source. Part it from that first.")
                _part(sql)
            with self._writable(sql):
                for account in accounts:
                    self._let_in(sql, account)
        self._open()

    def demote_replication_master(self) -> None:
        """Do nothing: it is closed, and accounts of replicas that it keeps let nobody write."""

    def cleanup_source_on_replica_detach(self, account: str) -> None:
        """Remove the account of a replica that follows no more. Missing is fine."""
        with self.session() as sql, self._writable(sql):
            sql.run("SET SESSION sql_log_bin = 0")
            sql.run(f"DROP USER IF EXISTS {sql.account(account, '%')}")
            self.dialect.accounts.end_sessions(sql, account, "%")

    def get_latest_txn_id(self) -> str:
        """Return all writes that this source took, as a set of global transaction ids."""
        with self.session() as sql:
            return _executed(sql)

    def wait_for_txn(self, txn: str, *, timeout_s: float) -> None:
        """Return when a write of the source is applied here; raises `GuestError` after `timeout_s` seconds."""
        until = time.monotonic() + timeout_s
        with self.session(read_timeout_s=_WAIT_S + 30) as sql:
            while not _wait(sql, txn, max(0.01, min(_WAIT_S, until - time.monotonic()))):
                if time.monotonic() > until:
                    status = _status(sql)
                    problem = _problem(status) if status else None
                    why = f" {problem}" if problem else ""
                    raise GuestError(f"The replica did not catch up with its source within {timeout_s:.0f} s.{why}")

    def get_last_txn(self) -> Received:
        """Return how far the writes of the source have been received; `origin` is the source that it follows, or did last."""
        with self.session() as sql:
            status = _status(sql)
            if not status:
                raise GuestError("This server is not a replica: it has received nothing.")
            both = positions.joined(_executed(sql), str(status["Retrieved_Gtid_Set"]))
            ((received,),) = sql.run("SELECT GTID_SUBTRACT(%s, '')", both)
        return Received(origin=f"{status['Source_Host']}:{status['Source_Port']}", position=positions.size(str(received)))

    def replica_state(self) -> ReplicaState | None:
        """Return whether and how closely this server follows its source; None when it is not a replica."""
        if not self._role.read().following:
            return None
        with self.session(read_timeout_s=5) as sql:
            return _state(_status(sql))

    def check_open(self) -> None:
        """Raise `InvalidInput` when the server takes no changes: with one, it would not be like its source any more."""
        if self._role.read().closed:
            raise InvalidInput("This instance is a replica, which takes no changes of its own. Make them on its source.")

    def _more_options(self) -> tuple[str, ...]:
        role = self._role.read()
        closed = "ON" if role.closed else "OFF"
        skip = () if role.following else ("--skip-replica-start=ON",)
        return (*super()._more_options(), f"--read-only={closed}", f"--super-read-only={closed}", *skip)

    def _clone(self, source: Source) -> None:
        """Have the server replace its data by a copy of those of the source. It ends when it is done, and keeps nothing."""
        account = source.account
        with self.session(read_timeout_s=LONGEST_CLONE_S) as sql:
            sql.run("SET GLOBAL clone_valid_donor_list = %s", f"{source.host}:{source.port}")
            # The copy is as closed as this server is by its options; that alone must not keep it from being made.
            sql.run("SET GLOBAL super_read_only = OFF")
            donor = sql.account(account.name, source.host)
            try:
                sql.run(f"CLONE INSTANCE FROM {donor}:{source.port} IDENTIFIED BY %s REQUIRE SSL", account.password)
            except Unavailable:
                pass
            except GuestError as error:
                if not error.message.endswith(_ENDED_BY_CLONE):
                    raise GuestError(f"The data of the source could not be copied. {error.message}") from None
        if not self._wait_until_gone(_STOP_TIMEOUT_S):
            raise GuestError("The database server did not end after it had copied the data of the source.")

    def _prove_common_history(self, source: Source) -> None:
        """Close the server and part it from whom it follows; raise `GuestError` if it has what the source never got.

        A first look changes nothing; the second one sees what was written, or applied, meanwhile.
        """
        with self.session() as sql:
            _need_common_history(sql, source)
        self._role.write(PARTED)
        self._close()
        with self.session() as sql:
            sql.run("STOP REPLICA")
            _need_common_history(sql, source)

    def _be_again(self, role: Role) -> None:
        """Let a server be what it was before it was closed, or parted, in vain."""
        self._role.write(role)
        with contextlib.suppress(TroveError), self.session() as sql:
            if role.following:
                sql.run("START REPLICA")
            if not role.closed:
                sql.run("SET GLOBAL read_only = OFF")

    def _follow(self, sql: Session, source: Source) -> None:
        """Follow a source, and return when it is known to have what this server needs."""
        account = source.account
        # Nothing that a tenant may switch on shall write the password down.
        sql.run("SET SESSION long_query_time = 31536000")
        sql.run("STOP REPLICA")
        sql.run(_FOLLOW, source.host, source.port, account.name, account.password)
        sql.run("START REPLICA")
        self._role.write(REPLICA)
        _await_following(sql)

    def _let_in(self, sql: Session, account: Account) -> None:
        who, identified = sql.account(account.name, "%"), self.dialect.accounts.identified(account.password)
        sql.run("SET SESSION sql_log_bin = 0")
        sql.run(f"CREATE USER IF NOT EXISTS {who} {identified}")
        sql.run(f"ALTER USER {who} {identified} REQUIRE SSL ACCOUNT UNLOCK")
        sql.run(f"GRANT REPLICATION SLAVE, BACKUP_ADMIN ON *.* TO {who}")

    @contextlib.contextmanager
    def _writable(self, server: Session) -> Iterator[None]:
        """Let administrators write to a closed server while the block lasts: it refuses them even to flush a log."""
        if not self._role.read().closed:
            yield
            return
        server.run("SET GLOBAL super_read_only = OFF")
        try:
            yield
        finally:
            server.run("SET GLOBAL super_read_only = ON")

    def _close(self) -> None:
        """Set super_read_only, which waits for commits in hand; what is open then cannot be committed any more.

        Connections that are in the way for too long are ended: what they did is not acknowledged, and undone.
        """
        with self.session(read_timeout_s=60) as sql:
            sql.run(f"SET SESSION lock_wait_timeout = {CLOSE_TIMEOUT_S}")
            for last in (False, True):
                try:
                    sql.run("SET GLOBAL super_read_only = ON")
                except GuestError:
                    if last:
                        raise
                    for (connection,) in sql.run(_WRITERS):
                        with contextlib.suppress(TroveError):
                            sql.run(f"KILL {int(connection)}")

    def _open(self) -> None:
        self._role.write(OPEN)
        if self._host.server_pid() is None:
            return
        with self.session() as sql:
            sql.run("SET GLOBAL read_only = OFF")
            _wake_events(sql)


def _part(sql: Session) -> None:
    sql.run("STOP REPLICA")
    sql.run("RESET REPLICA ALL")


def _executed(sql: Session) -> str:
    ((gtids,),) = sql.run("SELECT @@GLOBAL.gtid_executed")
    return str(gtids).replace("\n", "")


def _status(sql: Session) -> Mapping[str, Any]:
    """Return what the server tells of itself as a replica; nothing when it knows no source."""
    rows = sql.named("SHOW REPLICA STATUS")
    return rows[0] if rows else {}


def _wait(sql: Session, gtids: str, seconds: float) -> bool:
    ((timed_out,),) = sql.run("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", gtids, seconds)
    return not int(timed_out)


def _apply_all(sql: Session) -> None:
    """Return when all that was received is applied. A server whose threads both stood still has received nothing more."""
    while (status := _status(sql)) and status["Replica_SQL_Running"] == "Yes":
        if _wait(sql, str(status["Retrieved_Gtid_Set"]).replace("\n", ""), _WAIT_S):
            return
    if status and int(status["Last_SQL_Errno"]):
        raise GuestError(f"The replica cannot apply what it has received: {status['Last_SQL_Error']}")


def _state(status: Mapping[str, Any]) -> ReplicaState:
    if not status:
        return ReplicaState(following=False, problem="It knows no source.")
    receiving, applying = status["Replica_IO_Running"], status["Replica_SQL_Running"] == "Yes"
    behind = status["Seconds_Behind_Source"]
    return ReplicaState(
        following=receiving == "Yes" and applying,
        lag_s=None if behind is None or receiving != "Yes" else float(behind),
        problem=_problem(status),
    )


def _problem(status: Mapping[str, Any]) -> str | None:
    if int(status["Last_SQL_Errno"]):
        return f"It cannot apply what it has received: {status['Last_SQL_Error']}"
    if int(status["Last_IO_Errno"]) in _LOST_LOGS:
        return f"Its source has not what it needs, so it must be built anew. {status['Last_IO_Error']}"
    if int(status["Last_IO_Errno"]):
        return f"It does not reach its source: {status['Last_IO_Error']}"
    if status["Replica_SQL_Running"] != "Yes":
        return "It does not apply what it receives."
    return "It does not receive from its source." if status["Replica_IO_Running"] == "No" else None


def _await_following(sql: Session) -> None:
    """Return when the source sends; raises `GuestError` when it has not what this server needs."""
    until = time.monotonic() + CONNECT_TIMEOUT_S
    while not (state := _state(status := _status(sql))).following:
        final = int(status["Last_SQL_Errno"]) or int(status["Last_IO_Errno"]) in _LOST_LOGS
        if final or time.monotonic() > until:
            sql.run("STOP REPLICA")
            raise GuestError(state.problem or f"The source did not answer within {CONNECT_TIMEOUT_S:.0f} s.")
        time.sleep(0.02)


def _followed(sql: Session) -> Source:
    rows = sql.run(_FOLLOWED)
    if not rows:
        raise GuestError("This server follows nobody whom it could follow again.")
    host, port, user, password = rows[0]
    return Source(host=str(host), port=int(port), account=Account(name=str(user), password=str(password)))


def _need_common_history(sql: Session, source: Source) -> None:
    own = _executed(sql)
    theirs, purged = _history(source)
    ((errant, complete),) = sql.run("SELECT GTID_SUBTRACT(%s, %s), GTID_SUBSET(%s, %s)", own, theirs, purged, own)
    if errant:
        raise GuestError(
            f"This server has writes that its new source {source.host}:{source.port} does not have "
            f"({str(errant)[:200]}). It must be built anew."
        )
    if not complete:
        raise GuestError(
            f"The source {source.host}:{source.port} no longer has all writes that this server lacks. It must be built anew."
        )


def _history(source: Source) -> tuple[str, str]:
    """Return what the source has executed, and what of that it has no longer in its binary logs."""
    import ssl  # noqa: PLC0415

    import pymysql  # noqa: PLC0415

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    who, until, pause_s = source.account, time.monotonic() + CONNECT_TIMEOUT_S, 0.1
    at = f"The source {source.host}:{source.port}"
    while True:
        try:
            connection = pymysql.connect(
                host=source.host,
                port=source.port,
                user=who.name,
                password=who.password,
                connect_timeout=5,
                read_timeout=10,
                ssl=tls,
            )
            with contextlib.closing(connection), connection.cursor() as cursor:
                cursor.execute("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged")
                executed, purged = cursor.fetchone() or ("", "")
                return str(executed).replace("\n", ""), str(purged).replace("\n", "")
        except pymysql.err.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code == 1045:
                raise GuestError(f"{at} refuses the account of the replica.") from None
            if time.monotonic() > until:
                raise GuestError(f"{at} does not answer ({code}).") from None
        time.sleep(pause_s)
        pause_s = min(2.0, pause_s * 2)


def _wake_events(sql: Session) -> None:
    """Let the tenants' events run here that only the source ran."""
    for schema, event, definer in sql.run(_SLEEPING_EVENTS):
        user, _, host = str(definer).rpartition("@")
        try:
            sql.run(f"ALTER DEFINER = {sql.account(user, host)} EVENT {family.name(schema)}.{family.name(event)} ENABLE")
        except TroveError as error:
            LOG.warning("event %s of database %s stays disabled: %s", event, schema, error)
