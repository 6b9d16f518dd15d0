"""On the real stack, from one real server to the next: data, users and way back, whoever dies in the middle with -9."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.dialects import Session, Tenant, dialect
from tests.support.stack import Stack, await_value

from trove.core.ids import new_id
from trove.datastores import registry
from trove.datastores.contract import Facet

STEPS: Mapping[str, tuple[str, str]] = {"mariadb": ("10.11", "11.8"), "postgresql": ("15", "17"), "redis": ("7.0", "8.0")}
"""From which version to which, by engine."""
ENGINES = [manager for manager in STEPS if Facet.UPGRADES in registry.spec(manager).facets]
PASSWORD = "secret-of-alice"
UPGRADE_S = 180.0


@dataclass(frozen=True)
class Upgradable:
    """An instance of the old version, with a user and a key in it."""

    stack: Stack
    manager: str
    id: str

    @property
    def new_version(self) -> str:
        return STEPS[self.manager][1]

    def connect(self) -> Session:
        shown = self.stack.show(self.id)
        assert shown is not None
        database = "shop" if Facet.DATABASES in registry.spec(self.manager).facets else None
        tenant = Tenant(name="alice", password=PASSWORD, database=database)
        return dialect(self.manager).connect(shown["addresses"][0]["address"], tenant)

    def ask(self, **more: Any) -> None:
        """Ask for the upgrade."""
        wanted = {"datastore_version": self.new_version, **more}
        reply = self.stack.request("PATCH", f"/instances/{self.id}", {"instance": wanted})
        assert reply.status == 202, reply.text

    def operation(self) -> dict[str, Any]:
        return next(each for each in self.stack.operations(self.id) if each["kind"] == "instance.upgrade")

    def await_step(self, *names: str) -> None:
        """Wait until the upgrade is at one of these steps."""

        def is_there() -> bool:
            now = self.operation()
            assert now["state"] in {"PENDING", "RUNNING"}, now
            return str(now["step"]).startswith(names)

        await_value(is_there, UPGRADE_S, f"never at {names}")

    def await_end(self) -> str:
        """Wait until the upgrade has ended and the instance serves; return how it ended."""
        ended = {"SUCCEEDED", "FAILED", "CANCELLED"}
        await_value(lambda: self.operation()["state"] in ended, UPGRADE_S, "the upgrade does not end")
        self.stack.await_healthy(self.id)
        return str(self.operation()["state"])

    def check(self, version: str, *keys: str) -> None:
        """See that it is of a version, has these keys, and takes another one."""
        shown = self.stack.show(self.id)
        assert shown is not None
        assert shown["datastore"]["version"] == version
        with closing(self.connect()) as session:
            assert session.keys() >= set(keys)
            session.put(f"after {version}", "1")


@contextmanager
def instance(stack: Stack, manager: str) -> Iterator[Upgradable]:
    """Build one; afterwards it and its backups are gone."""
    database = Facet.DATABASES in registry.spec(manager).facets
    user = {"name": "alice", "password": PASSWORD, **({"databases": [{"name": "shop"}]} if database else {})}
    made = stack.create(
        f"up-{new_id()[:8]}",
        datastore={"type": manager, "version": STEPS[manager][0]},
        databases=[{"name": "shop"}] if database else [],
        users=[user],
    )
    try:
        stack.await_healthy(made)
        one = Upgradable(stack, manager, made)
        with closing(one.connect()) as session:
            session.put("early", "1")
        yield one
    finally:
        for backup in backups_of(stack, made):
            stack.request("DELETE", f"/backups/{backup['id']}")
        await_value(lambda: not backups_of(stack, made), 60.0, "its backups are not deleted")
        stack.delete(made)
        stack.await_gone(made)


def backups_of(stack: Stack, instance_id: str) -> list[dict[str, Any]]:
    reply = stack.request("GET", f"/instances/{instance_id}/backups")
    assert reply.status == 200, reply.text
    found: list[dict[str, Any]] = reply.body["backups"]
    return found


def kill_task_manager(one: Upgradable) -> None:
    one.stack.kill("trove-taskmanager")


def kill_agent(one: Upgradable) -> None:
    row = one.stack.instance_row(one.id) or {}
    if row.get("agent_pid"):
        with suppress(ProcessLookupError):
            os.kill(row["agent_pid"], signal.SIGKILL)


@pytest.mark.parametrize("manager", ENGINES)
def test_an_upgrade_brings_all_along_although_its_task_manager_is_killed(shared: Stack, manager: str) -> None:
    with instance(shared, manager) as one:
        one.ask()
        one.await_step("rebuild_server", "upgrade")
        kill_task_manager(one)
        assert one.await_end() == "SUCCEEDED"
        one.check(one.new_version, "early")
        (backup,) = backups_of(shared, one.id)
        assert (backup["status"], backup["datastore"]["version"]) == ("COMPLETED", STEPS[manager][0])


@pytest.mark.parametrize("manager", ENGINES[:1])
@pytest.mark.parametrize("kill", [kill_task_manager, kill_agent])
def test_an_upgrade_that_is_cancelled_leads_back_to_the_old_version(
    shared: Stack, manager: str, kill: Callable[[Upgradable], None]
) -> None:
    with instance(shared, manager) as one:
        one.ask(backup_before_upgrade=False)
        one.await_step("stop", "rebuild_server")
        reply = shared.request("POST", f"/operations/{one.operation()['id']}/action", {"cancel": {}})
        assert reply.status == 202, reply.text
        kill(one)
        state = one.await_end()
        # It may have been too late for that: then the upgrade stands.
        one.check({"CANCELLED": STEPS[manager][0]}.get(state, one.new_version), "early")
        assert backups_of(shared, one.id) == []


@pytest.mark.parametrize("manager", ENGINES[:1])
def test_a_server_killed_in_the_middle_of_its_upgrade_serves_afterwards_as_one_or_the_other(
    shared: Stack, manager: str
) -> None:
    with instance(shared, manager) as one:
        (before,) = shared.servers(one.id)
        one.ask(backup_before_upgrade=False)
        # The first server of the new version, which may be at work on the data of the old one.
        pids = await_value(lambda: [pid for pid in shared.servers(one.id) if pid != before], UPGRADE_S, "no new server")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        state = one.await_end()
        one.check(one.new_version if state == "SUCCEEDED" else STEPS[manager][0], "early")
