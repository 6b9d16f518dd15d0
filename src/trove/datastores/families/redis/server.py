"""Runs a server of the family on a host: prepare, start, stop, probe, configure, wipe."""

import base64
import contextlib
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trove.core.errors import GuestError, InvalidInput, TroveError, Unavailable
from trove.core.logs import LogType
from trove.core.status import ServiceStatus
from trove.core.units import KIB, MIB
from trove.datastores.contract import Command, Host
from trove.datastores.families.redis import datadir, resp, standing
from trove.datastores.families.redis.configfile import ConfigFile
from trove.datastores.families.redis.kept import Kept
from trove.datastores.families.redis.kin import Kin
from trove.datastores.families.redis.naming import ADMIN
from trove.datastores.families.redis.options import option
from trove.datastores.families.redis.standing import Role
from trove.datastores.launching import launch_surely

LOG = logging.getLogger(__name__)

LOGS = {"error": LogType.SYS}

START_TIMEOUT_S = 3600.0
"""To read a large database takes long; a server that dies is noticed at once."""
PRIVATE_STOP_S = 120.0
LONGEST_LOG = 10 * MIB
"""The log and the one before it may each have this size, and what the server writes in a minute."""

_NEARLY_FULL = 32 * MIB
_WRITE_TEST = 512 * KIB
_RESERVE = 0.05
"""So much of a small volume is kept free: a server ends at a write that does not fit, and then at the next."""
_HELD = "Address already in use"
"""What a server says while a child of the one before, which was killed as it began to save, has not yet closed its sockets."""
_CROWDED = "max number of clients reached"
_NOBODY = 2**31 - 1
_FROZEN_MS = 24 * 3600 * 1000
_LINE = re.compile(r"^\d+:[A-Z] .*?\d\d:\d\d:\d\d\.\d+ ([.*#-]) (.*)$")

CLOSED = (("min-replicas-to-write", str(_NOBODY)), ("min-replicas-max-lag", "10"), ("repl-ping-replica-period", "3600"))
"""With these a server answers every write with an error, for it waits for more replicas than there can be."""
OPEN = {"min-replicas-to-write": "0", "min-replicas-max-lag": "10", "repl-ping-replica-period": "10"}
"""What they are otherwise, unless the configuration file says more."""


class ServerDied(GuestError):
    """The server ended before it answered; the message ends with what it wrote in its log."""


class Server:
    """`Driver` and `Logs`.

    On the volume: `data` (the server's), and its `standing`. Writes are refused by the server itself when it is closed or a
    replica, and when the volume is full: it would end at the first one that it cannot keep.
    """

    def __init__(self, host: Host, kin: Kin) -> None:
        self._host = host
        self._kin = kin
        self._data = host.data_dir / "data"
        self._socket = host.run_dir / f"{kin.file_name}.sock"
        self._pid_file = host.run_dir / f"{kin.file_name}.pid"
        self._config = ConfigFile(host, host.config_dir / f"{kin.file_name}.conf")
        self._whole_config = host.config_dir / "server.conf"
        self._log = self.log_file("error")
        self._secret = host.private_dir / f"{ADMIN}.password"
        self._version: tuple[int, str] | None = None
        self._closed_as_full = False
        self._kept = Kept()
        self._private = False
        self.role_changes = threading.RLock()
        """Held by whoever changes whether the server takes writes, from looking at its standing to telling the server."""

    def prepare(self, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Make the data directory unless it is there, write the configuration, start, wait until it answers.

        `progress(step, percent)` tells how far it is. A data directory that holds data is never overwritten.
        """
        self._kin.server(self._host)
        progress("making the data directory", 10)
        self._make_data()
        self.check_space()
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
            self._wait_until_it_answers(0, 0)
            return
        try:
            launch_surely(self._launch, lingering=_HELD)
        except ServerDied as error:
            self._start_as_before(error)
        self._config.started()

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

    @contextlib.contextmanager
    def privately(self) -> Iterator[None]:
        """Have the server run, reached by nobody but the agent, until the end of the block. Raises what a start does."""
        self._private = True
        try:
            launch_surely(self._launch, lingering=_HELD)
            yield
            self.stop(timeout_s=PRIVATE_STOP_S)
        finally:
            self._private = False

    def _launch(self) -> None:
        if not datadir.is_made(self._data):
            raise GuestError("There is no data directory: the instance was not prepared.")
        server = self._kin.server(self._host)
        self._put_long_log_aside()
        datadir.admit_agent(self._host, self._data, self._password())
        self._closed_as_full = self._is_full()
        self._host.write_file(self._whole_config, self._whole().encode(), lasting=False)
        before = _size(self._log), _size(self._output)
        self._host.start_server(Command(argv=(server, str(self._whole_config))))
        self._wait_until_it_answers(*before)
        self._freeze()

    def stop(self, *, timeout_s: float) -> None:
        """Stop the server cleanly; kill it after `timeout_s`. Does nothing when it does not run."""
        self._host.signal_server(signal.SIGTERM)
        if not self._wait_until_gone(timeout_s):
            LOG.warning("the server did not stop within %.0f s: killing it", timeout_s)
            self._host.signal_server(signal.SIGKILL)
            if not self._wait_until_gone(30.0):
                raise GuestError("The database server does not end, even when killed.")

    def probe(self) -> ServiceStatus:
        """Ask the server with a real command: HEALTHY, RUNNING (starting), SHUTDOWN, CRASHED, BLOCKED."""
        if self._host.server_pid() is None:
            return ServiceStatus.CRASHED if self._pid_file.exists() else ServiceStatus.SHUTDOWN
        try:
            with self.session(timeout_s=5) as server:
                server.run("PING")
                self._mind_space(server)
            self._kept.keep(self._host.server_pid() or 0, self.endpoint())
        except Unavailable:
            return ServiceStatus.BLOCKED if self._accepts() else ServiceStatus.RUNNING
        except resp.ReplyError as error:
            return ServiceStatus.RUNNING if error.word == "LOADING" else self._blocked(error)
        except GuestError as error:
            return self._blocked(error)
        return ServiceStatus.HEALTHY

    def version(self) -> str | None:
        """Return the server's own version number, such as `7.0.15`; None while it does not answer."""
        pid = self._host.server_pid()
        if pid is None:
            return None
        if self._version is None or self._version[0] != pid:
            try:
                with self.session() as server:
                    self._version = (pid, server.info("server")[self._kin.version_field])
            except TroveError:
                return None
        return self._version[1]

    def tend_logs(self) -> None:
        """Put the log aside when it has grown long; the server opens it anew for each line."""
        self._put_long_log_aside()

    def log_file(self, name: str) -> Path:
        """Return where a log is."""
        if name not in LOGS:
            raise InvalidInput(f"{self._kin.title} has no log {name}; it has {', '.join(LOGS)}.")
        return self._host.log_dir / f"{name}.log"

    def log_enabled(self, name: str) -> bool:
        """Tell whether the server writes a log, or will when it runs: it always does."""
        return self.log_file(name) == self._log

    def enable_log(self, name: str, *, enabled: bool) -> None:
        """Refuse to stop the only log."""
        if self.log_enabled(name) is not enabled:
            raise InvalidInput(f"The log {name} of {self._kin.title} is always written.")

    def write_config(self, config: str) -> None:
        """Replace the configuration file; takes effect on the next start."""
        self._config.write(config)

    def wipe(self) -> None:
        """Stop the server and remove its data."""
        self.stop(timeout_s=30.0)
        for folder in self._host.data_dir.glob(f"{self._data.name}*"):
            self._host.remove_tree(folder)
        standing.remove(self._host)
        self._pid_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def session(self, *, timeout_s: float = 12.0, alone: bool = False) -> Iterator[resp.Session]:
        """Connect to the server; raises `Unavailable` when it does not answer.

        When tenants have taken all connections it is the one that is kept, unless it is to be of one's own: `alone`.
        """
        pid = self._host.server_pid()
        if pid is None:
            raise Unavailable("The database server does not run.")
        try:
            opened = resp.Session(self.endpoint(), timeout_s=timeout_s)
        except (Unavailable, resp.ReplyError) as error:
            if alone or not _is_crowded(error):
                raise
            with self._kept.lent(pid, error) as kept:
                yield kept
            return
        try:
            yield opened
        finally:
            opened.close()

    def endpoint(self) -> resp.Endpoint:
        """Return where the agent finds the server."""
        return resp.Endpoint(path=self._socket, user=ADMIN, password=self._password())

    def check_space(self) -> None:
        """Raise `GuestError` when the volume is full, before something would be kept halfway."""
        usage = self._host.usage()
        free = usage.total - usage.used
        if free > _NEARLY_FULL:
            return
        if free < usage.total * _RESERVE:
            raise GuestError(f"The volume is full: {free} bytes are left, which are kept for the server itself.")
        test = self._host.data_dir / ".write-test"
        try:
            self._host.write_file(test, bytes(_WRITE_TEST))
        finally:
            test.unlink(missing_ok=True)

    def close_to_writes(self, server: resp.Session, *, freeze: bool) -> None:
        """Have the server refuse each write from now on.

        `freeze`: nothing else changes its data either, such as keys that expire, so that whoever has all of them goes on having
        all of them. Not for a replica: it would stop to apply what it receives.
        """
        server.run("CONFIG", "SET", *(word for pair in CLOSED for word in pair))
        if freeze:
            server.run("CLIENT", "PAUSE", _FROZEN_MS, "WRITE")
        else:
            server.run("CLIENT", "UNPAUSE")

    def open_to_writes(self, server: resp.Session) -> None:
        """Have the server take writes again, as its configuration says."""
        wanted = self._config.read()
        server.run("CONFIG", "SET", *(word for name, value in OPEN.items() for word in (name, wanted.get(name, value))))
        server.run("CLIENT", "UNPAUSE")

    @property
    def is_closed(self) -> bool:
        """Tell whether the server is to take no writes."""
        return self._closed_as_full or standing.read(self._host).role is not Role.SOURCE

    def _freeze(self) -> None:
        if self.is_closed and standing.read(self._host).role is not Role.REPLICA:
            with self.session() as server:
                self.close_to_writes(server, freeze=True)

    def _mind_space(self, server: resp.Session) -> None:
        """Close the server while its volume is full, and open it again; raises `GuestError` while it is."""
        self._closed_as_full = self._is_full()
        with self.role_changes:
            if standing.read(self._host).role is Role.SOURCE:
                # Asked of the server, for another agent may have closed it.
                is_closed = server.config("min-replicas-to-write") == dict(CLOSED[:1])
                if self._closed_as_full and not is_closed:
                    self.close_to_writes(server, freeze=True)
                elif is_closed and not self._closed_as_full:
                    self.open_to_writes(server)
        self.check_space()

    def _is_full(self) -> bool:
        try:
            self.check_space()
        except GuestError as error:
            LOG.error("the server is closed to writes: %s", error)
            return True
        return False

    def _blocked(self, error: GuestError) -> ServiceStatus:
        LOG.error("the server is blocked: %s", error)
        return ServiceStatus.BLOCKED

    def _make_data(self) -> None:
        if datadir.is_made(self._data):
            return
        new = self._data.with_suffix(".new")
        self._host.remove_tree(new)
        template = self._host.template_dir
        if template is not None and datadir.is_made(template):
            self._host.copy_tree(template, new)
            new.chmod(0o700)
        else:
            datadir.make(self._host, new)
        self._host.move(new, self._data)

    def _whole(self) -> str:
        """Return the file that the server is started with: what Trove itself sets comes last, so it wins."""
        stands = standing.read(self._host)
        options = [
            ("include", str(self._config.path)),
            ("daemonize", "no"),
            # A title would be written over the environment, by which the host finds a server.
            ("set-proc-title", "no"),
            ("dir", str(self._data)),
            ("aclfile", str(self._data / datadir.USERS)),
            ("bind", self._host.address),
            ("port", "0" if self._private else str(self._kin.port)),
            ("unixsocket", str(self._socket)),
            ("unixsocketperm", "700"),
            ("pidfile", str(self._pid_file)),
            ("logfile", str(self._log)),
            ("repl-diskless-sync", "yes"),
            ("repl-diskless-sync-delay", "0"),
            ("replica-read-only", "yes"),
            *datadir.OPTIONS,
            *(CLOSED if self.is_closed else ()),
        ]
        if stands.role is Role.REPLICA and stands.source is not None:
            options += [("masteruser", stands.source.account.name), ("masterauth", stands.source.account.password)]
            # Two words, so not one that is quoted.
            return "".join(f"{option(*each)}\n" for each in options) + f"replicaof {stands.source.host} {stands.source.port}\n"
        return "".join(f"{option(*each)}\n" for each in options)

    def _password(self) -> str:
        stored = self._host.read_file(self._secret)
        if not stored:
            stored = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
            # Lost, it is made anew, and the agent let in with it at the next start of the server.
            self._host.write_file(self._secret, stored, lasting=False)
        return stored.decode()

    def _wait_until_it_answers(self, log_before: int, output_before: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        pause_s = 0.002
        while time.monotonic() < deadline:
            if self._host.server_pid() is None:
                raise ServerDied(f"The database server did not start: {self._complaint(log_before, output_before)}")
            if self._accepts(loading=False):
                return
            time.sleep(pause_s)
            pause_s = min(0.25, pause_s * 1.01)
        raise GuestError(f"The database server did not answer within {START_TIMEOUT_S:.0f} s of its start.")

    def _accepts(self, *, loading: bool = True) -> bool:
        """Tell whether the server takes connections; while it reads its data only with `loading`."""
        if not self._socket.exists():
            return False
        try:
            with self.session(timeout_s=5) as server:
                server.run("PING")
        except resp.ReplyError as error:
            return loading or error.word != "LOADING"
        except Unavailable:
            return False
        return True

    def _wait_until_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._host.server_pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    @property
    def _output(self) -> Path:
        return self._host.log_dir / "server.out"

    def _put_long_log_aside(self) -> None:
        if _size(self._log) > LONGEST_LOG:
            self._host.move(self._log, self._log.with_name(f"{self._log.name}.1"))

    def _complaint(self, log_before: int, output_before: int) -> str:
        """Return the last errors that the server wrote since its log and its output had these sizes."""
        output = (self._host.read_file(self._output) or b"")[output_before:].decode(errors="replace")
        fatal = [line.strip() for line in output.splitlines() if line.strip() and not _LINE.match(line)]
        if any("FATAL CONFIG" in line for line in fatal):
            return " ".join(line for line in fatal if "***" not in line)
        log = (self._host.read_file(self._log) or b"")[log_before:].decode(errors="replace")
        found = [match for line in (output + log).splitlines() if (match := _LINE.match(line))]
        errors = [each[2] for each in found if each[1] == "#" and not each[2].startswith("WARNING")]
        return " ".join(errors[-3:] or fatal[-3:]) or "it left no message in its log."


def _is_crowded(error: TroveError) -> bool:
    """Tell whether a server that runs took no more connections: it says so, if it is heard before it hangs up."""
    return _CROWDED in error.message or isinstance(error.__cause__, BrokenPipeError | ConnectionResetError)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
