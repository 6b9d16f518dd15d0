"""A real RabbitMQ cluster of three nodes on loopback for tests: one cookie, one epmd, TLS on the bus and to manage it."""

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.support.ports import free_port
from tests.support.rabbitmq import HOST, UID, RabbitServer

from trove.bus.management import ManagementApi

READY_S = 180.0


class RabbitCluster:
    """Three nodes, of which each can be killed and started again for itself."""

    def __init__(self, folder: Path) -> None:
        password = secrets.token_urlsafe(12)
        self.folder = folder
        first = RabbitServer(folder / "1", password=password)
        others = [RabbitServer(folder / str(each), password=password, epmd_port=first.epmd_port) for each in (2, 3)]
        self.nodes = [first, *others]
        self.https = [free_port() for _ in self.nodes]
        cookie = secrets.token_hex(16)
        for number, node in enumerate(self.nodes):
            self._join(node, cookie, self.https[number])

    def _join(self, node: RabbitServer, cookie: str, https: int) -> None:
        first = self.nodes[0]
        for name in ("ca.pem", "server.pem", "server.key"):
            if node is not first:
                shutil.copyfile(first.folder / name, node.folder / name)
        lines = ["cluster_formation.peer_discovery_backend = classic_config"]
        lines += [f"cluster_formation.classic_config.nodes.{each} = {one.node}" for each, one in enumerate(self.nodes, 1)]
        lines += ["cluster_partition_handling = pause_minority"]
        lines += [f"management.ssl.ip = {HOST}", f"management.ssl.port = {https}"]
        lines += [
            f"management.ssl.{option} = {node.folder / file}"
            for option, file in (("cacertfile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key"))
        ]
        with (node.folder / "rabbitmq.conf").open("a") as conf:
            conf.write("\n".join(lines) + "\n")
        secret = node.folder / "home" / ".erlang.cookie"
        secret.write_text(cookie)
        secret.chmod(0o400)
        if os.getuid() == 0:
            os.chown(secret, UID, UID)

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.nodes[0].folder / "ca.pem"

    @property
    def url(self) -> str:
        """The control user's URL with all nodes, without a word about TLS: their ports speak nothing else."""
        login = f"control:{quote(self.nodes[0].password)}"
        return f"rabbit://{','.join(f'{login}@{HOST}:{node.tls_port}' for node in self.nodes)}/trove"

    @property
    def management_url(self) -> str:
        hosts = ",".join(f"{HOST}:{port}" for port in self.https)
        return f"https://control:{quote(self.nodes[0].password)}@{hosts}"

    def api(self) -> ManagementApi:
        """The management API of a node that runs."""
        return next(node for node in self.nodes if node.process is not None and node.process.poll() is None).api()

    def queue(self, name: str) -> dict[str, object]:
        """Return what the cluster tells of a queue; empty when there is none."""
        told = self.api().get(f"/api/queues/trove/{quote(name, safe='')}")
        return dict(told) if isinstance(told, dict) else {}

    def leader(self, queue: str) -> RabbitServer | None:
        """Return the node that leads a quorum queue; None when nobody does now."""
        leader = self.queue(queue).get("leader")
        return next((node for node in self.nodes if node.node == leader), None)

    def start(self, nodes: Sequence[RabbitServer] | None = None) -> None:
        """Start nodes, all at once; wait until each answers."""
        wanted = self.nodes if nodes is None else nodes
        self.nodes[0].start_epmd()
        troubles: list[BaseException] = []

        def start(node: RabbitServer) -> None:
            try:
                node.start(READY_S)
            except BaseException as error:
                troubles.append(error)

        threads = [threading.Thread(target=start, args=(node,)) for node in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if troubles:
            raise troubles[0]

    def stop(self) -> None:
        """End all nodes, and what they share last."""
        for node in reversed(self.nodes):
            node.stop()


@contextmanager
def rabbit_cluster() -> Iterator[RabbitCluster]:
    """Run a cluster until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="trove-rabbits-"))
    folder.chmod(0o755)
    cluster = None
    try:
        cluster = RabbitCluster(folder)
        cluster.start()
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
