"""A real, private etcd server for tests."""

import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.ports import free_port
from tests.support.private_process import private_directory, program, serving

HOST = "127.0.0.1"


@contextmanager
def etcd_server() -> Iterator[str]:
    """Run a server until the block ends; yields tooz's URL of it, whose locks run out after two seconds."""
    daemon = program("etcd", "etcd-server")
    with private_directory("trove-etcd-") as directory:
        client, peer = (f"http://{HOST}:{free_port(HOST)}" for _ in range(2))
        port = int(client.rpartition(":")[2])
        command = [
            daemon,
            f"--data-dir={directory}/data",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]
        with serving(command, cwd=directory, ready=lambda: _ready(port, client), stop=signal.SIGKILL):
            yield f"etcd3+{client}?lock_timeout=2&membership_timeout=2"


def _ready(port: int, url: str) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) != 0:
            return False
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return b"true" in answer.read()
    except OSError:
        return False
