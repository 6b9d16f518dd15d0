"""On the real stack with a real MariaDB: a task manager that dies at a chosen point leaves nothing that another cannot end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.stack import Stack
from tests.support.standstill import standing_still

ROOT = Path(__file__).parents[2]
DEATH_S = 60.0


@contextmanager
def stopped(running: Stack, service: str) -> Iterator[list[str]]:
    """Hold a service still, as if it hung, and yield the options it was started with."""
    pid = int(running.status()["services"][service]["pid"])
    words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    with standing_still(pid, database=running.root / "trove.sqlite", locks=running.root / "cloud" / "locks"):
        yield words[words.index("-m") + 2 :]


def die_at(running: Stack, point: tuple[str, str, int], ask: Callable[[], Any]) -> Any:
    """Have a task manager of our own take up what is asked for, and die on the way; return what asking returned."""
    with stopped(running, "trove-taskmanager") as options:
        answer = ask()
        words = [str(word) for word in point]
        argv = [sys.executable, "-m", "tests.support.mortal_task_manager", *words, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(argv, cwd=ROOT, text=True, **pipes) as mortal:  # type: ignore[call-overload]
            try:
                said, _ = mortal.communicate(timeout=DEATH_S)
            finally:
                mortal.kill()
        assert mortal.returncode == -signal.SIGKILL, f"it never came to {point}: {said}"
    return answer


def states(running: Stack, instance_id: str) -> list[tuple[str, str]]:
    reply = running.request("GET", f"/operations?resource_id={instance_id}")
    assert reply.status == 200, reply.text
    return [(each["kind"], each["state"]) for each in reply.body["operations"]]


@pytest.mark.parametrize(
    ("create", "restart", "delete"),
    [
        (("ensure_server", "after do", 1), ("restart_database", "before do", 1), ("remove_server", "after do", 1)),
        (("prepare_database", "after do", 1), ("restart_database", "after do", 1), ("remove_port", "before do", 1)),
        (("commit", "after", 3), ("commit", "after", 2), ("commit", "after", 3)),
    ],
    ids=["at-the-server", "at-the-guest", "at-commits"],
)
def test_an_instance_outlives_task_managers_that_die(
    unwatched: Stack, create: tuple[str, str, int], restart: tuple[str, str, int], delete: tuple[str, str, int]
) -> None:
    name = f"samples-{create[0].replace('_', '-')}"
    instance_id = die_at(unwatched, create, lambda: unwatched.create(name))
    try:
        shown = unwatched.await_healthy(instance_id)
        with unwatched.connect(shown, password=f"secret-{name}") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
            cursor.execute("INSERT INTO kept VALUES (42)")
            connection.commit()

        def ask_for_restart() -> None:
            reply = unwatched.request("POST", f"/instances/{instance_id}/action", {"restart": {}})
            assert reply.status == 202, reply.text

        die_at(unwatched, restart, ask_for_restart)
        shown = unwatched.await_healthy(instance_id)
        unwatched.await_query(instance_id, password=f"secret-{name}")
        with unwatched.connect(shown, password=f"secret-{name}") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM kept")
            assert cursor.fetchall() == ((42,),)
        die_at(unwatched, delete, lambda: unwatched.delete(instance_id))
    finally:
        # Refused where it is being deleted already.
        unwatched.request("DELETE", f"/instances/{instance_id}")
    unwatched.await_gone(instance_id)
    ended = [("instance.delete", "SUCCEEDED"), ("instance.restart", "SUCCEEDED"), ("instance.create", "SUCCEEDED")]
    assert states(unwatched, instance_id) == ended
