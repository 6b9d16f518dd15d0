"""On the real stack with a real MariaDB: sizes change, rows stay, also when a task manager is killed in the middle."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
import pytest
from tests.journeys.test_crash_samples import die_at, states
from tests.support.stack import Stack, await_value

GIB = 1024**3
NAME = "resized"


@contextmanager
def instance_with_rows(stack: Stack) -> Iterator[str]:
    """Build an instance of 1 GiB that holds rows; afterwards it is gone."""
    instance_id = stack.create(NAME)
    try:
        shown = stack.await_healthy(instance_id)
        with stack.connect(shown, password=f"secret-{NAME}") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
            cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(1000)])
            connection.commit()
        yield instance_id
    finally:
        stack.delete(instance_id)
        stack.await_gone(instance_id)


def ask(stack: Stack, instance_id: str, wanted: Any) -> None:
    reply = stack.request("POST", f"/instances/{instance_id}/action", {"resize": wanted})
    assert reply.status == 202, reply.text


def query(stack: Stack, instance_id: str, statement: str) -> Any:
    """Return the one value that a statement asks for, as soon as the database answers."""
    stack.await_query(instance_id, password=f"secret-{NAME}")
    return once(stack, instance_id, statement)


def once(stack: Stack, instance_id: str, statement: str) -> Any:
    """Return the one value that a statement asks for, of a database that answers."""
    shown = stack.show(instance_id)
    assert shown is not None
    with stack.connect(shown, password=f"secret-{NAME}") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()[0][0]


def await_answer(stack: Stack, instance_id: str, statement: str, wanted: Any) -> None:
    """Wait until a statement gives the wanted value: until the next report the database may be shown healthy while it stops."""

    def answers() -> bool:
        with suppress(pymysql.err.Error):
            return bool(query(stack, instance_id, statement) == wanted)
        return False

    await_value(answers, 60.0, f"{statement} did not give {wanted}")


def await_sizes(stack: Stack, instance_id: str, *, volume: int, flavor: str) -> None:
    def shown() -> bool:
        now = stack.show(instance_id)
        assert now is not None
        assert now["status"] in {"RESIZE", "ACTIVE"}, now
        return bool((now["status"], now["volume"]["size"], now["flavor"]["id"]) == ("ACTIVE", volume, flavor))

    await_value(shown, 120.0, f"the sizes did not become {volume} GiB and flavor {flavor}\n{stack.tails()}")


def file_system_bytes(stack: Stack, instance_id: str) -> int | None:
    """Return the size of the volume's own file system, None where it has none."""
    (image,) = [*stack.root.glob(f"**/volumes/{instance_id}/volume.img"), None][:1]
    if image is None:
        return None
    space = os.statvfs(image.with_name("mount"))
    return space.f_blocks * space.f_frsize


@pytest.mark.parametrize("point", [("grow_volume", "before do", 1), ("grow_volume", "after do", 1), None])
def test_a_volume_grows_with_all_its_rows_though_its_task_manager_dies(
    unwatched: Stack, point: tuple[str, str, int] | None
) -> None:
    with instance_with_rows(unwatched) as instance_id:
        if point is not None:
            die_at(unwatched, point, lambda: ask(unwatched, instance_id, {"volume": {"size": 2}}))
        else:
            # In the middle of the cloud's own work.
            ask(unwatched, instance_id, {"volume": {"size": 2}})
            await_value(lambda: unwatched.operations(instance_id)[0]["state"] != "PENDING", 30.0, "it did not begin")
            killed = unwatched.pid("trove-taskmanager")
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            unwatched.await_service("trove-taskmanager", other_than=killed)
        await_sizes(unwatched, instance_id, volume=2, flavor="1")
        # Not waited for: it serves once it has its size, though its server may have been stopped for that.
        assert once(unwatched, instance_id, "SELECT COUNT(*) FROM kept") == 1000
        space = file_system_bytes(unwatched, instance_id)
        assert space is None or space > 1.8 * GIB
        assert states(unwatched, instance_id) == [("instance.resize_volume", "SUCCEEDED"), ("instance.create", "SUCCEEDED")]


def test_a_flavor_grows_and_shrinks_with_all_rows_and_its_own_configuration(unwatched: Stack) -> None:
    pool = "SELECT @@innodb_buffer_pool_size"
    with instance_with_rows(unwatched) as instance_id:
        small = query(unwatched, instance_id, pool)
        die_at(unwatched, ("restart_database", "after do", 1), lambda: ask(unwatched, instance_id, {"flavorRef": "2"}))
        await_sizes(unwatched, instance_id, volume=1, flavor="2")
        assert query(unwatched, instance_id, pool) > small
        assert query(unwatched, instance_id, "SELECT COUNT(*) FROM kept") == 1000
        ask(unwatched, instance_id, {"flavorRef": "1"})
        await_sizes(unwatched, instance_id, volume=1, flavor="1")
        await_answer(unwatched, instance_id, pool, small)
        assert query(unwatched, instance_id, "SELECT COUNT(*) FROM kept") == 1000
        ended = [("instance.resize_flavor", "SUCCEEDED")] * 2
        assert states(unwatched, instance_id) == [*ended, ("instance.create", "SUCCEEDED")]
