"""Whatever is killed with -9 during create or delete: the instance ends ACTIVE, or gone, and never stuck."""

import os
import signal
from contextlib import suppress

import pytest
from tests.support.stack import Stack, await_value

from trove.cmd.local import processes
from trove.cmd.local.layout import Layout

SERVICES = ("trove-api", "trove-taskmanager", "trove-conductor", "trove-objectstore", "bus")
GUEST_PROCESSES = ("agent_pid", "server_pid")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_killed_during_create_and_again_during_delete(shared: Stack, service: str) -> None:
    instance_id = shared.create(f"survives-{service}")
    try:
        killed = shared.kill(service)
        shown = shared.await_healthy(instance_id)
        shared.await_service(service, other_than=killed)
        shared.connect(shown, password=f"secret-survives-{service}").close()
    finally:
        shared.delete(instance_id)
    shared.kill(service)
    shared.await_gone(instance_id)


@pytest.mark.parametrize("delay_polls", [1, 4, 8])
def test_a_task_manager_killed_at_any_moment_of_a_create(shared: Stack, delay_polls: int) -> None:
    instance_id = shared.create(f"moment-{delay_polls}")
    try:
        for _ in range(delay_polls):
            shared.show(instance_id)
        shared.kill("trove-taskmanager")
        shared.await_healthy(instance_id)
    finally:
        shared.delete(instance_id)
    shared.await_gone(instance_id)


@pytest.mark.parametrize("which", GUEST_PROCESSES)
def test_a_guest_process_killed_during_create_and_again_during_delete(shared: Stack, which: str) -> None:
    name = f"survives-{which.replace('_', '-')}"
    instance_id = shared.create(name)
    try:
        _kill_guest_process(shared, instance_id, which)
        shared.await_healthy(instance_id)
        shared.await_query(instance_id, password=f"secret-{name}")
        pid = await_value(lambda: (shared.instance_row(instance_id) or {}).get(which), 60.0, f"there is no {which}")
    finally:
        shared.delete(instance_id)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    shared.await_gone(instance_id)


@pytest.mark.parametrize("which", GUEST_PROCESSES)
def test_a_killed_guest_process_of_a_running_instance_comes_back(shared: Stack, which: str) -> None:
    name = f"comes-back-{which.replace('_', '-')}"
    instance_id = shared.create(name)
    try:
        shared.await_healthy(instance_id)
        killed = _kill_guest_process(shared, instance_id, which)

        def is_back() -> bool:
            row = shared.instance_row(instance_id) or {}
            return bool(row["agent_pid"] and row["server_pid"]) and row[which] != killed

        await_value(is_back, 60.0, f"{which} did not come back")
        shared.await_healthy(instance_id)
        shared.await_query(instance_id, password=f"secret-{name}")
    finally:
        shared.delete(instance_id)
    shared.await_gone(instance_id)


def test_the_supervisor_killed_during_create_and_during_delete(shared: Stack) -> None:
    instance_id = shared.create("unsupervised")
    try:
        _kill_supervisor(shared)
        shared.await_healthy(instance_id)
        before = shared.status()["services"]
        shared.trove_local("up")
        after = shared.status()["services"]
        assert {name: one["pid"] for name, one in before.items()} == {name: one["pid"] for name, one in after.items()}
        shared.await_healthy(instance_id)
        shared.delete(instance_id)
        _kill_supervisor(shared)
        shared.await_gone(instance_id)
    finally:
        shared.trove_local("up")
        shared.delete(instance_id)
    shared.await_gone(instance_id)


def test_two_services_killed_at_once(shared: Stack) -> None:
    instance_id = shared.create("twice")
    try:
        for service in ("bus", "trove-taskmanager"):
            shared.kill(service)
        shared.await_healthy(instance_id)
    finally:
        shared.delete(instance_id)
    shared.await_gone(instance_id)


def _kill_guest_process(stack: Stack, instance_id: str, which: str) -> int:
    pid = await_value(lambda: (stack.instance_row(instance_id) or {}).get(which), 60.0, f"there is no {which}")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return int(pid)


def _kill_supervisor(stack: Stack) -> None:
    supervisor = processes.load(Layout(root=stack.root).supervisor)
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert not processes.wait_gone([supervisor], 20.0)
