"""From an accepted request to the first SQL query, against a bare template copy and server start on the same machine."""

import base64
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pymysql
from tests.bench.measure import Figure, print_figure, print_heading, resident_mib
from tests.support.stack import Stack, stack
from tests.support.valkey import ValkeyServer

from trove.bus import rpc
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, guest_topic
from trove.bus.sealing import FixedKeys
from trove.core.ids import new_id
from trove.datastores.contract import ConfigInputs
from trove.datastores.mariadb.spec import SPEC

RUNS = 7
IDLE_S = 10.0


def main() -> None:
    """Print the figures of a running stack."""
    with stack() as running:
        print_heading("Local cloud, warm template")
        _first_query(running)
        print_heading("Processes of the running stack")
        _services(running)


def _first_query(running: Stack) -> None:
    _warm(running)
    template = next((running.root / "cloud" / "templates").glob("mariadb-*"))
    ram_mib = running.request("GET", "/flavors/1").body["flavor"]["ram"]
    bare, ours = [], []
    for number in range(RUNS):  # In turn, so that both meet the same noise.
        bare.append(_bare_seconds(template, ram_mib))
        ours.append(_trove_seconds(running, f"run-{number}"))
    base, value = statistics.median(bare), statistics.median(ours)
    print_figure(
        Figure(
            name="accepted → first SQL query (median of 7)",
            value=f"{value:.3f} s",
            baseline=f"{base:.3f} s bare",
            ratio=value / base,
            target="at most 2 x",
        )
    )


def _warm(running: Stack) -> None:
    instance_id = running.create("warm")
    running.await_healthy(instance_id)
    running.delete(instance_id)
    running.await_gone(instance_id)


def _trove_seconds(running: Stack, name: str) -> float:
    instance_id = running.create(name)
    began = time.monotonic()
    shown: Any = None
    while True:
        if shown is None or not shown.get("addresses"):
            shown = running.show(instance_id)
            assert shown is not None
            assert shown["status"] != "ERROR", shown
        else:
            with contextlib.suppress(pymysql.Error):
                _query(shown["addresses"][0]["address"], "alice", f"secret-{name}")
                break
        time.sleep(0.01)
    took = time.monotonic() - began
    running.await_healthy(instance_id)
    running.delete(instance_id)
    running.await_gone(instance_id)
    return took


def _query(host: str, user: str, password: str) -> None:
    connection = pymysql.connect(host=host, user=user, password=password, connect_timeout=5, ssl_disabled=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        assert cursor.fetchall() == ((42,),)


def _bare_seconds(template: Path, ram_mib: int) -> float:
    """Copy the template and start mariadbd by hand, configured alike; return the seconds until it answers a query."""
    root = Path(tempfile.mkdtemp(prefix="trove-b-"))
    root.chmod(0o711)
    server: subprocess.Popen[bytes] | None = None
    data, socket = root / "data", root / "s"
    try:
        began = time.monotonic()
        subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(data)], check=True)
        (data / "trove-template.json").unlink(missing_ok=True)
        config = root / "server.cnf"
        config.write_text(SPEC.render_config(ConfigInputs(instance_id=new_id(), version="10.11", ram_mib=ram_mib)))
        options = [f"--tmpdir={root}", f"--datadir={data}", f"--socket={socket}", "--skip-networking", "--skip-grant-tables"]
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "nobody", str(root)], check=True)
            options.append("--user=nobody")
        program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        server = subprocess.Popen(
            [program, f"--defaults-file={config}", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            assert server.poll() is None, "the bare mariadbd ended"
            assert time.monotonic() - began < 60, "the bare mariadbd does not answer"
            with contextlib.suppress(pymysql.Error):
                connection = pymysql.connect(unix_socket=str(socket), user="root", ssl_disabled=True)
                with connection, connection.cursor() as cursor:
                    cursor.execute("SELECT 42")
                return time.monotonic() - began
            time.sleep(0.005)
    finally:
        if server is not None:
            server.terminate()
            server.wait(30)
        shutil.rmtree(root, ignore_errors=True)


def _first_heartbeat_s() -> float:
    """Start an agent by itself on a bus of its own; return the seconds until its first heartbeat is received."""
    root = Path(tempfile.mkdtemp(prefix="trove-b-"))
    instance_id, key = new_id(), os.urandom(32)
    valkey = ValkeyServer(root / "bus")
    agent: subprocess.Popen[bytes] | None = None
    try:
        (root / "bus").mkdir()
        (root / "conf.d").mkdir()
        valkey.start()
        directories = "".join(f"{name}_dir = {root / name}\n" for name in ("data", "run", "config", "log"))
        (root / "conf.d" / "guest.conf").write_text(
            f"[DEFAULT]\nguest_id = {instance_id}\ndatastore_manager = mariadb\ntransport_url = {valkey.url}\n"
            f"instance_rpc_encr_key = {base64.b64encode(key).decode()}\nlog_file = {root / 'agent.log'}\n"
            f"[host]\naddress = 127.0.0.1\n{directories}"
        )
        control = rpc.connect(
            valkey.url, principal=CONTROL, keyring=FixedKeys({CONTROL: bytes(32), instance_id: key}), host_label="bench"
        )
        heard = threading.Event()
        control.serve_batches(CONDUCTOR_TOPIC, lambda _messages: heard.set())
        control.serve(guest_topic(instance_id), lambda _message: None).stop()  # Declares the guest's queue.
        began = time.monotonic()
        agent = subprocess.Popen([sys.executable, "-m", "trove.cmd.guestagent", "--config-dir", str(root / "conf.d")])
        assert heard.wait(30), (root / "agent.log").read_text()
        took = time.monotonic() - began
        control.close()
        return took
    finally:
        if agent is not None:
            agent.terminate()
            agent.wait(30)
        valkey.stop()
        shutil.rmtree(root, ignore_errors=True)


def _services(running: Stack) -> None:
    instance_id = running.create("idle")
    running.await_healthy(instance_id)
    row = running.instance_row(instance_id)
    assert row is not None
    agent = psutil.Process(row["agent_pid"])
    time.sleep(2)
    before, began = sum(agent.cpu_times()[:2]), time.monotonic()
    time.sleep(IDLE_S)
    idle = (sum(agent.cpu_times()[:2]) - before) / (time.monotonic() - began)
    print_figure(Figure(name="guest agent: resident", value=f"{resident_mib(agent.pid):.1f} MiB", target="under 45 MiB"))
    print_figure(Figure(name="guest agent: idle CPU", value=f"{idle * 100:.2f} % of a core"))
    beats = statistics.median(_first_heartbeat_s() for _ in range(5))
    print_figure(Figure(name="guest agent: exec → first heartbeat (median of 5)", value=f"{beats:.2f} s", target="under 1 s"))
    for name, service in running.status()["services"].items():
        print_figure(Figure(name=f"{name}: resident", value=f"{service['rss_mib']:.1f} MiB"))
    for log in sorted((running.root / "log").glob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if "is ready after" in line:
                words = line.partition("is ready after")
                print_figure(Figure(name=f"{log.stem}: start", value=words[2].split(":")[0].strip()))
                break
    running.delete(instance_id)
    running.await_gone(instance_id)
