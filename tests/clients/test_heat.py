"""What Heat's resource for instances sends: networks in the words of old, and its defaults."""

from ipaddress import IPv4Address
from typing import Any

import pytest
from tests.support.clients import Clients

NOWHERE = "c0ffee00-0000-4000-8000-00000000000f"


def properties(**more: Any) -> dict[str, Any]:
    """Return what Heat sends for an instance."""
    databases = [{"name": "shop", "character_set": "utf8", "collate": "utf8_general_ci"}]
    users = [{"name": "amy", "password": "amys-secret", "host": "%", "databases": [{"name": "shop"}]}]
    return {"flavor_id": "1", "volume": {"size": 1}, "databases": databases, "users": users, "datastore": "mariadb"} | more


def test_a_stack_with_a_database(use: Clients) -> None:
    library = use.library("demo")
    made = use.called("heat", "instances.create", library.instances.create, "from-heat", **properties())
    use.healthy(made.id)
    shown = use.called("heat", "instances.get", library.instances.get, made.id)
    assert (shown.status, shown.ip) == ("ACTIVE", [shown.addresses[0]["address"]])
    assert use.sql(made.id, "SHOW TABLES FROM shop", user="amy", password="amys-secret") == []
    use.called("heat", "instances.delete", library.instances.delete, made.id)
    use.gone(made.id)


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


@pytest.mark.parametrize(
    ("nic", "status"), [({"net-id": NOWHERE}, 400), ({"port-id": NOWHERE}, 501)], ids=["net-id", "port-id"]
)
def test_a_network_that_is_not_there_is_refused_by_its_name(use: Clients, nic: dict[str, str], status: int) -> None:
    library = use.library("demo")
    refused = use.refused("heat", "instances.create", library.instances.create, "x", **properties(nics=[nic]))
    assert (refused.status, "nics[0]" in str(refused.answer)) == (status, True)
