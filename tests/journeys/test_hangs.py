"""What hangs instead of dying is no worse: a service that stands still is replaced, a guest that does can be deleted."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.support.stack import Stack, await_value, stack
from tests.support.standstill import go_on, stand_still

from trove.cmd.local import processes
from trove.cmd.local.layout import Layout

pytestmark = pytest.mark.xdist_group("hangs")


@pytest.fixture(scope="module")
def watched() -> Iterator[Stack]:
    # The guests are to be seen as silent soon.
    with stack("--watchdog", "2", config="[DEFAULT]\nreport_interval = 1\nagent_heartbeat_expiry = 4\n") as own:
        yield own


def test_services_that_stand_still_during_create_restart_and_delete_are_replaced(watched: Stack) -> None:
    instance_id = watched.create("unmoved")
    try:
        stopped = {name: watched.kill(name, signal.SIGSTOP) for name in ("trove-conductor", "trove-taskmanager")}
        watched.await_healthy(instance_id)
        _await_replaced(watched, stopped)
        accepted = watched.request("POST", f"/instances/{instance_id}/action", {"restart": {}})
        assert accepted.status == 202, accepted.text
        stopped = {"bus": watched.kill("bus", signal.SIGSTOP)}
        _await_replaced(watched, stopped)
        watched.await_healthy(instance_id)
        watched.await_query(instance_id, password="secret-unmoved")
        assert len(watched.servers(instance_id)) == 1
    finally:
        _await_accepted_deletion(watched, instance_id)
    stopped = {"trove-api": watched.kill("trove-api", signal.SIGSTOP)}
    _await_replaced(watched, stopped)
    watched.await_gone(instance_id)


def test_a_guest_agent_that_stands_still_is_shown_and_goes_on_where_it_was(watched: Stack) -> None:
    instance_id = watched.create("stunned")
    try:
        watched.await_healthy(instance_id)
        agent = (watched.instance_row(instance_id) or {})["agent_pid"]
        stand_still(agent)
        await_value(lambda: (watched.show(instance_id) or {})["operating_status"] == "ERROR", 60.0, "nobody misses it")
        watched.await_query(instance_id, password="secret-stunned")
        accepted = watched.request("POST", f"/instances/{instance_id}/action", {"restart": {}})
        assert accepted.status == 202, accepted.text
        go_on(agent)
        watched.await_healthy(instance_id)
        await_value(lambda: watched.operations(instance_id)[0]["state"] == "SUCCEEDED", 60.0, "the restart does not end")
        assert len(watched.servers(instance_id)) == 1
    finally:
        _await_accepted_deletion(watched, instance_id)
    watched.await_gone(instance_id)


def test_a_guest_whose_processes_stand_still_is_deleted_and_leaves_nothing(watched: Stack) -> None:
    instance_id = watched.create("petrified")
    try:
        watched.await_healthy(instance_id)
        row = watched.instance_row(instance_id) or {}
        for pid in (row["agent_pid"], row["server_pid"]):
            stand_still(pid)
    finally:
        _await_accepted_deletion(watched, instance_id)
    watched.await_gone(instance_id)


def test_a_supervisor_that_stands_still_is_replaced_by_the_next_up(watched: Stack) -> None:
    before = watched.status()["services"]
    supervisor = processes.load(Layout(root=watched.root).supervisor)
    assert supervisor is not None
    stand_still(supervisor.pid)
    assert "stands still" in watched.trove_local("up").stderr
    assert {name: one["pid"] for name, one in watched.status()["services"].items()} == {
        name: one["pid"] for name, one in before.items()
    }
    watched.await_service("trove-conductor", other_than=watched.kill("trove-conductor"))


def _await_replaced(own: Stack, stopped: dict[str, int]) -> None:
    for name, pid in stopped.items():
        own.await_service(name, other_than=pid)


def _await_accepted_deletion(own: Stack, instance_id: str) -> None:
    """Ask until the API, which may just be replaced, accepts it."""

    def accepted() -> bool:
        with suppress(OSError):
            own.delete(instance_id)
            return True
        return False

    await_value(accepted, 60.0, "the deletion is not accepted")
