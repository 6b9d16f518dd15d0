"""The whole service on a MariaDB Galera cluster as its state database, every connection on another node, of which one dies."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
import sqlalchemy as sa
from tests.support.galera import GaleraCluster, galera_cluster
from tests.support.stack import Stack, await_value, stack

from trove.core.clock import utcnow
from trove.core.errors import Fenced, Unavailable
from trove.core.ids import new_id
from trove.core.operations import NewOperation
from trove.store import operations, schema
from trove.store.session import Database, Tx
from trove.store.vault import Vault
from trove.workflow.locks import Lock, Locks

pytestmark = pytest.mark.xdist_group("galera")

NODES = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[GaleraCluster]:
    with galera_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def nodes(cluster: GaleraCluster) -> Iterator[list[Database]]:
    """One migrated state database, seen by each node."""
    cluster.ask("CREATE DATABASE store CHARACTER SET utf8mb4")
    vault = Vault([Vault.new_key()])
    found = [Database(cluster.url("store", node), vault=vault) for node in range(NODES)]
    try:
        schema.upgrade(found[0])
        yield found
    finally:
        for each in found:
            each.close()


def an_operation() -> NewOperation:
    return NewOperation(
        id=new_id(),
        kind="instance.restart",
        resource_type="instance",
        resource_id=new_id(),
        project_id="p",
        user_id="u",
        request_id="req-1",
        deadline=utcnow() + timedelta(hours=1),
    )


def test_every_table_has_a_primary_key(cluster: GaleraCluster, nodes: list[Database]) -> None:
    # Without one a cluster does not find its rows again.
    tables = {name for (name,) in cluster.ask("SHOW TABLES", database="store")}
    keyed = "SELECT table_name FROM information_schema.table_constraints WHERE constraint_type = 'PRIMARY KEY'"
    assert tables == {name for (name,) in cluster.ask(f"{keyed} AND table_schema = 'store'")}
    assert len(tables) > 20


def test_what_one_node_stored_is_seen_on_all(nodes: list[Database]) -> None:
    for turn in range(60):
        new = an_operation()
        nodes[turn % NODES].run(operations.insert, new)
        with nodes[(turn + 1) % NODES].reading() as tx:
            assert operations.get(tx, new.id).id == new.id
        claimed, fence = nodes[(turn + 2) % NODES].run(operations.claim, new.id, owner="somebody")
        assert (claimed.attempts, fence.number) == (1, 1)


def test_collisions_between_nodes_are_repeated_and_nothing_is_lost_or_doubled(nodes: list[Database]) -> None:
    new = an_operation()
    nodes[0].run(operations.insert, new)
    each, done, refused = 25, [0] * NODES, [0] * NODES

    def claims(node: int) -> None:
        for _ in range(each):
            try:
                nodes[node].run(operations.claim, new.id, owner=f"node{node}")
                done[node] += 1
            except Unavailable:  # eight collisions in a row: told, and not done
                refused[node] += 1

    threads = [threading.Thread(target=claims, args=(node,)) for node in range(NODES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with nodes[0].reading() as tx:
        found = operations.get(tx, new.id)
        fence = tx.execute(sa.text("SELECT fence FROM operations WHERE id = :id"), {"id": new.id}).scalar_one()
    assert (found.attempts, fence) == (sum(done), sum(done))
    assert sum(done) + sum(refused) == NODES * each
    assert sum(done) > sum(refused)


def test_who_was_fenced_off_on_another_node_writes_nothing(nodes: list[Database]) -> None:
    new = an_operation()
    nodes[0].run(operations.insert, new)
    _, old = nodes[0].run(operations.claim, new.id, owner="old")

    def overtaken(tx: Tx) -> None:
        operations.check(tx, old)
        nodes[1].run(operations.claim, new.id, owner="new")
        tx.execute(sa.text("UPDATE operations SET step = 'late' WHERE id = :id"), {"id": new.id})

    with pytest.raises(Unavailable), nodes[0].transaction() as tx:
        overtaken(tx)
    with pytest.raises(Fenced):
        nodes[0].run(operations.check, old)
    with nodes[2].reading() as tx:
        assert operations.get(tx, new.id).step == ""


def test_asking_for_a_claim_writes_its_row(nodes: list[Database]) -> None:
    # A lock on one node keeps nobody out on another: only rows that both have written collide.
    new = an_operation()
    nodes[0].run(operations.insert, new)
    _, fence = nodes[0].run(operations.claim, new.id, owner="me")
    before = nodes[0].run(operations.get, new.id).updated
    nodes[1].run(operations.check, fence)
    assert nodes[0].run(operations.get, new.id).updated > before


def test_a_lock_is_held_once_on_all_nodes(cluster: GaleraCluster, nodes: list[Database]) -> None:
    servers = [Locks(cluster.lock_url("store", node), f"node{node}") for node in range(NODES)]
    won: list[list[Lock]] = [[] for _ in range(8)]
    start = threading.Barrier(NODES)

    def race(node: int) -> None:
        for number, winners in enumerate(won):
            start.wait(60)
            if lock := servers[node].try_lock(f"resource-{number}"):
                winners.append(lock)

    threads = [threading.Thread(target=race, args=(node,)) for node in range(NODES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Of some races nobody comes out first; of none two.
    assert {len(winners) for winners in won} <= {0, 1}
    assert any(won)
    with closing(servers[0]), closing(servers[1]):
        first = next(winners[0] for winners in won if winners)
        first.release()
        again = servers[1].try_lock(first.name)
        assert again is not None
        assert servers[0].try_lock(first.name) is None
        assert not servers[2].break_lock(first.name, lambda: False)
        assert servers[2].break_lock(first.name, lambda: True)
        taken = servers[0].try_lock(first.name)
        assert taken is not None
        again.release()
        assert servers[2].try_lock(first.name) is None


@pytest.fixture
def on_galera(cluster: GaleraCluster) -> Iterator[Stack]:
    cluster.ask("CREATE DATABASE trove CHARACTER SET utf8mb4")
    options = ("--database", cluster.url("trove"), "--locks", "database", "--task-managers", "2")
    with stack(*options, config="[taskmanager]\nsweep_interval = 1\nlease = 4\n") as own:
        yield own
    if 0 not in cluster.processes:
        cluster.start(0)


def test_a_node_and_a_task_manager_die_in_the_middle_and_everything_is_done_once(
    on_galera: Stack, cluster: GaleraCluster
) -> None:
    names = ("one", "two")
    ids = {name: on_galera.create(name) for name in names}
    try:
        # A tenant who asks at once, on whichever node, finds what was accepted.
        assert all((on_galera.show(one) or {})["status"] == "BUILD" for one in ids.values())
        cluster.kill(0)
        on_galera.kill("trove-taskmanager")
        for name, one in ids.items():
            on_galera.await_healthy(one)
            on_galera.await_query(one, password=f"secret-{name}")
        for name, one in ids.items():
            await_value(lambda one=one: _states(on_galera, one) == ["SUCCEEDED"], 90.0, f"the build of {name} does not end")
            assert len(on_galera.servers(one)) == 1
        accepted = on_galera.request("POST", f"/instances/{ids['one']}/action", {"restart": {}})
        assert accepted.status == 202, accepted.text
        await_value(lambda: _states(on_galera, ids["one"]) == ["SUCCEEDED"] * 2, 90.0, "the restart does not end")
    finally:
        for one in ids.values():
            await_value(lambda one=one: _deletable(on_galera, one), 60.0, "the API does not take the deletion")
    for one in ids.values():
        on_galera.await_gone(one)
    assert cluster.ask("SELECT COUNT(*) FROM trove_locks", 1, "trove") == [(0,)]
    rows = "SELECT id, state, fence, attempts FROM operations ORDER BY id"
    await_value(lambda: cluster.ask(rows, 1, "trove") == cluster.ask(rows, 2, "trove"), 30.0, "the nodes differ")


def _deletable(own: Stack, instance_id: str) -> bool:
    return own.request("DELETE", f"/instances/{instance_id}").status in {202, 404}


def _states(own: Stack, instance_id: str) -> list[str]:
    return [str(one["state"]) for one in own.operations(instance_id)]
