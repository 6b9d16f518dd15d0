"""On the real stack with a real MariaDB: rows that were backed up come back in another instance, whatever dies meanwhile."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.stack import Stack, await_value

from trove.core.ids import new_id

PASSWORD = "secret-origin"


@contextmanager
def origin(stack: Stack) -> Iterator[str]:
    """Build an instance with rows; afterwards it is gone, and all backups of it."""
    instance_id = stack.create("origin")
    try:
        shown = stack.await_healthy(instance_id)
        with stack.connect(shown, password=PASSWORD) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
            cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(1000)])
            connection.commit()
        yield instance_id
    finally:
        forget_backups(stack)
        stack.delete(instance_id)
        stack.await_gone(instance_id)


def forget_backups(stack: Stack) -> None:
    def gone() -> bool:
        left = stack.request("GET", "/backups").body["backups"]
        for each in left:
            stack.request("DELETE", f"/backups/{each['id']}")
        return not left

    await_value(gone, 60.0, "backups are left")


def back_up(stack: Stack, instance_id: str, **more: Any) -> str:
    reply = stack.request("POST", "/backups", {"backup": {"name": "nightly", "instance": instance_id, **more}})
    assert reply.status == 202, reply.text
    return str(reply.body["backup"]["id"])


def await_state(stack: Stack, backup_id: str, *states: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        shown = stack.request("GET", f"/backups/{backup_id}").body["backup"]
        return shown if shown["status"] in states else None

    found: dict[str, Any] = await_value(there, 120.0, f"backup {backup_id} is not {' or '.join(states)}")
    return found


def restored_rows(stack: Stack, backup_id: str) -> int:
    """Create an instance from a backup, count its rows, and delete it."""
    body = {
        "instance": {
            "name": f"again-{new_id()[:8]}",
            "flavorRef": "1",
            "volume": {"size": 1},
            "restorePoint": {"backupRef": backup_id},
        }
    }
    reply = stack.request("POST", "/instances", body)
    assert reply.status == 200, reply.text
    instance_id = reply.body["instance"]["id"]
    try:
        shown = stack.await_healthy(instance_id)
        with stack.connect(shown, password=PASSWORD) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM kept")
            return int(cursor.fetchall()[0][0])
    finally:
        stack.delete(instance_id)
        stack.await_gone(instance_id)


def test_rows_come_back_from_a_full_backup_and_an_incremental_one(shared: Stack) -> None:
    with origin(shared) as instance_id:
        full = await_state(shared, back_up(shared, instance_id), "COMPLETED", "FAILED")
        assert full["status"] == "COMPLETED", full
        shown = shared.show(instance_id)
        assert shown is not None
        with shared.connect(shown, password=PASSWORD) as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(1000, 1500)])
            connection.commit()
        leaf = await_state(shared, back_up(shared, instance_id, incremental=1), "COMPLETED", "FAILED")
        assert (leaf["status"], leaf["parent_id"]) == ("COMPLETED", full["id"])
        assert restored_rows(shared, full["id"]) == 1000
        assert restored_rows(shared, leaf["id"]) == 1500


@pytest.mark.parametrize("victim", ["agent", "trove-taskmanager", "trove-objectstore"])
def test_a_backup_ends_whoever_is_killed_meanwhile(shared: Stack, victim: str) -> None:
    with origin(shared) as instance_id:
        agent = (shared.instance_row(instance_id) or {})["agent_pid"]
        backup_id = back_up(shared, instance_id)
        if victim == "agent":
            os.kill(agent, signal.SIGKILL)
        else:
            shared.kill(victim)
        ended = await_state(shared, backup_id, "COMPLETED", "FAILED")
        await_value(
            lambda: (shared.show(instance_id) or {}).get("status") == "ACTIVE", 60.0, "the instance is not as it was before"
        )
        if ended["status"] == "COMPLETED":
            assert restored_rows(shared, backup_id) == 1000
