"""Start and stop a real private RabbitMQ for tests: own folder, own ports, own epmd, unprivileged uid when run by root."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tests.support.certificates import write_certificates

from trove.bus.management import ManagementApi

HOST = "127.0.0.1"
UID = 65534
HOW_TO_INSTALL = "RabbitMQ is missing, and the bus must be proven on it: install it with `apt-get install rabbitmq-server`"


def installed() -> Path:
    """Return the folder of the server's scripts; fail the test with how to install it when it is missing."""
    for folder in sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), reverse=True):
        if (folder / "rabbitmq-server").exists():
            return folder
    raise AssertionError(HOW_TO_INSTALL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class RabbitServer:
    """One private broker with the management plugin; survives `kill` + `start` with what it stored."""

    def __init__(self, folder: Path, *, password: str | None = None, epmd_port: int | None = None) -> None:
        self.folder = folder
        self.sbin = installed()
        self.password = password or secrets.token_urlsafe(12)
        self.port, self.tls_port, self.management_port, self.dist_port, self.epmd_port = _free_ports(5)
        self._own_epmd = epmd_port is None
        self.epmd_port = epmd_port or self.epmd_port
        self.process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._write_files()

    @property
    def node(self) -> str:
        """The name among Erlang's nodes."""
        return f"trove{self.port}@localhost"

    @property
    def url(self) -> str:
        return f"amqp://control:{quote(self.password)}@{HOST}:{self.port}/trove"

    @property
    def tls_url(self) -> str:
        """The control user's URL with TLS; the authority's certificate is `ca.pem` in the folder."""
        return f"amqps://control:{quote(self.password)}@{HOST}:{self.tls_port}/trove"

    @property
    def management_url(self) -> str:
        return f"http://control:{quote(self.password)}@{HOST}:{self.management_port}"

    def api(self) -> ManagementApi:
        return ManagementApi(self.management_url)

    def _write_files(self) -> None:
        for name in ("home", "mnesia", "log"):
            (self.folder / name).mkdir(parents=True)
        write_certificates(self.folder)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {HOST}:{self.port}\n"
            f"listeners.ssl.1 = {HOST}:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.folder / 'ca.pem'}\n"
            f"ssl_options.certfile = {self.folder / 'server.pem'}\n"
            f"ssl_options.keyfile = {self.folder / 'server.key'}\n"
            "ssl_options.verify = verify_none\n"
            f"management.tcp.ip = {HOST}\nmanagement.tcp.port = {self.management_port}\n"
            "default_user = control\n"
            f"default_pass = {self.password}\n"
            "default_vhost = trove\n"
            "default_user_tags.administrator = true\n"
            "log.console = false\nlog.file.level = warning\n"
            "vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\n"
            "management_agent.disable_metrics_collector = true\n"
        )
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        if os.getuid() == 0:
            self.folder.chmod(0o755)
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, UID, UID)

    def _environment(self) -> dict[str, str]:
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "home"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
            "RABBITMQ_CTL_ERL_ARGS": loopback,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
        }

    def _run(self, argv: list[str], output: str) -> "subprocess.Popen[bytes]":
        with (self.folder / output).open("ab") as log:
            return subprocess.Popen(
                argv,
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **({"user": UID, "group": UID, "extra_groups": []} if os.getuid() == 0 else {}),
            )

    def start_epmd(self) -> None:
        """Start Erlang's register of names, unless it runs or is another node's."""
        if self._own_epmd and self._epmd is None:
            epmd = shutil.which("epmd")
            assert epmd is not None, HOW_TO_INSTALL
            self._epmd = self._run([epmd, "-port", str(self.epmd_port), "-address", HOST], "epmd.out")
            self._wait_for_port(self.epmd_port, 20.0)

    def start(self, deadline_s: float = 120.0) -> None:
        self.start_epmd()
        self.process = self._run([str(self.sbin / "rabbitmq-server")], "server.out")
        self._wait_for_port(self.port, deadline_s)
        deadline = time.monotonic() + deadline_s
        while True:
            with suppress(Exception):
                self.api().get("/api/overview")
                return
            assert time.monotonic() < deadline, f"RabbitMQ's management API did not answer: {self._output()}"
            time.sleep(0.1)

    def _wait_for_port(self, port: int, deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        while True:
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                return
            assert self.process is None or self.process.poll() is None, f"RabbitMQ ended: {self._output()}"
            assert time.monotonic() < deadline, f"RabbitMQ did not start: {self._output()}"
            time.sleep(0.05)

    def _output(self) -> str:
        path = self.folder / "server.out"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def kill(self, *, at_once: bool = False) -> None:
        """Kill the broker without warning (-9), with all its children.

        RabbitMQ 3.10 writes the name of a new quorum queue to disk up to half a second after it said that it exists, and never
        recovers a queue that it was killed before: so wait for the names first, unless that is what is to be seen.
        """
        if not at_once:
            self._await_names_on_disk()
        self._end(signal.SIGKILL)

    def _await_names_on_disk(self, deadline_s: float = 20.0) -> None:
        queues = self.api().get("/api/queues/trove")
        assert isinstance(queues, list)
        names = [str(queue["name"]).encode() for queue in queues if queue["type"] == "quorum"]
        directory = self.folder / "mnesia" / self.node / "quorum" / self.node / "names.dets"
        deadline = time.monotonic() + deadline_s
        while names and not all(name in directory.read_bytes() for name in names):
            assert time.monotonic() < deadline, "RabbitMQ did not write the names of its queues"
            time.sleep(0.05)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        self._end_strays()

    def _end_strays(self) -> None:
        """End what the server started in sessions of its own: known by the server's folder in the environment."""
        mark = f"RABBITMQ_MNESIA_BASE={self.folder / 'mnesia'}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            if self._epmd is not None and process.name == str(self._epmd.pid):
                continue
            with suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGKILL)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(10)


@contextmanager
def rabbit_server() -> Iterator[RabbitServer]:
    """Run a broker until the block ends. `url` is the control user's, `management_url` its HTTP API's. Takes 10 to 40 s."""
    folder = Path(tempfile.mkdtemp(prefix="trove-rabbit-"))
    server = None
    try:
        server = RabbitServer(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
