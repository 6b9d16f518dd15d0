"""openstacksdk's database proxy: every function of it, checked in the instance and in its server."""

from typing import Any

import pytest
from openstack.exceptions import ForbiddenException, MethodNotSupported
from tests.support.clients import Clients


class Sdk:
    """The proxy of a user; what each function sends counts for its name."""

    def __init__(self, use: Clients, user: str = "demo") -> None:
        self.use = use
        self.proxy = use.called("openstacksdk", "connect", use.sdk, user)

    def __getattr__(self, name: str) -> Any:
        """Return a function of the proxy, which is recorded."""
        return lambda *words, **more: self.use.called("openstacksdk", name, getattr(self.proxy, name), *words, **more)


@pytest.fixture
def sdk(use: Clients) -> Sdk:
    return Sdk(use)


def test_an_instance_from_its_creation_to_its_end(sdk: Sdk) -> None:
    made = sdk.create_instance(
        name="from-sdk", flavor="1", volume={"size": 1}, datastore={"type": "mariadb", "version": "10.11"}
    )
    assert (made.name, made.status) == ("from-sdk", "BUILD")
    built = sdk.wait_for_status(made, status="ACTIVE", failures=["ERROR"], interval=0.2, wait=60)
    assert built.volume["size"] == 1
    sdk.use.healthy(made.id)
    assert made.id in {one.id for one in sdk.instances()}
    assert sdk.get_instance(made.id).created_at.startswith("20")
    assert sdk.find_instance("from-sdk").id == made.id
    assert sdk.find_instance("nobody") is None
    assert sdk.update_instance(made, name="renamed").name == "renamed"
    assert sdk.use.instance(made.id)["name"] == "renamed"
    sdk.delete_instance(made)
    sdk.wait_for_delete(made, interval=0.2, wait=60)
    assert sdk.use.instance(made.id) is None


def test_actions_of_an_instance(sdk: Sdk, spare: str) -> None:
    use = sdk.use
    instance = sdk.get_instance(spare)

    def act(name: str, *words: Any) -> Any:
        return use.called("openstacksdk", f"Instance.{name}", getattr(instance, name), sdk.proxy, *words)

    assert act("is_root_enabled") is False
    root = act("enable_root_user")
    assert use.may_log_in(spare, user=root["name"], password=root["password"])
    assert act("is_root_enabled") is True
    (before,) = use.stack.servers(spare)
    act("restart")
    use.until(lambda: before not in use.stack.servers(spare))
    use.healthy(spare)
    act("resize", "2")
    use.until(lambda: use.instance(spare)["flavor"]["id"] == "2")
    use.healthy(spare)
    act("resize_volume", 2)
    use.until(lambda: use.instance(spare)["volume"]["size"] == 2)
    use.healthy(spare)


def test_databases(sdk: Sdk, spare: str) -> None:
    use = sdk.use
    sdk.create_database(spare, name="attic", character_set="latin1")
    assert {one["name"] for one in use.get(f"/instances/{spare}/databases")["databases"]} == {"attic", "shop"}
    assert {one.name for one in sdk.databases(spare)} == {"attic", "shop"}
    for name in ("find_database", "get_database"):  # The client itself cannot fetch one.
        with pytest.raises(MethodNotSupported):
            getattr(sdk, name)("attic", spare)
    sdk.delete_database("attic", spare)
    assert [one.name for one in sdk.databases(spare)] == ["shop"]


def test_users(sdk: Sdk, spare: str) -> None:
    use = sdk.use
    sdk.create_user(spare, name="bob", password="bobs-secret", databases=[{"name": "shop"}])
    assert use.sql(spare, "SHOW TABLES FROM shop", user="bob", password="bobs-secret") == []
    assert {one.name for one in sdk.users(spare)} == {"alice", "bob"}
    for name in ("find_user", "get_user"):  # The client itself cannot fetch one.
        with pytest.raises(MethodNotSupported):
            getattr(sdk, name)("bob", spare)
    sdk.delete_user("bob", spare)
    assert [one.name for one in sdk.users(spare)] == ["alice"]
    assert not use.may_log_in(spare, user="bob", password="bobs-secret")


def test_flavors(sdk: Sdk) -> None:
    assert {"db.tiny", "db.small"} <= {one.name for one in sdk.flavors()}
    assert sdk.get_flavor("1").name == "db.tiny"
    assert sdk.find_flavor("db.small").ram == sdk.get_flavor("2").ram


def test_a_reader_changes_nothing(use: Clients, orders: str) -> None:
    reader = Sdk(use, "demo_reader")
    assert orders in {one.id for one in reader.instances()}
    with pytest.raises(ForbiddenException):
        reader.create_database(orders, name="attic")
    with pytest.raises(ForbiddenException):
        reader.delete_instance(orders)
    assert use.instance(orders)["status"] == "ACTIVE"
