"""A real, private PostgreSQL server for tests."""

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from tests.support.ports import free_port
from tests.support.private_process import Serving, private_directory, program, run_unprivileged, serving

HOST = "127.0.0.1"
PACKAGE = "postgresql-15"


@dataclass(frozen=True, kw_only=True)
class PostgreSqlServer:
    """A running server. `user` may do everything."""

    port: int
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
        return f"postgresql+psycopg://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def lock_url(self, database: str) -> str:
        """Return tooz's URL."""
        return f"postgresql://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def recreate(self, database: str) -> None:
        """Make an empty database, instead of the one of that name."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0")

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """Open a connection for administration."""
        return psycopg.connect(
            host=HOST, port=self.port, user=self.user, password=self.password, dbname="postgres", autocommit=True
        )


@contextmanager
def postgresql_server() -> Iterator[PostgreSqlServer]:
    """Start a server on loopback with an empty cluster; end and remove it afterwards."""
    with private_directory("trove-postgresql-") as directory:
        server = PostgreSqlServer(port=free_port(HOST))
        data = directory / "data"
        password_file = directory / "password"
        password_file.touch(mode=0o600)
        owner = directory.stat()
        os.chown(password_file, owner.st_uid, owner.st_gid)
        password_file.write_text(server.password)
        run_unprivileged(
            [
                _program("initdb"),
                f"--pgdata={data}",
                f"--username={server.user}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-sync",
            ],
            cwd=directory,
        )
        password_file.unlink()
        settings = {
            "listen_addresses": HOST,
            "port": server.port,
            "unix_socket_directories": directory,
            "max_connections": 200,
            "shared_buffers": "64MB",
            "deadlock_timeout": "100ms",
            "fsync": "off",  # it is killed here, and never loses its power
            "dynamic_shared_memory_type": "mmap",  # below its directory, which is removed
        }
        command = [_program("postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]
        with serving(command, cwd=directory, ready=lambda: _ready(server), stop=signal.SIGQUIT) as process:
            yield replace(server, process=process)


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return program(str(found[-1]) if found else f"/usr/lib/postgresql/15/bin/{name}", PACKAGE)


def _ready(server: PostgreSqlServer) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, server.port)) != 0:
            return False
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True
