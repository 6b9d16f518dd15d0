"""More than a small machine can do, asked of the whole stack at once: everything is answered, and everything ends."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.stack import BIN, Reply, Stack, await_value, stack
from tests.support.standstill import go_on, stand_still

from trove.cloud.local.capacity import machine_memory_mib
from trove.cmd.local.layout import Layout

pytestmark = pytest.mark.xdist_group("small-stack")

REQUESTS = 500
CONNECTIONS = 50
PENDING = 40
FITTING = 4
TINY_MIB = 256

CONFIG = f"""
[DEFAULT]
max_pending_operations = {PENDING}
guest_call_threads = 8
agent_call_low_timeout = 5
agent_heartbeat_expiry = 60
[local]
memory_overcommit = {(FITTING + 0.5) * TINY_MIB / machine_memory_mib()}
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Stack]:
    """Return a stack on a machine that holds few instances, with a quota for many. A test deletes what it creates."""
    with stack(config=CONFIG) as running:
        for resource in ("instances", "volumes"):
            quota = ["quota", "set", running.project(), resource, str(2 * REQUESTS)]
            subprocess.run([BIN / "trove-manage", "--config-file", Layout(root=running.root).conf, *quota], check=True)
        yield running


def test_a_burst_of_creations_is_answered_and_all_of_them_end(small: Stack) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        replies = list(pool.map(lambda number: _create(small, f"burst-{number}"), range(REQUESTS)))
        assert {reply.status for reply in replies} == {200, 503}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status == 503)
        accepted = {reply.body["instance"]["id"] for reply in replies if reply.status == 200}
        assert len(accepted) >= PENDING
        await_value(lambda: not _unfinished(small), 120.0, "the burst did not end")
        shown = [small.show(instance_id) or {} for instance_id in accepted]
        assert Counter(one["status"] for one in shown) == {"ACTIVE": FITTING, "ERROR": len(accepted) - FITTING}
        faults = {one["fault"]["message"].partition(":")[0] for one in shown if one["status"] == "ERROR"}
        assert faults == {"No valid host"}
        assert {reply.status for reply in pool.map(lambda one: small.request("DELETE", f"/instances/{one}"), accepted)} == {202}
        await_value(lambda: not _unfinished(small), 120.0, "the deletions did not end")
    assert not small.request("GET", "/instances").body["instances"]
    _assert_nothing_is_left(small)


def test_guests_that_hang_hold_up_nobody_else(small: Stack) -> None:
    instances = [small.create(f"hangs-{number}") for number in range(2)]
    stopped: list[int] = []
    try:
        for instance_id in instances:
            small.await_healthy(instance_id)
        stopped = [(small.instance_row(instance_id) or {})["agent_pid"] for instance_id in instances]
        for pid in stopped:
            stand_still(pid)
        with ThreadPoolExecutor(64) as pool:
            asked = [pool.submit(small.request, "GET", f"/instances/{instances[one % 2]}/users") for one in range(64)]
            await_value(lambda: any(each.done() for each in asked), 30.0, "none of those beyond the bound was refused")
            for path in ("/limits", "/instances", f"/instances/{instances[0]}"):
                assert small.request("GET", path).status == 200
            assert not all(each.done() for each in asked), "the quick ones waited for the hung ones"
            replies = [each.result() for each in asked]
        assert {reply.status for reply in replies} == {503}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
    finally:
        for pid in stopped:
            go_on(pid)
        for instance_id in instances:
            small.delete(instance_id)
    for instance_id in instances:
        small.await_gone(instance_id)
    _assert_nothing_is_left(small)


def _create(stack: Stack, name: str) -> Reply:
    wanted = {"name": name, "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}}
    return stack.request("POST", "/instances", {"instance": wanted})


def _unfinished(stack: Stack) -> list[str]:
    found = [stack.request("GET", f"/operations?state={state}&limit=1") for state in ("PENDING", "RUNNING", "REVERTING")]
    return [operation["id"] for reply in found for operation in reply.body["operations"]]


def _assert_nothing_is_left(stack: Stack) -> None:
    cloud = Layout(root=stack.root).cloud
    assert not [path for name in ("servers", "volumes", "ports") for path in (cloud / name).iterdir()]
