"""The server process: started with what it is told, stopped, asked, and given a configuration."""

import contextlib
import errno
import logging
import re
import signal
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from trove.core.errors import GuestError, TroveError, Unavailable
from trove.core.status import ServiceStatus
from trove.core.tls import Tls, TlsMode
from trove.core.units import KIB, MIB
from trove.datastores.contract import Command, Host
from trove.datastores.launching import launch_surely
from trove.datastores.postgresql import sql
from trove.datastores.postgresql.access import access
from trove.datastores.postgresql.configfile import ConfigFile
from trove.datastores.postgresql.options import read_config
from trove.datastores.postgresql.programs import complaint, major_of, program
from trove.datastores.postgresql.spec import LOGS, SPEC
from trove.datastores.postgresql.state import State
from trove.datastores.tlsfiles import TlsFiles

LOG = logging.getLogger(__name__)

START_TIMEOUT_S = 900.0
"""Crash recovery of a large database takes long; a server that dies is noticed at once."""
LONGEST_LOG = 10 * MIB
"""The log and the one before it may each have this size, and what the server writes in a minute."""

_NEARLY_FULL = 32 * MIB
_WRITE_TEST = 512 * KIB
_RELOAD_TIMEOUT_S = 30.0
_LOG_TIMEOUT_S = 3.0
_LINGER_S = 20.0
"""So long processes of a server that was killed may stay and keep the next one from starting."""
_LINGERING = ("still in use", "lock file")
_PREFIX = re.compile(r"^.*?\b((?:FATAL|PANIC|ERROR|LOG|WARNING|HINT|DETAIL):\s+)")


class ServerDied(GuestError):
    """The server ended before it answered; the message ends with what it wrote in its log."""


class Server:
    """On the volume: `data` (the server's own), `state` (what to remember beside it)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._data = host.data_dir / "data"
        self._state = State(host)
        self._config = ConfigFile(host)
        self._server_config = host.config_dir / "server.conf"
        self._hba = host.config_dir / "pg_hba.conf"
        self._tls = TlsFiles(host)
        self._log = host.log_dir / "postgresql.log"
        self._version: tuple[int, str] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers; does nothing when it runs.

        One that ends with a configuration that it never ran with is started with the one before that. Raises `GuestError` with
        the server's own words when it does not come up.
        """
        if self._host.server_pid() is not None:
            self._wait_until_it_answers((0, 0))
            return
        if self._state.flag("rewinding"):
            raise GuestError("The data are of no use: their rewinding was cut short. The replica must be built anew.")
        self._config.use_written()
        try:
            launch_surely(self._launch)
        except ServerDied as error:
            self._start_as_before(error)
        self._config.started()

    def stop(self, *, timeout_s: float) -> None:
        """Stop the server cleanly; kill it after `timeout_s`. Does nothing when it does not run."""
        for number, wait_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 30.0)):
            self._host.signal_server(number)
            if self._wait_until_gone(wait_s):
                return
            LOG.warning("the server did not stop within %.0f s of signal %d", wait_s, number)
        raise GuestError("The database server does not end, even when killed.")

    def probe(self) -> ServiceStatus:
        """Ask the server with a real statement: HEALTHY, RUNNING (starting), SHUTDOWN, CRASHED, BLOCKED."""
        if self._host.server_pid() is None:
            return ServiceStatus.CRASHED if (self._data / "postmaster.pid").exists() else ServiceStatus.SHUTDOWN
        try:
            with self.session(timeout_s=5) as server:
                server.run("SELECT 1")
            self.check_space()
        except Unavailable:
            return ServiceStatus.RUNNING
        except GuestError as error:
            LOG.error("the server is blocked: %s", error)
            return ServiceStatus.BLOCKED
        return ServiceStatus.HEALTHY

    def version(self) -> str | None:
        """Return the server's own version number, such as `15.18`; None while it does not answer."""
        pid = self._host.server_pid()
        if pid is None:
            return None
        if self._version is None or self._version[0] != pid:
            with contextlib.suppress(TroveError), self.session():
                pass  # a new session notes what the server says of itself
        return self._version[1] if self._version is not None and self._version[0] == pid else None

    def write_config(self, config: str) -> None:
        """Replace the configuration file; takes effect on the next start."""
        self._config.write(config)

    def refused_config(self) -> str | None:
        """Return why the server did not start with the configuration written last; None when it runs with it."""
        return self._config.refused

    def apply_config(self, config: str, *, at_restart: Collection[str]) -> bool:
        """Replace the configuration, at once where the server can; return whether some of it waits for the next start.

        When the server refuses any of it, everything stays as it was, and `GuestError` says what was refused. May run twice.
        """
        from trove.datastores.postgresql.live import check, choose, need_applicable  # noqa: PLC0415

        if self._holds_data():
            check(self._host, self._program("postgres"), config, self._data)
        pending = False
        if self._host.server_pid() is not None:
            before = self._config.running()
            with self.session() as server:
                now = choose(server, before, config, at_restart)
                self._config.change(now)
                try:
                    need_applicable(server, self._config.running_path, config)
                except BaseException:
                    self._config.change(before)
                    raise
            self.reload()
            pending = now != read_config(config)
        # Last, so that what a crash leaves half done is found by the next run of this.
        self._config.write(config)
        return pending

    def apply_tls(self, tls: Tls | None) -> bool:
        """Serve with this certificate and let in whom its mode says, or without TLS with None. Nothing waits for a start.

        When the server refuses it, all stays as it was, and `GuestError` says what was refused. May run twice.
        """
        return self._tls.apply(tls, self._tell_tls)

    def tend_logs(self) -> None:
        """Put the log aside when it has grown long, and have the server begin a new one; the one before it goes."""
        is_long = self._log.exists() and self._log.stat().st_size > LONGEST_LOG
        if is_long:
            self._host.move(self._log, self._log.with_name(f"{self._log.name}.1"))
        if is_long or not self._log.exists():
            with self.session() as server:
                server.run("SELECT pg_rotate_logfile()")

    def log_file(self, name: str) -> Path:
        """Return where a log is."""
        if name not in LOGS:
            raise GuestError(f"PostgreSQL has no log {name}; it has {', '.join(LOGS)}.")
        return self._log

    def log_enabled(self, name: str) -> bool:
        """Tell whether the server writes a log, or will when it runs."""
        if name != "general":
            return True
        return self._state.logs().get(name, self._config.running().get("log_statement") == "all")

    def enable_log(self, name: str, *, enabled: bool) -> None:
        """Have the server write all statements to its log, or none, at once and after each start."""
        self._state.switch_log(name, enabled=enabled)
        if self._host.server_pid() is not None:
            self.reload()

    @contextlib.contextmanager
    def session(self, database: str = "postgres", *, timeout_s: float = 12.0) -> Iterator[sql.Session]:
        """Connect to the server; raises `Unavailable` when it does not answer."""
        pid = self._host.server_pid()
        if pid is None:
            raise Unavailable("The database server does not run.")
        with sql.session(self._socket, database=database, timeout_s=timeout_s) as opened:
            self._version = (pid, opened.server_version)
            yield opened

    def check_space(self) -> None:
        """Raise `GuestError` when the volume is full, before the server would run into it."""
        usage = self._host.usage()
        if usage.total - usage.used > _NEARLY_FULL:
            return
        test = self._state.folder / "write-test"
        try:
            self._host.write_file(test, bytes(_WRITE_TEST))
        finally:
            test.unlink(missing_ok=True)

    def reload(self) -> None:
        """Write anew what the running server is told, and return when it has read that."""
        self._write_server_config()
        with self.session() as server:
            before = server.value("SELECT pg_conf_load_time()")
        self._host.signal_server(signal.SIGHUP)
        deadline = time.monotonic() + _RELOAD_TIMEOUT_S
        while time.monotonic() < deadline:
            with self.session() as server:
                if server.value("SELECT pg_conf_load_time()") != before:
                    return
            time.sleep(0.01)
        raise GuestError("The database server does not read its configuration again.")

    @property
    def _socket(self) -> Path:
        return self._host.run_dir / f".s.PGSQL.{SPEC.tcp_ports[0]}"

    def _program(self, name: str) -> str:
        major = major_of(self._data)
        if major is None:
            raise GuestError("There is no data directory: the instance was not prepared.")
        return program(self._host, major, name)

    def _holds_data(self) -> bool:
        return self._data.is_dir() and any(self._data.iterdir())

    def _launch(self, *, private: bool = False) -> None:
        """Start the server and wait until it answers; a `private` one is reached by nobody but the agent.

        So is one that was closed to writes and is not in recovery yet, where it could take none.
        """
        private = private or (self._state.flag("closed") and not self._is_standby())
        server = self._program("postgres")
        self.check_space()
        deadline = time.monotonic() + _LINGER_S
        while True:
            self._write_server_config()
            log_before = (_size(self._output), _size(self._log))
            self._host.start_server(Command(argv=(server, *self._options(private=private))))
            try:
                self._wait_until_it_answers(log_before)
            except ServerDied as error:
                if time.monotonic() < deadline and any(words in error.message for words in _LINGERING):
                    time.sleep(0.1)
                    continue
                raise
            return

    def _start_as_before(self, error: ServerDied) -> None:
        """Start the server with what it is known to have run with; raise `error` when it does not start with that either."""
        for _ in self._config.fall_backs():
            try:
                self._launch()
            except ServerDied:
                continue
            LOG.error("the server refused its configuration and runs with one from before: %s", error)
            self._config.keep_fall_back(error.message)
            return
        self._config.undo_fall_back()
        raise error

    def _options(self, *, private: bool) -> tuple[str, ...]:
        """Return the command line, which wins over all files, also over what a superuser has written to them."""
        settings = {
            "config_file": self._server_config,
            "hba_file": self._hba,
            "ident_file": self._host.config_dir / "pg_ident.conf",
            "listen_addresses": "" if private else self._host.address,
            "port": SPEC.tcp_ports[0],
            "unix_socket_directories": self._host.run_dir,
            "unix_socket_permissions": "0700",
        }
        return ("-D", str(self._data), *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")))

    def _write_server_config(self) -> None:
        """Write the file that the server reads: Trove's settings around those of the configuration."""
        from trove.datastores.postgresql.serverconfig import Inputs, server_config  # noqa: PLC0415

        inputs = Inputs(
            major=major_of(self._data) or 0,
            volume_bytes=self._host.usage().total,
            running=self._config.running_path,
            log=self._log,
            options=self._config.running(),
            log_statements=self._state.logs().get("general"),
            source=self._state.following(),
            password_file=self._state.password_file,
            floor=self._floor(),
            tls=self._tls_settings(),
        )
        self._host.make_dir(self._state.folder)
        self._host.write_file(self._server_config, server_config(inputs).encode(), lasting=False)
        self._host.write_file(self._hba, access(self._tls.mode()).encode(), lasting=False)
        self._host.write_file(self._host.config_dir / "pg_ident.conf", b"", lasting=False)

    def _tls_settings(self) -> dict[str, Path]:
        mode = self._tls.mode()
        if mode is None:
            return {}
        settings = {"ssl_cert_file": self._tls.certificate, "ssl_key_file": self._tls.key}
        return {**settings, "ssl_ca_file": self._tls.authorities} if mode is TlsMode.MTLS else settings

    def _tell_tls(self) -> bool:
        """Have the running server read its TLS files; nothing waits for the next start. Raises `GuestError` if it does not."""
        if self._host.server_pid() is None:
            return False
        log_before = (_size(self._output), _size(self._log))
        self.reload()
        leaf = self._tls.leaf()
        if leaf is not None:
            from trove.datastores.postgresql.shown import shown_certificate  # noqa: PLC0415

            # It keeps what it had when it cannot use the files, and tells that nowhere but in its log.
            if shown_certificate(self._host.address, SPEC.tcp_ports[0]) not in {None, leaf}:
                raise GuestError(f"The database server refuses the certificate: {self._complaint(log_before)}")
        return False

    def _floor(self) -> dict[str, int]:
        """Return what a standby must have at least, because its source has it; nothing for others.

        Source: "Hot Standby", administrator's overview, of PostgreSQL's manual.
        """
        if not self._is_standby():
            return {}
        from trove.datastores.postgresql.control import control_data  # noqa: PLC0415

        told = control_data(self._host, self._program("pg_controldata"), self._data)
        names = {
            "max_connections": "max_connections setting",
            "max_worker_processes": "max_worker_processes setting",
            "max_wal_senders": "max_wal_senders setting",
            "max_prepared_transactions": "max_prepared_xacts setting",
            "max_locks_per_transaction": "max_locks_per_xact setting",
        }
        return {name: int(told[label]) for name, label in names.items() if told.get(label, "").isdigit()}

    def _is_standby(self) -> bool:
        return (self._data / "standby.signal").exists()

    @property
    def _output(self) -> Path:
        return self._host.log_dir / "server.out"

    def _wait_until_it_answers(self, log_before: tuple[int, int]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        pause_s = 0.002
        while time.monotonic() < deadline:
            if self._host.server_pid() is None:
                words = self._complaint(log_before)
                if "No space left" in words:
                    raise GuestError(sql.FULL)
                raise ServerDied(f"The database server did not start: {words}")
            if self._accepts():
                return
            time.sleep(pause_s)
            pause_s = min(0.25, pause_s * 1.02)
        raise GuestError(f"The database server did not answer within {START_TIMEOUT_S:.0f} s of its start.")

    def _accepts(self) -> bool:
        if not self._socket.exists():
            return False
        try:
            with self.session(timeout_s=5):
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

    def _complaint(self, log_before: tuple[int, int]) -> str:
        """Return what the server wrote that tells what is wrong, since its logs had so many bytes.

        The process that writes its log ends after it.
        """
        deadline = time.monotonic() + _LOG_TIMEOUT_S
        while True:
            lines: list[str] = []
            for log, size in zip((self._output, self._log), log_before, strict=True):
                content = self._host.read_file(log) or b""
                lines += content[size if len(content) >= size else 0 :].decode(errors="replace").splitlines()
            words = complaint([_PREFIX.sub(r"\1", line) for line in lines])
            if words or time.monotonic() > deadline:
                return words or self._taken_port() or "it left no message in its log."
            time.sleep(0.05)

    def _taken_port(self) -> str:
        """Return that another program has the port, else nothing: in a sandbox the log's writer may end before it tells."""
        address = self._host.address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.create_server((address, SPEC.tcp_ports[0]), family=family):
                return ""
        except OSError as error:
            return f"port {SPEC.tcp_ports[0]} of {address}: {error.strerror}." if error.errno == errno.EADDRINUSE else ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
