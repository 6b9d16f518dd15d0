"""A real Heat: stacks with databases that are made and deleted; and its words for networks.

Heat looks networks up in Neutron, of which there is none here: what it sends for them is sent by the library that it uses.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from tests.support.clients import Clients
from tests.support.clients_heat import Heat, heat

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # openstacksdk of what it calls itself

INSTANCE, CLUSTER = "OS::Trove::Instance", "OS::Trove::Cluster"
NOWHERE = "c0ffee00-0000-4000-8000-00000000000f"
AMY = {"name": "amy", "password": "amys_secret", "databases": ["shop"]}


@pytest.fixture(scope="module")
def running(service: Clients) -> Iterator[Heat]:
    with heat(service) as made:
        yield made


@pytest.fixture
def stacks(running: Heat, use: Clients) -> Iterator[Heat]:
    """Return Heat; what a test that failed left of its stacks is deleted."""
    yield running
    running.clear()


def database(**changes: Any) -> dict[str, Any]:
    """Return a resource with all that an instance of its own may have."""
    properties = {
        "name": "ordered",
        "flavor": "1",
        "size": 1,
        "datastore_type": "mariadb",
        "datastore_version": "10.11",
        "databases": [{"name": "shop"}],
        "users": [AMY],
        "availability_zone": "nova",
    }
    return {"type": INSTANCE, "properties": properties | changes}


def instances(use: Clients) -> dict[str, str]:
    """Return the ids of demo's instances by their names."""
    return {each["name"]: each["id"] for each in use.get("/instances?limit=20")["instances"]}


def test_a_stack_with_a_database_is_made_and_deleted(stacks: Heat, use: Clients) -> None:
    two = [{"name": "shop"}, {"name": "old"}]
    shown = {"href": ("db", "href"), "hostname": ("db", "hostname"), "shown": ("db", "show")}
    stacks.create("shop", {"db": database(databases=two)}, **shown)
    made = instances(use)["ordered"]
    outputs = stacks.outputs("shop")
    assert outputs["href"].endswith(f"/instances/{made}")
    assert (outputs["shown"]["id"], outputs["shown"]["status"]) == (made, "ACTIVE")
    assert outputs["hostname"] is None  # no service for names here
    use.sql(made, "CREATE TABLE shop.kept (id INT)", user="amy", password="amys_secret")
    assert {each["name"] for each in use.get(f"/instances/{made}/databases")["databases"]} == {"shop", "old"}
    stacks.delete("shop")
    assert use.gone(made)


def test_a_stack_with_a_copy_and_a_replica(stacks: Heat, use: Clients, spare: str) -> None:
    use.sql(spare, "CREATE TABLE shop.kept (id INT)", user="alice", password="secret-spare")
    status, body = use.ask("POST", "/backups", {"backup": {"name": "full", "instance": spare}})
    assert status == 202, body
    backup = body["backup"]["id"]
    use.until(lambda: use.get(f"/backups/{backup}")["backup"]["status"] == "COMPLETED")
    # Heat says flavor and size of a replica, too.
    replica = {"name": "replica", "flavor": "1", "size": 1, "replica_of": spare, "replica_count": 1}
    copy = database(name="copy", restore_point=backup, databases=[], users=[])
    stacks.create("both", {"copy": copy, "replica": {"type": INSTANCE, "properties": replica}})
    made = instances(use)
    for name in ("copy", "replica"):
        use.healthy(made[name])
        found = use.sql(made[name], "SHOW TABLES FROM shop", user="alice", password="secret-spare")
        assert found == [("kept",)]
    assert use.instance(made["replica"])["replica_of"]["id"] == spare
    stacks.delete("both")
    assert use.gone(made["copy"])
    assert use.gone(made["replica"])
    assert use.ask("DELETE", f"/backups/{backup}")[0] == 202


def test_a_stack_says_why_its_instance_is_refused(stacks: Heat, use: Clients) -> None:
    reason = stacks.fails_to_create("shop", {"db": database(users=[{**AMY, "name": "root"}])})
    assert "HTTP 400" in reason
    assert "root" in reason
    assert "ordered" not in instances(use)


def test_a_cluster_that_the_engine_cannot_be_is_refused(stacks: Heat) -> None:
    member = {"flavor": "1", "volume_size": 1, "availability_zone": "nova"}
    ring = {"name": "ring", "datastore_type": "mariadb", "datastore_version": "10.11", "instances": [member] * 3}
    reason = stacks.fails_to_create("ring", {"ring": {"type": CLUSTER, "properties": ring}})
    assert "HTTP 501" in reason
    sent = stacks.use.recorder.last("POST").sent["cluster"]
    each = {"flavorRef": "1", "volume": {"size": 1}, "availability_zone": "nova"}
    assert sent == {"name": "ring", "datastore": {"type": "mariadb", "version": "10.11"}, "instances": [each] * 3}


def properties(**more: Any) -> dict[str, Any]:
    """Return what Heat sends for an instance."""
    databases = [{"name": "shop", "character_set": "utf8", "collate": "utf8_general_ci"}]
    users = [{"name": "amy", "password": "amys-secret", "host": "%", "databases": [{"name": "shop"}]}]
    return {"flavor_id": "1", "volume": {"size": 1}, "databases": databases, "users": users, "datastore": "mariadb"} | more


def network_of(use: Clients, instance: str) -> tuple[str, str]:
    """Return the network of an instance, and an address in it that nobody has."""
    (address,) = use.instance(instance)["addresses"]
    free = IPv4Address(address["address"]) + 100
    return address["network"], str(free)


def test_a_network_and_an_address_in_the_words_of_old(use: Clients, orders: str) -> None:
    network, free = network_of(use, orders)
    library = use.library("demo")
    for nic in ({"net-id": network}, {"net-id": network, "v4-fixed-ip": free}):
        made = use.called("heat", "instances.create", library.instances.create, "x", **properties(nics=[nic]))
        (address,) = use.healthy(made.id)["addresses"]
        assert address["network"] == network
        assert address["address"] == nic.get("v4-fixed-ip", address["address"])
        use.remove(made.id)


@pytest.mark.parametrize("nic", [{"net-id": NOWHERE}, {"port-id": NOWHERE}], ids=["net-id", "port-id"])
def test_a_network_or_port_that_is_not_there_is_refused_by_its_name(use: Clients, nic: dict[str, str]) -> None:
    library = use.library("demo")
    refused = use.refused("heat", "instances.create", library.instances.create, "x", **properties(nics=[nic]))
    assert (refused.status, "nics[0]" in str(refused.answer)) == (400, True)
