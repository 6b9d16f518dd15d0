"""Runs a server of the family on a host: prepare, start, stop, probe, configure, wipe."""

import base64
import contextlib
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from trove.core.errors import GuestError, InvalidInput, TroveError, Unavailable
from trove.core.status import ServiceStatus
from trove.core.tls import Tls, TlsMode
from trove.core.units import KIB, MIB
from trove.datastores.contract import Command, Host
from trove.datastores.families.mysql import sql
from trove.datastores.families.mysql.accounts import Accounts
from trove.datastores.families.mysql.certificates import LIST, note_of_replica, settle
from trove.datastores.families.mysql.configfile import ConfigFile
from trove.datastores.families.mysql.dialect import Dialect
from trove.datastores.families.mysql.logs import ServerLogs
from trove.datastores.families.mysql.naming import ADMIN
from trove.datastores.families.mysql.options import read_config
from trove.datastores.families.mysql.programs import program
from trove.datastores.launching import launch_surely
from trove.datastores.tlsfiles import TlsFiles

LOG = logging.getLogger(__name__)

START_TIMEOUT_S = 900.0
"""Crash recovery of a large database takes long; a server that dies is noticed at once."""

_SET_TIMEOUT_S = 120
"""Some variables are set only when files of that size were written."""
_NEARLY_FULL = 32 * MIB
_PREPARED = " prepared transactions!"
"""What servers say that find transactions of which no binary log tells whether they were committed."""
_WRITE_TEST = 512 * KIB


class ServerDied(GuestError):
    """The server ended before it answered; the message ends with what it wrote in its log."""


class Server(Accounts):
    """What every driver of the family does alike: `Driver`, `Databases`, `Users`, `Root`, `Configuration` and `Logs`.

    On the volume: `data` (the server's), `tmp`, `files` (the only place that SQL may read and write files in).
    """

    def __init__(self, host: Host, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._host = host
        self._data = host.data_dir / "data"
        self._tmp = host.data_dir / "tmp"
        self._files = host.data_dir / "files"
        self._socket = host.run_dir / f"{dialect.file_name}.sock"
        self._pid_file = host.run_dir / f"{dialect.file_name}.pid"
        self._config = ConfigFile(host, f"{dialect.file_name}.cnf")
        self._logs = ServerLogs(host, dialect)
        self._error_log = self._logs.file("error")
        self._tls = TlsFiles(host)
        self._secret = host.private_dir / f"{ADMIN}.password"
        self._first_statements = host.run_dir / "start.sql"
        self._version: tuple[int, str] | None = None

    def prepare(self, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Make the data directory unless it is there, write the configuration, start, wait until it answers.

        `progress(step, percent)` tells how far it is. A data directory that holds data is never overwritten.
        """
        self._program()
        progress("making the data directory", 10)
        if not self._holds_data():
            self._make_data()
        progress("starting the server", 40)
        self._config.write(config, lasting=False)
        self.start()
        progress("server answers", 80)

    def start(self) -> None:
        """Start the server and wait until it answers; does nothing when it runs.

        One that ends with a configuration that it never ran with is started with the one before that. Raises `GuestError` with
        the server's own words when it does not come up.
        """
        if self._host.server_pid() is not None:
            self._wait_until_it_answers(0)
            return
        try:
            launch_surely(self._launch_recovered)
        except ServerDied as error:
            self._start_as_before(error)
        self._config.started()
        if self._tls.in_use():
            self._settle_certificates()

    def _start_as_before(self, error: ServerDied) -> None:
        """Start the server with what it is known to have run with; raise `error` when it does not start with that either."""
        for _ in self._config.fall_backs(error.message):
            try:
                self._launch()
            except ServerDied:
                continue
            LOG.error("the server refused its configuration and runs with one from before: %s", error)
            return
        self._config.undo_fall_back()
        raise error

    def _launch_recovered(self) -> None:
        try:
            self._launch()
        except ServerDied as error:
            if _PREPARED not in error.message:
                raise
            LOG.warning("the server was killed after it had closed its binary log: what that holds is committed now")
            self._commit_prepared()
            self._launch()

    def _commit_prepared(self) -> None:
        """Commit the transactions that a server left prepared which was killed while it stopped.

        It closes its binary log in order when no client is there any more, and writes the commits of the last transactions to
        its redo log after that. So all that are still prepared are in the binary log, were acknowledged, and are what replicas
        have. The server ends by itself when this is done. Source: "Heuristic Recovery with the Transaction Coordinator Log".
        """
        line = (self._program(), *self._options(), "--skip-networking", "--tc-heuristic-recover=COMMIT")
        self._host.write_file(self._first_statements, b"", lasting=False)
        try:
            self._host.start_server(Command(argv=line))
            if not self._wait_until_gone(START_TIMEOUT_S):
                self.stop(timeout_s=30.0)
        finally:
            self._first_statements.unlink(missing_ok=True)

    def _launch(self) -> None:
        if not self._holds_data():
            raise GuestError("There is no data directory: the instance was not prepared.")
        server = self._program()
        self._logs.put_long_aside()
        self._host.remove_tree(self._tmp)
        self._host.make_dir(self._tmp)
        self._host.make_dir(self._files)
        self.check_space()  # the server itself would wait for room, a minute each time, before it ends
        self._host.write_file(self._first_statements, self.dialect.first_sql(self._password()).encode(), lasting=False)
        log_before = self._log_size()
        try:
            self._host.start_server(Command(argv=(server, *self._options())))
            sql.load_client()
            self._wait_until_it_answers(log_before)
        finally:
            self._first_statements.unlink(missing_ok=True)

    def stop(self, *, timeout_s: float) -> None:
        """Stop the server cleanly; kill it after `timeout_s`. Does nothing when it does not run."""
        self._host.signal_server(signal.SIGTERM)
        if not self._wait_until_gone(timeout_s):
            LOG.warning("the server did not stop within %.0f s: killing it", timeout_s)
            self._host.signal_server(signal.SIGKILL)
            if not self._wait_until_gone(30.0):
                raise GuestError("The database server does not end, even when killed.")

    def probe(self) -> ServiceStatus:
        """Ask the server with a real statement: HEALTHY, RUNNING (starting), SHUTDOWN, CRASHED, BLOCKED."""
        if self._host.server_pid() is None:
            return ServiceStatus.CRASHED if self._pid_file.exists() else ServiceStatus.SHUTDOWN
        try:
            with self.session(read_timeout_s=5) as server:
                server.run("SELECT 1")
            self.check_space()
        except Unavailable:
            return ServiceStatus.BLOCKED if self._accepts() else ServiceStatus.RUNNING
        except GuestError as error:
            LOG.error("the server is blocked: %s", error)
            return ServiceStatus.BLOCKED
        return ServiceStatus.HEALTHY

    def version(self) -> str | None:
        """Return the server's own version number, such as `10.11.19`; None while it does not answer."""
        pid = self._host.server_pid()
        if pid is None:
            return None
        if self._version is None or self._version[0] != pid:
            with contextlib.suppress(TroveError), self.session():
                pass  # a new session notes what the server says of itself
        return self._version[1] if self._version is not None and self._version[0] == pid else None

    def tend_logs(self) -> None:
        """Put logs aside that have grown long, and have the server begin new ones; those before them go."""
        names = (*self._logs.put_long_aside(), *self._logs.missing())
        if names:
            with self.session() as server, self._writable(server):
                self._logs.flush(server, names)

    def log_file(self, name: str) -> Path:
        """Return where a log is."""
        return self._logs.file(name)

    def log_enabled(self, name: str) -> bool:
        """Tell whether the server writes a log, or will when it runs."""
        with self._session_if_any() as server:
            return self._logs.enabled(name, server)

    def enable_log(self, name: str, *, enabled: bool) -> None:
        """Have the server write a log, or not, at once and after each start."""
        with self._session_if_any() as server:
            self._logs.switch(name, server, enabled=enabled)

    def write_config(self, config: str) -> None:
        """Replace the configuration file; takes effect on the next start."""
        self._config.write(config)

    def apply_config(self, config: str, *, at_restart: Collection[str]) -> bool:
        """Replace the configuration, at once where the server can; return whether some of it waits for the next start.

        When the server refuses any of it, everything stays as it was, and `GuestError` says what was refused. May run twice.
        """
        from trove.datastores.families.mysql.live import check, set_options  # noqa: PLC0415

        self._host.make_dir(self._tmp)
        check(self._host, self.dialect, config, self._tmp)
        pending = False
        if self._host.server_pid() is not None:
            running = self._config.running()
            with self.session(read_timeout_s=_SET_TIMEOUT_S) as server:
                now = set_options(server, self.dialect, running, config, at_restart=at_restart)
            self._config.changed(now)
            pending = now != read_config(config)
        # Last, so that what a crash leaves half done is found by the next run of this.
        self._config.write(config)
        return pending

    def refused_config(self) -> str | None:
        """Return why the server did not start with the configuration written last; None when it runs with it."""
        return self._config.refused

    def apply_tls(self, tls: Tls | None) -> bool:
        """Serve with this certificate and let in whom its mode says, or do what the server does by itself with None.

        Returns whether it waits for the next start. When it is refused all stays as it was. May run twice.
        """
        return self._tls.apply(tls, self._tell_tls)

    def wipe(self) -> None:
        """Stop the server and remove its data."""
        self.stop(timeout_s=30.0)
        for folder in (self._data, self._data.with_suffix(".new"), self._tmp, self._files):
            self._host.remove_tree(folder)
        self._pid_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def session(self, *, read_timeout_s: int = 12) -> Iterator[sql.Session]:
        """Connect to the server; raises `Unavailable` when it does not answer."""
        pid = self._host.server_pid()
        if pid is None:
            raise Unavailable("The database server does not run.")
        with sql.session(self._socket, self._password(), self.dialect, read_timeout_s=read_timeout_s) as opened:
            self._version = (pid, opened.server_version)
            yield opened

    def check_space(self) -> None:
        """Raise `GuestError` when the volume is full, before a statement would hang on it."""
        usage = self._host.usage()
        if usage.total - usage.used > _NEARLY_FULL:
            return
        test = self._host.data_dir / "tmp" / "write-test"
        try:
            self._host.write_file(test, bytes(_WRITE_TEST))
        finally:
            test.unlink(missing_ok=True)

    def check_open(self) -> None:
        """Do nothing: the server takes changes, unless its engine knows that it follows another one."""

    def _make_data(self) -> None:
        new = self._data.with_suffix(".new")
        self._host.remove_tree(new)
        template = self._host.template_dir
        if template is not None and (template / "mysql").is_dir():
            self._host.copy_tree(template, new)
            new.chmod(0o700)
        else:
            self.dialect.initialise(self._host, new)
        self._host.move(new, self._data)

    def _holds_data(self) -> bool:
        return self._data.is_dir() and any(self._data.iterdir())

    def _options(self) -> tuple[str, ...]:
        return (
            f"--defaults-file={self._config.path}",
            f"--datadir={self._data}",
            f"--tmpdir={self._tmp}",
            f"--secure-file-priv={self._files}",
            f"--socket={self._socket}",
            f"--pid-file={self._pid_file}",
            f"--log-error={self._error_log}",
            f"--init-file={self._first_statements}",
            f"--bind-address={self._host.address}",
            f"--port={self.dialect.port}",
            *self.dialect.options,
            *self._tls_options(),
            *self._more_options(),
            *self._logs.options(),
        )

    @contextlib.contextmanager
    def _session_if_any(self) -> Iterator[sql.Session | None]:
        if self._host.server_pid() is None:
            yield None
            return
        with self.session() as server:
            yield server

    def _tell_tls(self) -> bool:
        """Let the running server know what its TLS files hold now; return whether that waits for the next start."""
        if self._host.server_pid() is None:
            return False
        with self.session() as server:
            pending = self.dialect.reload_tls(server, self._tls, self._data)
        self._settle_certificates()
        return pending

    def _settle_certificates(self) -> None:
        """Have accounts need certificates, or not, as the mode of the running server is."""
        try:
            with self._changes() as server:
                exempt = self._names.system_users - {"root"}
                settle(server, self._from_accounts(LIST), exempt, self._tls, needed=self.needs_certificates(server))
        except InvalidInput:  # it is a replica
            note_of_replica(self._tls)

    def needs_certificates(self, sql: sql.Session) -> bool:
        """Tell whether the running server is one of mode MTLS, rather than going to be one when it starts again."""
        if self._tls.mode() is not TlsMode.MTLS:
            return False
        ((path,),) = sql.run("SELECT @@GLOBAL.ssl_cert")
        return str(path) == str(self._tls.certificate)

    def _tls_options(self) -> tuple[str, ...]:
        mode = self._tls.mode()
        if mode is None:
            return ()
        return (
            f"--ssl-cert={self._tls.certificate}",
            f"--ssl-key={self._tls.key}",
            f"--ssl-ca={self._tls.authorities}",
            f"--require-secure-transport={'OFF' if mode is TlsMode.BASIC else 'ON'}",
        )

    def _more_options(self) -> tuple[str, ...]:
        """Return what this engine's server is given at its start besides, by what the driver knows."""
        return ()

    def _writable(self, server: sql.Session) -> contextlib.AbstractContextManager[None]:
        """Let the agent do, while the block lasts, what a server that takes no writes refuses even to it."""
        del server
        return contextlib.nullcontext()

    def _program(self) -> str:
        return program(self._host, self.dialect.package, *self.dialect.programs)

    def _password(self) -> str:
        stored = self._host.read_file(self._secret)
        if not stored:
            stored = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
            # Lost, it is made anew, and the account repaired at the next start of the server.
            self._host.write_file(self._secret, stored, lasting=False)
        return stored.decode()

    def _wait_until_it_answers(self, log_before: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        pause_s = 0.002
        while time.monotonic() < deadline:
            if self._host.server_pid() is None:
                raise ServerDied(f"The database server did not start: {self._complaint(log_before)}")
            if self._accepts():
                return
            time.sleep(pause_s)
            pause_s = min(0.25, pause_s * 1.01)
        raise GuestError(f"The database server did not answer within {START_TIMEOUT_S:.0f} s of its start.")

    def _accepts(self) -> bool:
        """Tell whether the server takes connections, whatever it does with them afterwards."""
        if not self._socket.exists():
            return False
        try:
            with self.session(read_timeout_s=5):
                return True
        except Unavailable:
            return False

    def _wait_until_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._host.server_pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _log_size(self) -> int:
        return self._error_log.stat().st_size if self._error_log.exists() else 0

    def _complaint(self, log_before: int) -> str:
        """Return the last errors that the server wrote since its log had `log_before` bytes."""
        for log in (self._error_log, Path(self._host.log_dir / "server.out")):
            content = self._host.read_file(log) or b""
            lines = content[log_before if log is self._error_log else 0 :].decode(errors="replace").splitlines()
            errors = [re.sub(r"^[\dTZ:.+ -]+", "", line) for line in lines if "[ERROR]" in line]
            if errors:
                return " ".join(errors[-3:])
        return "it left no message in its log."
