"""Backups of MySQL without another program than its own: copies by the plugin CLONE, and binary logs after them.

Sources: "Cloning Data Locally", "mysqlbinlog" and "Point-in-Time (Incremental) Recovery" of MySQL's manual. The copy is staged
on the volume, for the plugin writes files only; that takes as much room as the data. An incremental backup is the binary logs
since the one before it, from a log on that may overlap with it: what is there already is skipped by its transaction id.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trove.core.errors import GuestError, TroveError
from trove.core.json import JSON
from trove.core.trees import bytes_on_disk
from trove.core.units import MIB
from trove.datastores.contract import Command, Host
from trove.datastores.families.mysql.naming import ADMIN
from trove.datastores.families.mysql.programs import program
from trove.datastores.families.mysql.sql import Session
from trove.datastores.families.oracle_mysql.install import PACKAGE, remove_identity

ENCODING = "tar"
LONGEST_S = 7 * 24 * 3600.0

_SPARE = 64 * MIB
_STOP_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 900.0
_TRIES_S = 60.0
_BUSY = "(3634)"
"""How the error ends that says: a copy is being made already."""
_LEFT_BEHIND = "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER = %s AND INFO LIKE 'CLONE%%'"

Writable = Callable[[Session], contextlib.AbstractContextManager[None]]
"""Lets a server that takes no writes do what it would refuse."""

_NOT_COPIED = ("binlog.*", "relay.*", "#innodb_redo", "#innodb_temp", "ibtmp*")


@dataclass(kw_only=True)
class TarDump:
    """A backup that is being made."""

    chunks: Iterator[bytes]
    _positions: Mapping[str, JSON] = field(default_factory=dict)

    def positions(self) -> Mapping[str, JSON]:
        """Return the binary log in which the next incremental begins, and transactions that are surely in this backup."""
        return self._positions


@contextlib.contextmanager
def dump(host: Host, sql: Session, data: Path, *, since: Mapping[str, JSON] | None, writable: Writable) -> Iterator[TarDump]:
    """Copy the data of the running server, or collect its binary logs since a backup. `sql` must be ready to wait for long."""
    copy = host.data_dir / "backup"
    _end_left_behind(sql)
    host.remove_tree(copy)
    try:
        if since is None:
            where = copy / "data"
            names: tuple[str, ...] = ("--sparse", ".")
            begin = _position(sql)
            _need_room(host, data)
            host.make_dir(copy)
            _clone(sql, where)
        else:
            where = data
            begin, logs = _logs_since(sql, since, writable)
            # Nothing to pack is no reason to fail.
            names = logs or ("--files-from=/dev/null",)
        tar = (program(host, "tar", "tar"), "--create", "--file=-", f"--directory={where}", *names)
        with host.stream(Command(argv=tar, timeout_s=LONGEST_S)) as chunks:
            yield TarDump(chunks=chunks, _positions=begin)
    finally:
        host.remove_tree(copy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What lets the agent in at a server that runs with the data of a backup."""

    first_sql: str
    password: str = field(repr=False)


def restore(
    host: Host,
    target: Path,
    streams: Sequence[Callable[[], Iterator[bytes]]],
    *,
    admission: Admission,
    progress: Callable[[str, int], None],
) -> None:
    """Make the directory `target`, below the data volume, from a full backup and the incremental ones after it."""
    _end_server(host)
    logs = host.data_dir / "binlogs"
    for part in (target, logs):
        host.remove_tree(part)
    try:
        full, *later = streams
        _extract(host, target, full)
        remove_identity(target)
        for number, stream in enumerate(later, start=1):
            progress("applying the changes", 62 + number)
            host.remove_tree(logs)
            _extract(host, logs, stream)
            _replay(host, target, logs, admission)
        host.remove_tree(logs)
        remove_identity(target)
    except BaseException:
        _end_server(host)
        for part in (target, logs):
            host.remove_tree(part)
        raise


def _position(sql: Session) -> Mapping[str, JSON]:
    ((gtids, uuid),) = sql.run("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid")
    log = sql.named("SHOW BINARY LOG STATUS")[0]["File"]
    return {"binlog": str(log), "server": str(uuid), "gtid": str(gtids).replace("\n", "")}


def _clone(sql: Session, target: Path) -> None:
    until = time.monotonic() + _TRIES_S
    while True:
        try:
            sql.run("CLONE LOCAL DATA DIRECTORY = %s", str(target))
            return
        except GuestError as error:
            if not error.message.endswith(_BUSY) or time.monotonic() > until:
                raise
        time.sleep(0.5)


def _end_left_behind(sql: Session) -> None:
    """End copies that nobody waits for any more, because their agent was killed."""
    for (connection,) in sql.run(_LEFT_BEHIND, ADMIN):
        with contextlib.suppress(TroveError):
            sql.run(f"KILL {int(connection)}")


def _need_room(host: Host, data: Path) -> None:
    """Raise `GuestError` when the copy would fill the volume, and with that stop the server that is copied."""
    needed = _SPARE + bytes_on_disk(data, apart=[each for pattern in _NOT_COPIED for each in data.glob(pattern)])
    usage = host.usage()
    free = usage.total - usage.used
    if free < needed:
        raise GuestError(
            f"A backup needs {-(-needed // MIB)} MiB of free space on the volume for a copy of the data, and there are "
            f"{free // MIB} MiB. Make the volume larger."
        )


def _logs_since(sql: Session, since: Mapping[str, JSON], writable: Writable) -> tuple[Mapping[str, JSON], tuple[str, ...]]:
    """Begin a new binary log; return its position, and the names of those before it that hold what came since a backup."""
    gtids, log, server = since.get("gtid"), since.get("binlog"), since.get("server")
    if not isinstance(gtids, str) or not isinstance(log, str):
        raise GuestError("The backup to build on does not tell where it ends.")
    ((executed, uuid),) = sql.run("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid")
    with writable(sql):
        sql.run("FLUSH LOCAL BINARY LOGS")
    names = [str(row["Log_name"]) for row in sql.named("SHOW BINARY LOGS")]
    ((complete, same),) = sql.run(
        "SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, %s), GTID_SUBSET(%s, %s)", gtids, gtids, str(executed).replace("\n", "")
    )
    if not complete or not same:
        raise GuestError("The binary logs since the backup to build on are no longer on the server: make a full backup.")
    closed = tuple(names[:-1])
    if server == uuid and log in closed:
        closed = closed[closed.index(log) :]
    elif server == uuid and log == names[-1]:
        closed = ()
    return {"binlog": names[-1], "server": str(uuid), "gtid": str(executed).replace("\n", "")}, closed


def _extract(host: Host, part: Path, stream: Callable[[], Iterator[bytes]]) -> None:
    host.make_dir(part)
    tar = (program(host, "tar", "tar"), "--extract", "--file=-", f"--directory={part}", "--no-same-owner")
    with (
        contextlib.closing(stream()) as chunks,  # type: ignore[type-var]
        host.stream(Command(argv=tar, timeout_s=LONGEST_S), chunks) as silence,
    ):
        for _ in silence:
            pass


def _replay(host: Host, data: Path, logs: Path, admission: Admission) -> None:
    """Have a server that nobody else reaches run what the binary logs hold."""
    names = sorted(str(each) for each in logs.iterdir())
    if not names:
        return
    socket = host.run_dir / "restore.sock"
    _start(host, data, socket, admission.first_sql)
    try:
        read = Command(argv=(program(host, "mysql-client-core", "mysqlbinlog"), "--no-defaults", *names), timeout_s=LONGEST_S)
        client = program(host, "mysql-client-core", "mysql")
        write = Command(
            argv=(client, "--defaults-file={account}", f"--socket={socket}", "--binary-mode", "--max-allowed-packet=1G"),
            secret_files={"account": f"[client]\nuser={ADMIN}\npassword={admission.password}\n".encode()},
            timeout_s=LONGEST_S,
        )
        with host.stream(read) as events, host.stream(write, events) as silence:
            for _ in silence:
                pass
    finally:
        _end_server(host)


def _start(host: Host, data: Path, socket: Path, first_sql: str) -> None:
    temporary = host.data_dir / "tmp"
    host.remove_tree(temporary)
    host.make_dir(temporary)
    statements = host.run_dir / "restore.sql"
    host.write_file(statements, first_sql.encode(), lasting=False)
    argv = (
        program(host, PACKAGE, "mysqld"),
        "--no-defaults",
        f"--datadir={data}",
        f"--tmpdir={temporary}",
        f"--socket={socket}",
        f"--pid-file={host.run_dir / 'restore.pid'}",
        f"--init-file={statements}",
        f"--log-error={host.log_dir / 'restore.log'}",
        "--secure-file-priv=",
        "--skip-networking",
        "--mysqlx=OFF",
        "--skip-log-bin",
        "--skip-replica-start=ON",
        "--persisted-globals-load=OFF",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--performance-schema=OFF",
        "--event-scheduler=DISABLED",
        "--max-allowed-packet=1G",
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-buffer-pool-size=64M",
    )
    host.start_server(Command(argv=argv))
    until = time.monotonic() + _START_TIMEOUT_S
    while not socket.exists():
        if host.server_pid() is None:
            raise GuestError("The database server did not start with the data of the backup.")
        if time.monotonic() > until:
            raise GuestError("The database server did not answer with the data of the backup.")
        time.sleep(0.02)


def _end_server(host: Host) -> None:
    for number, timeout_s in ((signal.SIGTERM, _STOP_TIMEOUT_S), (signal.SIGKILL, 30.0)):
        host.signal_server(number)
        until = time.monotonic() + timeout_s
        while host.server_pid() is not None and time.monotonic() < until:
            time.sleep(0.02)
    if host.server_pid() is not None:
        raise GuestError("The database server does not end, even when killed.")
