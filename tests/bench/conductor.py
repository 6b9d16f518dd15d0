"""Heartbeats that one trove-conductor process absorbs from the bus into the state database."""

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.measure import Figure, cpu_seconds, print_figure, print_heading, wait_for
from tests.support.mariadb_server import mariadb_server
from tests.support.rows import add_version, new_instance
from tests.support.valkey import ValkeyServer

from trove.bus import rpc
from trove.bus.conductor import ConductorCaller
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL
from trove.bus.inbox import INBOX_SUFFIX
from trove.bus.sealing import FixedKeys
from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.instances import Heartbeat
from trove.core.status import ServiceStatus
from trove.store import instances, schema
from trove.store.session import Database
from trove.store.vault import Vault

GUESTS = 100
HEARTBEATS = 20_000


def main() -> None:
    """Print the figures for SQLite and MariaDB."""
    print_heading(f"Conductor: {HEARTBEATS:,} sealed heartbeats of {GUESTS} guests, waiting on Valkey")
    for name in ("SQLite", "MariaDB"):
        with ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="trove-b-")))
            folder.chmod(0o711)
            if name == "SQLite":
                url = f"sqlite:///{folder}/trove.sqlite"
            else:
                server = resources.enter_context(mariadb_server())
                server.recreate("trove")
                url = server.url("trove")
            _absorb(resources, name, folder, url)


def _absorb(resources: ExitStack, name: str, folder: Path, url: str) -> None:
    bus_folder = folder / "bus"
    bus_folder.mkdir()
    valkey = ValkeyServer(bus_folder)
    valkey.start()
    resources.callback(valkey.stop)
    database = Database(url, vault=Vault.from_file(folder / "vault.key", create=True))
    resources.callback(database.close)
    schema.upgrade(database)
    keys = {new_id(): bytes([number]) * 32 for number in range(GUESTS)}
    version = add_version(database)
    with database.transaction() as tx:
        for instance_id, key in keys.items():
            instances.insert(tx, new_instance(version, id=instance_id, key=key))
    config = folder / "trove.conf"
    config.write_text(
        f"[DEFAULT]\ntransport_url = {valkey.url}\n[database]\nconnection = {url}\n[secrets]\nkey_file = {folder}/vault.key\n"
    )
    config.chmod(0o600)
    _publish(valkey, keys)
    waiting = _waiting(valkey)
    with (folder / "conductor.log").open("wb") as log:
        conductor = subprocess.Popen(
            [sys.executable, "-m", "trove.cmd.conductor", "--config-file", str(config)], stdout=log, stderr=log
        )
    try:
        wait_for("the conductor to begin", lambda: _waiting(valkey) < waiting)
        began, first, spent = time.monotonic(), _waiting(valkey), cpu_seconds(conductor.pid)
        wait_for("all heartbeats to be absorbed", lambda: _waiting(valkey) == 0, timeout_s=120)
        seconds = time.monotonic() - began
        spent = cpu_seconds(conductor.pid) - spent
    finally:
        conductor.terminate()
        conductor.wait(30)
    print_figure(
        Figure(
            name=f"into {name}",
            value=f"{first / seconds:,.0f} /s",
            baseline=f"{spent / first * 1e6:.0f} µs CPU each",
            ratio=first / seconds / 2000,
            target="at least 2,000/s (ratio 1)",
        )
    )


def _publish(valkey: ValkeyServer, keys: dict[str, bytes]) -> None:
    control = rpc.connect(valkey.url, principal=CONTROL, keyring=FixedKeys({CONTROL: bytes(32)}), host_label="bench")
    control.serve_batches(CONDUCTOR_TOPIC, lambda _messages: None)  # Declares the queue.
    control.close()
    for instance_id, key in keys.items():
        connection = rpc.connect(valkey.url, principal=instance_id, keyring=FixedKeys({instance_id: key}), host_label="bench")
        caller = ConductorCaller(connection)
        for number in range(HEARTBEATS // len(keys)):
            caller.heartbeat(
                Heartbeat(
                    instance_id=instance_id,
                    sent=utcnow(),
                    status=ServiceStatus.HEALTHY,
                    agent_version="0.1.0",
                    datastore_version="10.11.19",
                    volume_used_bytes=number,
                    volume_total_bytes=2**30,
                )
            )
        connection.close()


def _waiting(valkey: ValkeyServer) -> int:
    answer: Any = valkey.command("XLEN", CONDUCTOR_TOPIC)
    inbox: Any = valkey.command("LLEN", CONDUCTOR_TOPIC + INBOX_SUFFIX)
    return int(answer) + int(inbox)
