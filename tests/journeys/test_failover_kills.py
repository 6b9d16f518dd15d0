"""On the real stack: an ejected source comes back as a replica, with its data or built anew, whoever dies meanwhile with -9.

What it wrote after its set had gone on without it is never served beside what the others have.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from tests.journeys.test_replication import Set, await_step, is_busy, replicated
from tests.support.stack import Stack, await_value
from tests.support.standstill import go_on, stand_still
from tests.support.workload import Writes


@contextmanager
def ejected(stack: Stack, manager: str) -> Iterator[tuple[Set, str, list[str]]]:
    """Build a set and eject its source while the task manager is killed; yield the set, the old source, and all keys."""
    with replicated(stack, replicas=1, manager=manager) as members:
        old, (replica,) = members.source, members.replicas
        with Writes(lambda: members.connect(old)) as writes:
            writes.await_more(50)
        members.await_keys(replica, writes.keys)
        agent = (stack.instance_row(old) or {})["agent_pid"]
        stand_still(agent)
        try:
            members.act(old, "eject_replica_source")
            await_step(stack, old, "choose_candidate", "part_candidate", "open_candidate", "let_others_follow")
            stack.kill("trove-taskmanager")
            await_value(lambda: not is_busy(stack, [old, replica]), 120.0, "the ejection does not end")
        finally:
            with suppress(ProcessLookupError):
                go_on(agent)
        assert (stack.show(old) or {})["status"] == "SHUTDOWN"
        assert stack.servers(old) == []
        members.source, members.replicas = replica, [old]
        with Writes(lambda: members.connect(replica), name="after") as more:
            more.await_more()
        yield members, old, writes.keys + more.keys


def rejoin(members: Set, old: str, **more: bool) -> None:
    reply = members.stack.request("POST", f"/instances/{old}/action", {"rejoin": {"source": members.source, **more}})
    assert reply.status == 202, reply.text


@pytest.mark.parametrize("manager", ["mariadb", "postgresql"])
def test_an_ejected_source_comes_back_with_its_data(shared: Stack, manager: str) -> None:
    with ejected(shared, manager) as (members, old, keys):
        rejoin(members, old)
        await_step(shared, old, "make_server_closed", "follow_source", "rejoin")
        shared.kill("trove-taskmanager")
        shared.await_healthy(old)
        members.await_keys(old, keys)
        told = await_value(lambda: (shared.show(old) or {}).get("replication"), 60.0, "its replication is not shown")
        assert (told["following"], told["problem"]) == (True, None)
        assert members.replicas_shown() == [old]

        # Its machine is made anew: it never takes writes, and follows again.
        reply = shared.request("POST", f"/mgmt/instances/{old}/action", {"rebuild": {"image_id": "host"}})
        assert reply.status == 202, reply.text
        await_value(lambda: (shared.show(old) or {})["status"] != "BUILD", 120.0, "the rebuild does not end")
        with Writes(lambda: members.connect(members.source), name="later") as more:
            more.await_more()
        members.await_keys(old, keys + more.keys)


def test_one_that_has_gone_its_own_way_is_built_anew_only_when_told_so(shared: Stack) -> None:
    with ejected(shared, "mariadb") as (members, old, keys):
        assert shared.request("POST", f"/instances/{old}/action", {"restart": {}}).status == 202
        shared.await_healthy(old)
        with closing(members.connect(old)) as session:
            session.put("errant", "1")
        rejoin(members, old)
        await_value(lambda: not is_busy(shared, [old]), 120.0, "the rejoining does not end")
        shown = shared.show(old) or {}
        assert shown["status"] == "SHUTDOWN"
        assert "anew" in shown["fault"]["message"]
        assert shared.servers(old) == []
        rejoin(members, old, rebuild=True)
        await_step(shared, old, "ensure_volume", "ensure_server", "back_source_up", "prepare_replica")
        shared.kill("trove-taskmanager")
        shared.await_healthy(old)
        members.await_keys(old, keys)
        with closing(members.connect(old)) as session:
            assert session.get("errant") is None


pytestmark = pytest.mark.usefixtures("shared")
