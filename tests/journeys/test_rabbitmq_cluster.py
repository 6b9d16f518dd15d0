"""The whole service on a RabbitMQ cluster of three nodes, by TLS, while the node that leads an instance's queue dies."""

from collections.abc import Iterator

import pytest
from tests.support.rabbitmq_cluster import RabbitCluster, rabbit_cluster
from tests.support.stack import Stack, await_value, stack

pytestmark = pytest.mark.xdist_group("rabbitmq-cluster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    with rabbit_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def on_cluster(cluster: RabbitCluster) -> Iterator[Stack]:
    config = (
        f"[DEFAULT]\ntransport_url = {cluster.url}\n"
        f"[oslo_messaging_rabbit]\nssl = true\nssl_ca_file = {cluster.ca}\nrabbit_quorum_queue = true\n"
        f"[bus]\nmanagement_url = {cluster.management_url}\n"
    )
    # `up` tries the URL by itself, without a configuration; what the services use is above.
    tried = f"{cluster.url.replace('rabbit:', 'amqps:')}?ssl_ca_certs={cluster.ca}"
    with stack("--bus", tried, "--task-managers", "2", config=config) as own:
        yield own


def test_a_node_dies_in_the_middle_of_a_create_and_everything_is_done_once(on_cluster: Stack, cluster: RabbitCluster) -> None:
    instance_id = on_cluster.create("bereft")
    late = ""
    own = f"guestagent.{instance_id}"
    try:
        leader = await_value(lambda: cluster.leader(own), 60.0, "the guest has no queue")
        assert (on_cluster.show(instance_id) or {})["status"] == "BUILD"
        leader.kill(at_once=True)
        # Asked for while a node is away, and begun without it.
        late = on_cluster.create("without-a-node")
        for one, name in ((instance_id, "bereft"), (late, "without-a-node")):
            on_cluster.await_healthy(one)
            on_cluster.await_query(one, password=f"secret-{name}")
            assert len(on_cluster.servers(one)) == 1
        assert [user.name for user in on_cluster.client().users.list(instance_id)] == ["alice"]
        told = [cluster.queue(name) for name in ("taskmanager", "trove-conductor", own)]
        assert {(queue["type"], len(queue["members"])) for queue in told} == {("quorum", 3)}
        assert {leader.node} not in [{queue["leader"]} for queue in told]
        accepted = on_cluster.request("POST", f"/instances/{instance_id}/action", {"restart": {}})
        assert accepted.status == 202, accepted.text
        await_value(lambda: _states(on_cluster, instance_id) == ["SUCCEEDED"] * 2, 120.0, "the restart does not end")
    finally:
        for one in filter(None, (instance_id, late)):
            on_cluster.delete(one)
    for one in (instance_id, late):
        on_cluster.await_gone(one)
    found = cluster.api().get("/api/queues/trove?columns=name")
    assert isinstance(found, list)
    left = [str(queue["name"]) for queue in found if isinstance(queue, dict)]
    # A classic queue cannot be deleted while its node is away.
    assert not [name for name in left if (instance_id in name or late in name) and not name.endswith(".poison")]


def _states(own: Stack, instance_id: str) -> list[str]:
    return [str(one["state"]) for one in own.operations(instance_id)]
