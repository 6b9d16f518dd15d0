"""CPU and SQL statements of API requests with 1,000 and 20,000 instances in the project, against an empty Falcon reply."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select
from tests.bench.measure import Figure, cpu_per_request, print_figure, print_heading, wait_for
from tests.support import keystone as keystones
from tests.support.mariadb_server import mariadb_server
from tests.support.ports import free_port
from tests.support.stack import Stack, stack

from trove.cmd.local import statedb
from trove.cmd.local.layout import Layout
from trove.store import tables

BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Served:
    """A stack to measure, and what a client of it sends to prove who it is."""

    running: Stack
    project: str
    headers: Mapping[str, str]


def main() -> None:
    """Print the figures."""
    with _empty_reply() as (pid, port):
        base = min(cpu_per_request(pid, port, "/", {}, count=4000) for _ in range(3))
    print_heading("API, one worker, http_basic, SQLite: CPU a request")
    with stack() as running:
        _measure(Served(running=running, project=running.project(), headers=_basic(running)), base)
    print_heading("API, one worker, Keystone with cached tokens, MariaDB: CPU a request")
    with _behind_keystone() as served:
        _measure(served, base)


def _measure(served: Served, base: float) -> None:
    seed = _seed(served)
    filled = 1
    try:
        for total in (1_000, 20_000):
            _fill(served.running, seed, filled, total)
            filled = total
            for path in ("/instances?limit=20", f"/instances/{seed}", "/limits"):
                _request(served, path, total, base)
    finally:
        _empty(served.running, seed)


@contextmanager
def _behind_keystone() -> Iterator[Served]:
    port = free_port()
    with (
        keystones.keystone(trove_url=f"http://127.0.0.1:{port}") as keystone,
        mariadb_server() as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        server.recreate("trove")
        patched.setenv("TROVE_LOCAL_AUTH_PASSWORD", keystones.SERVICE_PASSWORD)
        options = ("--auth-url", keystone.url, "--auth-user", "trove", "--auth-project", "service")
        with stack(*options, "--database", server.url("trove"), port=port) as running:
            token = keystones.login(keystone.url, "demo", keystones.DEMO_PASSWORD, "demo")
            headers = {"X-Auth-Token": token, "Accept": "application/json"}
            yield Served(running=running, project=keystone.projects["demo"], headers=headers)


def _seed(served: Served) -> str:
    """Create one instance as the client does, and wait until it serves."""
    wanted = {"name": "seed", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}}
    made = _ask(served, "POST", "/instances", {"instance": wanted})["instance"]
    instance_id = str(made["id"])
    wait_for(
        "the seed", lambda: bool(_ask(served, "GET", f"/instances/{instance_id}")["instance"]["operating_status"] == "HEALTHY")
    )
    return instance_id


def _ask(served: Served, method: str, path: str, body: object = None) -> Any:
    connection = HTTPConnection("127.0.0.1", served.running.port, timeout=30)
    try:
        headers = {**served.headers, "Content-Type": "application/json"}
        connection.request(method, f"/v1.0/{served.project}{path}", None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        text = reply.read()
        assert reply.status in {200, 202}, text
        return json.loads(text)
    finally:
        connection.close()


def _request(served: Served, path: str, total: int, base: float) -> None:
    running = served.running
    pid = running.status()["services"]["trove-api"]["pid"]
    url = f"/v1.0/{served.project}{path}"
    spent = min(cpu_per_request(pid, running.port, url, served.headers) for _ in range(2))
    shown = path if len(path) < 25 else "/instances/{id}"
    statements = _statements(served, url)
    print_figure(
        Figure(
            name=f"GET {shown} among {total:,} ({statements} SQL statements)",
            value=f"{spent * 1000:.3f} ms",
            baseline=f"{base * 1000:.3f} ms empty",
            ratio=spent / base,
            target="at most 25 x and 3 statements",
        )
    )


def _basic(running: Stack) -> dict[str, str]:
    environ = running.environment()
    pair = f"{environ['OS_USERNAME']}:{environ['OS_PASSWORD']}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}", "Accept": "application/json"}


@contextmanager
def _empty_reply() -> Iterator[tuple[int, int]]:
    port = free_port()
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([sys.executable, "-m", "tests.bench.empty_app", str(port)], stdout=quiet, stderr=quiet)

    def answers() -> bool:
        with suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        return False

    try:
        wait_for("the empty application", answers)
        yield server.pid, port
    finally:
        server.terminate()
        server.wait(30)


def _fill(running: Stack, seed: str, filled: int, total: int) -> None:
    """Copy the seed's rows until the project has `total` instances."""
    with statedb.opened(Layout(root=running.root)) as database, database.engine.begin() as connection:
        for table, key in ((tables.instances, "id"), (tables.service_statuses, "instance_id")):
            row = connection.execute(select(table).where(table.c[key] == seed)).mappings().one()
            for first in range(filled, total, BATCH):
                numbers = range(first, min(first + BATCH, total))
                copies = [{**row, key: f"{number:08x}{seed[8:]}"} for number in numbers]
                connection.execute(insert(table), copies)


def _empty(running: Stack, seed: str) -> None:
    with statedb.opened(Layout(root=running.root)) as database, database.engine.begin() as connection:
        for table, key in ((tables.service_statuses, "instance_id"), (tables.instances, "id")):
            connection.execute(delete(table).where(table.c[key] != seed))


def _statements(served: Served, url: str) -> int:
    """Count the SQL statements of one request, in an application of this process over the same state database."""
    from falcon import testing
    from oslo_config import cfg

    from trove.cmd import logs, wiring
    from trove.cmd.api import SERVICE, load_application
    from trove.config import opts

    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, ["--config-file", str(Layout(root=served.running.root).conf)], prog=SERVICE, description="")
    foundation = wiring.foundation(conf)
    connection = wiring.bus(foundation, SERVICE)
    seen: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    try:
        client = testing.TestClient(load_application(conf, wiring.doors(foundation, connection)))
        assert client.simulate_get(url, headers=served.headers).status_code == 200
        event.listen(foundation.database.engine, "before_cursor_execute", count)
        assert client.simulate_get(url, headers=served.headers).status_code == 200
    finally:
        connection.close()
        foundation.close()
    return len(seen)
