"""On the real stack with real MariaDB servers: replicas are built while their source takes writes, and take its place.

Whatever is promoted, ejected or killed: no acknowledged write is lost, or, when a source dies, none that had reached a replica.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.dialects import ReadOnly, Session, Tenant, dialect
from tests.support.living_files import living_files
from tests.support.stack import Stack, await_value
from tests.support.standstill import go_on, stand_still
from tests.support.workload import Writes

from trove.core.ids import new_id

BUSY = {"BUILD", "PROMOTE", "EJECT", "DETACH", "BACKUP"}


@dataclass
class Set:
    """A source, its replicas, and how to be the tenant on any of them."""

    stack: Stack
    name: str
    source: str
    replicas: list[str]
    manager: str = "mariadb"

    @property
    def members(self) -> list[str]:
        return [self.source, *self.replicas]

    def connect(self, member: str) -> Session:
        shown = self.stack.show(member)
        assert shown is not None
        tenant = Tenant(name="alice", password=f"secret-{self.name}", database="shop")
        return dialect(self.manager).connect(shown["addresses"][0]["address"], tenant)

    def replicate(self, count: int = 1) -> list[str]:
        """Ask for replicas; return their ids. They are not there yet."""
        known = set(self.replicas_shown())
        wanted = {"name": f"{self.name}-r", "replica_of": self.source, "replica_count": count}
        reply = self.stack.request("POST", "/instances", {"instance": wanted})
        assert reply.status == 200, reply.text
        made = sorted(set(self.replicas_shown()) - known)
        assert len(made) == count
        self.replicas += made
        return made

    def replicas_shown(self) -> list[str]:
        return [each["id"] for each in (self.stack.show(self.source) or {}).get("replicas", [])]

    def act(self, member: str, action: str) -> None:
        """Ask for an action as soon as the set may be acted on."""

        def accepted() -> bool:
            reply = self.stack.request("POST", f"/instances/{member}/action", {action: {}})
            assert reply.status in {202, 400, 422, 503}, reply.text
            return reply.status == 202

        await_value(accepted, 60.0, f"{action} is not accepted")

    def await_idle(self) -> None:
        """Wait until no member is at work, and see that none has failed."""

        def states() -> list[str]:
            return [str((self.stack.show(each) or {}).get("status")) for each in self.members]

        await_value(lambda: not BUSY & set(states()), 150.0, "members are still at work")
        assert "ERROR" not in states(), [self.stack.show(each) for each in self.members]

    def await_keys(self, member: str, keys: list[str]) -> None:
        """Wait until a member has all these, and see that it takes no writes unless it is the source."""

        def has_all() -> bool:
            with closing(self.connect(member)) as session:
                return set(keys) <= session.keys()

        await_value(has_all, 60.0, f"{member} lacks what was acknowledged")
        if member != self.source:
            with closing(self.connect(member)) as session, pytest.raises(ReadOnly):
                session.put("not", "here")


@contextmanager
def replicated(stack: Stack, replicas: int = 0, manager: str = "mariadb") -> Iterator[Set]:
    """Build a source, and replicas if wanted; afterwards all are gone and have left nothing."""
    name = f"set-{new_id()[:8]}"
    source = stack.create(name, datastore={"type": manager})
    made = Set(stack=stack, name=name, source=source, replicas=[], manager=manager)
    try:
        stack.await_healthy(made.source)
        for each in made.replicate(replicas) if replicas else ():
            stack.await_healthy(each)
        yield made
    finally:
        source_last = sorted(made.members, key=lambda each: bool((stack.show(each) or {}).get("replicas")))
        for each in source_last:
            stack.delete(each)
            stack.await_gone(each)


def test_replicas_are_built_under_writes_and_one_takes_the_place_of_the_source(shared: Stack) -> None:
    with replicated(shared) as members, Writes(lambda: members.connect(members.source)) as writes:
        writes.await_more()
        first, second = members.replicate(2)
        for each in (first, second):
            shared.await_healthy(each)
        reply = shared.request("DELETE", f"/instances/{members.source}")
        assert reply.status == 403, reply.text
        writes.await_more()

        members.act(first, "promote_to_replica_source")
        members.source, members.replicas = first, [members.source, second]
        members.await_idle()
        writes.await_more()
        assert sorted(members.replicas_shown()) == sorted(members.replicas)
        writes.stop()
        for each in members.members:
            members.await_keys(each, writes.keys)

        reply = shared.request("PATCH", f"/instances/{second}", {"instance": {"replica_of": None}})
        assert reply.status == 202, reply.text
        members.await_idle()
        with closing(members.connect(second)) as session:
            assert set(writes.keys) <= session.keys()
            session.put("its", "own")
    assert not left_in_the_object_store(shared)


def test_a_dead_source_is_ejected_and_nothing_is_lost_that_had_reached_a_replica(shared: Stack) -> None:
    with replicated(shared, replicas=2) as members:
        dead = members.source
        with Writes(lambda: members.connect(dead)) as writes:
            writes.await_more(100)
        for each in members.replicas:
            members.await_keys(each, writes.keys)
        row = shared.instance_row(dead) or {}
        # Its machine hangs: nothing is heard of it, and its server does not come back.
        stand_still(row["agent_pid"])
        try:
            for pid in shared.servers(dead):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            members.act(dead, "eject_replica_source")
            members.source, members.replicas = "", list(members.replicas)
            await_value(lambda: not is_busy(shared, [dead, *members.replicas]), 120.0, "the ejection does not end")
        finally:
            with suppress(ProcessLookupError):
                go_on(row["agent_pid"])
        (new,) = [each for each in members.replicas if not (shared.show(each) or {}).get("replica_of")]
        members.source, members.replicas = new, [each for each in members.replicas if each != new]
        assert members.replicas_shown() == members.replicas
        assert (shared.show(dead) or {})["status"] == "SHUTDOWN"
        with Writes(lambda: members.connect(new), name="after") as more:
            more.await_more()
        for each in members.members:
            members.await_keys(each, writes.keys + more.keys)
        members.replicas.append(dead)  # to be deleted with them


def test_a_task_manager_killed_while_a_replica_is_built_and_while_it_is_promoted(shared: Stack) -> None:
    with replicated(shared) as members, Writes(lambda: members.connect(members.source)) as writes:
        (replica,) = members.replicate()
        await_step(shared, replica, "back_source_up", "prepare_replica")
        shared.kill("trove-taskmanager")
        shared.await_healthy(replica)
        writes.await_more()

        members.act(replica, "promote_to_replica_source")
        await_step(shared, replica, "close_source", "catch_up", "part_candidate", "open_candidate", "let_others_follow")
        shared.kill("trove-taskmanager")
        old, members.source, members.replicas = members.source, replica, [members.source]
        members.await_idle()
        if old in [each["id"] for each in [(shared.show(replica) or {}).get("replica_of") or {}] if each]:
            members.source, members.replicas = old, [replica]  # it was taken back
        writes.await_more()
        writes.stop()
        for each in members.members:
            members.await_keys(each, writes.keys)
    assert not left_in_the_object_store(shared)


def is_busy(stack: Stack, members: list[str]) -> bool:
    return bool(BUSY & {str((stack.show(each) or {}).get("status")) for each in members})


def await_step(stack: Stack, instance_id: str, *steps: str) -> None:
    """Wait until the latest operation of an instance is at one of these steps, or has ended."""

    def there() -> bool:
        latest: dict[str, Any] = stack.operations(instance_id)[0]
        return latest["state"] not in {"PENDING", "RUNNING"} or any(each in str(latest["step"]) for each in steps)

    await_value(there, 60.0, f"{instance_id} is never at {' or '.join(steps)}")


def left_in_the_object_store(stack: Stack) -> list[str]:
    """Return what is left of the backups that replicas were built from."""
    return [str(path) for path in living_files(stack.root) if {"c-database_replicas", "data"} <= set(path.parts)]
