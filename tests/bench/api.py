"""CPU and SQL statements of API requests with 1,000 and 20,000 instances in the project, against an empty Falcon reply."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import Any

from sqlalchemy import event, text
from tests.bench.measure import Figure, cpu_per_request, print_figure, print_heading, wait_for
from tests.support.stack import Stack, free_port, stack

from trove.cmd.local import statedb
from trove.cmd.local.layout import Layout

_COPY_INSTANCES = """
INSERT INTO instances (id, {columns})
WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
SELECT printf('%08x', i) || substr(id, 9), {columns} FROM n, instances WHERE id = :seed
"""
_COPY_STATUSES = """
INSERT INTO service_statuses (instance_id, {columns})
WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
SELECT printf('%08x', i) || substr(instance_id, 9), {columns} FROM n, service_statuses WHERE instance_id = :seed
"""


def main() -> None:
    """Print the figures."""
    print_heading("API, one worker, http_basic, SQLite: CPU a request")
    with _empty_reply() as (pid, port):
        base = min(cpu_per_request(pid, port, "/", {}, count=4000) for _ in range(3))
    with stack() as running:
        seed = running.create("seed")
        running.await_healthy(seed)
        filled = 1
        for total in (1_000, 20_000):
            _fill(running, seed, filled, total)
            filled = total
            for path in ("/instances?limit=20", f"/instances/{seed}", "/limits"):
                _request(running, path, total, base)
        _empty(running, seed)


def _request(running: Stack, path: str, total: int, base: float) -> None:
    pid = running.status()["services"]["trove-api"]["pid"]
    spent = min(cpu_per_request(pid, running.port, f"/v1.0/{running.project()}{path}", _basic(running)) for _ in range(2))
    shown = path if len(path) < 25 else "/instances/{id}"
    statements = _statements(running, path)
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
        for template, table, key in (
            (_COPY_INSTANCES, "instances", "id"),
            (_COPY_STATUSES, "service_statuses", "instance_id"),
        ):
            names = [row[1] for row in connection.execute(text(f"PRAGMA table_info({table})")) if row[1] != key]
            statement = template.format(columns=", ".join(f'"{name}"' for name in names), first=filled, last=total - 1)
            connection.execute(text(statement), {"seed": seed})


def _empty(running: Stack, seed: str) -> None:
    with statedb.opened(Layout(root=running.root)) as database, database.engine.begin() as connection:
        connection.execute(text("DELETE FROM service_statuses WHERE instance_id <> :seed"), {"seed": seed})
        connection.execute(text("DELETE FROM instances WHERE id <> :seed"), {"seed": seed})


def _statements(running: Stack, path: str) -> int:
    """Count the SQL statements of one request, in an application of this process over the same state database."""
    from falcon import testing
    from oslo_config import cfg

    from trove.cmd import logs, wiring
    from trove.cmd.api import SERVICE, load_application
    from trove.config import opts

    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, ["--config-file", str(Layout(root=running.root).conf)], prog=SERVICE, description="")
    foundation = wiring.foundation(conf)
    connection = wiring.bus(foundation, SERVICE)
    seen: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    try:
        client = testing.TestClient(load_application(conf, wiring.doors(foundation, connection)))
        url = f"/v1.0/{running.project()}{path}"
        assert client.simulate_get(url, headers=_basic(running)).status_code == 200
        event.listen(foundation.database.engine, "before_cursor_execute", count)
        assert client.simulate_get(url, headers=_basic(running)).status_code == 200
    finally:
        connection.close()
        foundation.close()
    return len(seen)
