"""The whole service on a real MariaDB or PostgreSQL as its state database, also when that dies in the middle of a create."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.disturbed_work import work_while
from tests.support.mariadb_server import MariaDbServer, mariadb_server
from tests.support.ports import free_port
from tests.support.postgresql_server import PostgreSqlServer, postgresql_server
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.xdist_group("external-database")

SERVERS = {"mariadb": mariadb_server, "postgresql": postgresql_server}


@pytest.fixture(scope="module", params=SERVERS)
def state_server(request: pytest.FixtureRequest) -> Iterator[MariaDbServer | PostgreSqlServer]:
    with SERVERS[request.param]() as server:
        yield server


@pytest.fixture(scope="module")
def on_server(state_server: MariaDbServer | PostgreSqlServer) -> Iterator[Stack]:
    state_server.recreate("trove")
    # Locks in the database too, as task managers on several machines have them.
    options = ("--database", state_server.url("trove"), "--locks", "database", "--task-managers", "2")
    with stack(*options, config="[taskmanager]\nsweep_interval = 1\n") as own:
        yield own


def test_the_story(on_server: Stack) -> None:
    instance_id = on_server.create("kept-elsewhere")
    try:
        shown = on_server.await_healthy(instance_id)
        with on_server.connect(shown, password="secret-kept-elsewhere") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
            cursor.execute("INSERT INTO t VALUES (1)")
            connection.commit()
        client = on_server.client()
        assert [user.name for user in client.users.list(instance_id)] == ["alice"]
        client.instances.restart(instance_id)
        shown = on_server.await_healthy(instance_id)
        with on_server.connect(shown, password="secret-kept-elsewhere") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM t")
            assert cursor.fetchone() == (1,)
        assert [one.id for one in client.instances.list()] == [instance_id]
        row = on_server.instance_row(instance_id)
        assert row is not None
        assert row["status"] == "ACTIVE"
        assert not (on_server.root / "trove.sqlite").exists()
    finally:
        on_server.delete(instance_id)
    on_server.await_gone(instance_id)


def test_task_managers_and_the_state_database_die_or_freeze_and_all_work_is_done_once(
    on_server: Stack, state_server: MariaDbServer | PostgreSqlServer
) -> None:
    assert state_server.process is not None
    first, second = "trove-taskmanager", "trove-taskmanager-2"

    def disturb_changes() -> None:
        killed = on_server.kill(first)
        state_server.kill()
        on_server.await_service(first, other_than=killed)
        on_server.kill(second)
        state_server.start()

    def disturb_deletes() -> None:
        with state_server.process.frozen():
            on_server.await_service(second, other_than=on_server.kill(second))

    work_while(on_server, disturb_changes, disturb_deletes)


@pytest.mark.parametrize("polls", [0, 6])
def test_the_state_database_killed_in_the_middle_of_a_create(
    on_server: Stack, state_server: MariaDbServer | PostgreSqlServer, polls: int
) -> None:
    name = f"outlives-{polls}"
    instance_id = on_server.create(name)
    try:
        for _ in range(polls):
            on_server.show(instance_id)
        state_server.kill()
        refused = on_server.request("GET", f"/instances/{instance_id}")
        assert refused.status == 503, refused.text
        assert "Traceback" not in refused.text
        request_id = next(value for name, value in refused.headers.items() if name.lower() == "x-openstack-request-id")
        assert f"[{request_id} -]" in (on_server.root / "log" / "trove-api.log").read_text()
        state_server.start()
        on_server.await_healthy(instance_id)
        on_server.await_query(instance_id, password=f"secret-{name}")
    finally:
        on_server.delete(instance_id)
    on_server.await_gone(instance_id)


def test_a_database_that_refuses_the_password_fails_at_once_and_says_why(
    state_server: MariaDbServer | PostgreSqlServer, tmp_path: Path
) -> None:
    url = state_server.url("trove").replace(state_server.password, "mistyped")
    own = Stack(root=tmp_path / "stack", port=free_port())
    done = own.trove_local("up", "--port", str(own.port), "--database", url, check=False)
    assert done.returncode == 1
    assert "denied for user" in done.stderr or "authentication failed for user" in done.stderr
    assert "Traceback" not in done.stderr
    assert "mistyped" not in done.stderr
    own.trove_local("reset", "--yes")
    assert not own.root.exists()
    assert not own.leftovers(own.root.as_posix())
