"""A real MariaDB Galera cluster of three nodes on loopback for tests, behind HAProxy, which spreads connections over all."""

import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from tests.support.ports import free_port
from tests.support.private_process import Serving, private_directory, program, run_unprivileged, serving

HOST = "127.0.0.1"
PROVIDER = "/usr/lib/galera/libgalera_smm.so"
SYNCED = "Synced"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node."""

    directory: Path
    port: int = field(default_factory=free_port)
    group_port: int = field(default_factory=free_port)
    transfer_port: int = field(default_factory=free_port)
    sst_port: int = field(default_factory=free_port)

    @property
    def socket_path(self) -> Path:
        return self.directory / "server.sock"


@dataclass(kw_only=True)
class GaleraCluster:
    """A running cluster. `user` may do everything; `port` is that of the balancer."""

    nodes: list[Node]
    port: int
    user: str = "trove"
    password: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    processes: dict[int, Serving] = field(default_factory=dict, repr=False)
    stack: ExitStack = field(default_factory=ExitStack, repr=False)

    def url(self, database: str, node: int | None = None) -> str:
        """Return SQLAlchemy's URL of a database: on whichever node the balancer chooses, or on one of them."""
        port = self.port if node is None else self.nodes[node].port
        return f"mysql+pymysql://{self.user}:{self.password}@{HOST}:{port}/{database}"

    def lock_url(self, database: str, node: int | None = None) -> str:
        """Return the URL of locks in a database."""
        return self.url(database, node).replace("mysql+pymysql:", "mysql:")

    def kill(self, node: int) -> None:
        """Kill a node with -9."""
        self.processes.pop(node).kill()

    def start(self, node: int, *, alone: bool = False) -> None:
        """Start a node; one that is not to be the first of a new cluster gets what it missed from the others."""
        command, directory = _command(self, node, alone=alone), self.nodes[node].directory
        own = serving(command, cwd=directory, ready=lambda: _ready(self.nodes[node]), stop=signal.SIGKILL)
        self.processes[node] = self.stack.enter_context(own)

    def ask(self, statement: str, node: int = 0, database: str | None = None) -> list[tuple[Any, ...]]:
        """Ask one node; return the rows."""
        found = pymysql.connect(
            host=HOST, port=self.nodes[node].port, user=self.user, password=self.password, database=database, autocommit=True
        )
        with closing(found), found.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def galera_cluster() -> Iterator[GaleraCluster]:
    """Run three nodes and a balancer; end and remove them afterwards."""
    install = program("mariadb-install-db", "mariadb-server-core")
    assert Path(PROVIDER).exists(), "Galera is missing; install it with: apt-get install --no-install-recommends galera-4"
    with private_directory("trove-galera-") as directory, ExitStack() as stack:
        cluster = GaleraCluster(nodes=[Node(directory=directory / str(number)) for number in (1, 2, 3)], port=free_port())
        for node in cluster.nodes:
            run_unprivileged(["mkdir", str(node.directory)], cwd=directory)
        first = cluster.nodes[0]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        run_unprivileged([install, "--no-defaults", f"--datadir={first.directory / 'data'}", *options], cwd=directory)
        program("rsync", "rsync")
        for node in cluster.nodes[1:]:
            run_unprivileged(["cp", "-r", str(first.directory / "data"), str(node.directory)], cwd=directory)
        cluster.stack = stack
        for number in range(len(cluster.nodes)):
            cluster.start(number, alone=number == 0)
        _let_in(cluster)
        stack.enter_context(_balanced(cluster, directory))
        yield cluster


def _command(cluster: GaleraCluster, number: int, *, alone: bool) -> list[str]:
    node = cluster.nodes[number]
    group = ",".join(f"{HOST}:{each.group_port}" for each in cluster.nodes)
    provider = (
        f"gmcast.listen_addr=tcp://{HOST}:{node.group_port};ist.recv_addr={HOST}:{node.transfer_port};base_host={HOST};"
        f"base_port={node.group_port};gcache.size=16M;gcache.page_size=16M;evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S"
    )
    return [
        program("/usr/sbin/mariadbd", "mariadb-server-core"),
        "--no-defaults",
        f"--datadir={node.directory / 'data'}",
        f"--socket={node.socket_path}",
        f"--bind-address={HOST}",
        f"--port={node.port}",
        f"--pid-file={node.directory / 'server.pid'}",
        f"--tmpdir={node.directory}",
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M",
        "--innodb-flush-log-at-trx-commit=2",
        "--skip-name-resolve",
        "--max-connections=200",
        "--wsrep-on=ON",
        f"--wsrep-provider={PROVIDER}",
        "--wsrep-cluster-name=trove-test",
        f"--wsrep-cluster-address=gcomm://{group}",
        f"--wsrep-node-address={HOST}:{node.group_port}",
        f"--wsrep-node-name=node{number + 1}",
        f"--wsrep-provider-options={provider}",
        "--wsrep-sst-method=rsync",
        f"--wsrep-sst-receive-address={HOST}:{node.sst_port}",
        "--wsrep-slave-threads=2",
        *(["--wsrep-new-cluster"] if alone else []),
    ]


def _ready(node: Node) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaves its own open where nobody listens.
        if probe.connect_ex(str(node.socket_path)) != 0:
            return False
    try:
        connection = pymysql.connect(unix_socket=str(node.socket_path), user="root")
    except pymysql.err.OperationalError:
        return False
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'wsrep_local_state_comment'")
        found = cursor.fetchone()
        return found is not None and found[1] == SYNCED


def _let_in(cluster: GaleraCluster) -> None:
    connection = pymysql.connect(unix_socket=str(cluster.nodes[0].socket_path), user="root")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE USER %s IDENTIFIED BY %s", (cluster.user, cluster.password))
        cursor.execute("GRANT ALL ON *.* TO %s WITH GRANT OPTION", (cluster.user,))


@contextmanager
def _balanced(cluster: GaleraCluster, directory: Path) -> Iterator[None]:
    conf = directory / "haproxy.cfg"
    servers = "\n".join(
        f"    server node{number} {HOST}:{node.port} check inter 300ms fall 2 rise 1 on-marked-down shutdown-sessions"
        for number, node in enumerate(cluster.nodes, 1)
    )
    conf.write_text(
        "defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 10m\n    timeout server 10m\n"
        f"listen state\n    bind {HOST}:{cluster.port}\n    balance roundrobin\n    retries 2\n    option redispatch 1\n"
        f"{servers}\n"
    )
    conf.chmod(0o644)
    command = [program("/usr/sbin/haproxy", "haproxy"), "-db", "-f", str(conf)]
    with serving(command, cwd=directory, ready=lambda: _answers(cluster), stop=signal.SIGKILL):
        yield


def _answers(cluster: GaleraCluster) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, cluster.port)) != 0:
            return False
    try:
        pymysql.connect(host=HOST, port=cluster.port, user=cluster.user, password=cluster.password).close()
    except pymysql.err.OperationalError:
        return False
    return True
