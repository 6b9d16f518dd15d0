"""A real, private MariaDB server for tests."""

import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql
from tests.support.ports import free_port
from tests.support.private_process import Serving, private_directory, program, run_unprivileged, serving

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class MariaDbServer:
    """A running server. `user` may do everything."""

    port: int
    socket_path: Path
    user: str = "trove"
    password: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    process: Serving | None = field(default=None, repr=False)

    def kill(self) -> None:
        """Kill the server with -9."""
        assert self.process is not None
        self.process.kill()

    def start(self) -> None:
        """Start it again after `kill`."""
        assert self.process is not None
        self.process.start()

    def url(self, database: str) -> str:
        """Return SQLAlchemy's URL of a database."""
        return f"mysql+pymysql://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def lock_url(self, database: str) -> str:
        """Return tooz's URL."""
        return f"mysql://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def recreate(self, database: str) -> None:
        """Make an empty database, instead of the one of that name."""
        connection = pymysql.connect(host=HOST, port=self.port, user=self.user, password=self.password)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{database}`")
            cursor.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")


@contextmanager
def mariadb_server() -> Iterator[MariaDbServer]:
    """Start a server on loopback with an empty data directory; end and remove it afterwards."""
    daemon = program("/usr/sbin/mariadbd", "mariadb-server-core")
    install = program("mariadb-install-db", "mariadb-server-core")
    with private_directory("trove-mariadb-") as directory:
        data = directory / "data"
        server = MariaDbServer(port=free_port(HOST), socket_path=directory / "server.sock")
        common = ["--no-defaults", f"--datadir={data}"]
        run_unprivileged(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"],
            cwd=directory,
        )
        command = [
            daemon,
            *common,
            f"--socket={server.socket_path}",
            f"--bind-address={HOST}",
            f"--port={server.port}",
            f"--pid-file={directory / 'server.pid'}",
            f"--tmpdir={directory}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=48M",
            "--skip-name-resolve",
            "--max-connections=200",
            # It is killed here, and never loses its power: what was written needs not be on a disk.
            "--innodb-flush-log-at-trx-commit=2",
        ]
        # SIGKILL: nothing in it is worth a slow shutdown.
        with serving(command, cwd=directory, ready=lambda: _ready(server), stop=signal.SIGKILL) as process:
            yield replace(server, process=process)


def _ready(server: MariaDbServer) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(server.socket_path)) != 0:
            return False
    connection = pymysql.connect(unix_socket=str(server.socket_path), user="root")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE USER %s IDENTIFIED BY %s", (server.user, server.password))
        cursor.execute("GRANT ALL ON *.* TO %s WITH GRANT OPTION", (server.user,))
    return True
