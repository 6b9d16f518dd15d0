"""Task managers share the work; each may die, or stand still and wake up again, at any moment."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.support.disturbed_work import work_while
from tests.support.stack import Stack, await_value, processes_naming, stack
from tests.support.standstill import go_on, stand_still_with_empty_hands

from trove.cmd.local import processes

pytestmark = pytest.mark.xdist_group("several-task-managers")

TASK_MANAGERS = ("trove-taskmanager", "trove-taskmanager-2", "trove-taskmanager-3")
ATTEMPTS = 8


def test_each_of_three_is_killed_in_turn_and_all_work_is_done_once_and_fewer_can_go_on() -> None:
    with stack("--task-managers", "3", config="[taskmanager]\nsweep_interval = 1\n") as own:
        assert set(own.status()["services"]) == {*TASK_MANAGERS, "trove-api", "trove-conductor", "trove-objectstore", "bus"}

        def disturb() -> None:
            for name in TASK_MANAGERS:
                own.await_service(name, other_than=own.kill(name))

        work_while(own, disturb, disturb)
        for name in TASK_MANAGERS:
            assert "Operation instance." in own.trove_local("logs", "-n", "9999", name).stdout, f"{name} had nothing to do"
        own.up("--task-managers", "1")
        assert len([line for _, line in processes_naming(own.root.name) if "trove.cmd.taskmanager" in line]) == 1
        services = {"trove-taskmanager", "trove-api", "trove-conductor", "trove-objectstore", "bus"}
        assert set(own.status()["services"]) == services


def test_one_that_stood_still_past_its_lease_writes_nothing_when_it_wakes_up() -> None:
    config = "[taskmanager]\nlease = 2\nsweep_interval = 0.3\n"
    with stack("--task-managers", "2", "--watchdog", "0", config=config) as own:
        instance_id, sleeper = _asleep_in_the_middle(own)
        try:
            own.await_healthy(instance_id)
            await_value(lambda: own.operations(instance_id)[0]["state"] == "SUCCEEDED", 30.0, "it does not end")
            assert _runner(own, instance_id) != sleeper
            before = _rows(own, instance_id)
            server = own.servers(instance_id)
        finally:
            go_on(sleeper)
        log = next(path for path in (own.root / "log").glob("trove-taskmanager*.log") if f" {sleeper} " in path.read_text())
        await_value(lambda: " is left " in log.read_text().rpartition(" begins")[2], 30.0, "it does not wake up")
        assert _rows(own, instance_id) == before
        assert own.servers(instance_id) == server
        assert len(server) == 1
        own.await_query(instance_id, password="secret-haunted")
        own.delete(instance_id)
        own.await_gone(instance_id)
        running = processes.identify(sleeper)
        assert running is not None, "it goes on with other work"


def _asleep_in_the_middle(own: Stack) -> tuple[str, int]:
    """Return an instance that is being built, and the task manager that stands still meanwhile. Its watchdog is off."""
    for _ in range(ATTEMPTS):
        instance_id = own.create("haunted")
        sleeper = await_value(lambda one=instance_id: _runner(own, one), 30.0, "nobody runs the operation")
        stand_still_with_empty_hands(sleeper, database=own.root / "trove.sqlite", locks=own.root / "cloud" / "locks")
        if own.operations(instance_id)[0]["state"] == "RUNNING":
            return instance_id, sleeper
        go_on(sleeper)  # it had its hands full until it was done
        own.await_healthy(instance_id)
        own.delete(instance_id)
        own.await_gone(instance_id)
    raise AssertionError("no operation can be caught in its middle")


def _runner(own: Stack, instance_id: str) -> int | None:
    """Return the pid of the task manager that runs, or ran, the instance's last operation."""
    with closing(sqlite3.connect(f"file:{own.root / 'trove.sqlite'}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT owner FROM operations WHERE resource_id = ? AND owner IS NOT NULL ORDER BY created DESC", (instance_id,)
        ).fetchone()
    return None if found is None else int(found[0].rpartition(":")[2])


def _rows(own: Stack, instance_id: str) -> list[Any]:
    """Return all that the state database holds of the instance and its operations, but what heartbeats change."""
    with closing(sqlite3.connect(f"file:{own.root / 'trove.sqlite'}?mode=ro", uri=True)) as connection:
        return [
            connection.execute("SELECT * FROM operations WHERE resource_id = ?", (instance_id,)).fetchall(),
            connection.execute(
                "SELECT task, task_start_time, volume_id, compute_instance_id, addresses FROM instances WHERE id = ?",
                (instance_id,),
            ).fetchall(),
        ]
