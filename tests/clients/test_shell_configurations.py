"""The commands about configuration groups: their values arrive in the real server."""

from collections.abc import Iterator

import pytest
from tests.support.clients import Clients
from tests.support.clients_shells import Shell

DATASTORE = ("--datastore", "mariadb")


def create(shell: Shell, name: str, values: str) -> str:
    """Make a group by the client; return its id."""
    made = shell.shown("database configuration create", name, values, *DATASTORE, "--description", "of a test")
    assert made["name"] == name
    return str(made["id"])


def variable(use: Clients, instance: str, name: str, *, password: str) -> str:
    """Return a variable of the server."""
    ((_, value),) = use.sql(instance, f"SHOW GLOBAL VARIABLES LIKE '{name}'", user="alice", password=password)
    return str(value)


@pytest.fixture
def group(use: Clients) -> Iterator[str]:
    """Return the id of a group with one value, `max_connections`: 77."""
    wanted = {"name": "tuned", "values": {"max_connections": 77}, "datastore": {"type": "mariadb"}}
    status, body = use.ask("POST", "/configurations", {"configuration": wanted})
    assert status == 200, body
    made = body["configuration"]["id"]
    yield made
    assert use.ask("DELETE", f"/configurations/{made}")[0] in {202, 404}


def test_a_group_is_created_listed_shown_and_deleted(shell: Shell) -> None:
    made = create(shell, "fresh", '{"max_connections": 88, "wait_timeout": 60}')
    assert made in {row["id"] for row in shell.shown("database configuration list")}
    for named in (made, "fresh"):
        shown = shell.shown("database configuration show", named)
        assert (shown["id"], shown["datastore_name"], shown["instance_count"]) == (made, "mariadb", 0)
        assert '"max_connections": 88' in str(shown["values"])
    shell.run("database configuration delete", "fresh")
    assert shell.use.ask("GET", f"/configurations/{made}")[0] == 404


def test_a_wrong_value_is_refused_by_its_name(shell: Shell) -> None:
    said = shell.fails("database configuration create", "bad", '{"max_connections": "many"}', *DATASTORE)
    assert "max_connections" in said
    assert shell.use.recorder.last("POST").status == 422


def test_a_group_is_attached_changed_and_detached(shell: Shell, spare: str, group: str) -> None:
    before = variable(shell.use, spare, "max_connections", password="secret-spare")
    shell.run("database configuration attach", spare, group)
    shell.use.until(lambda: variable(shell.use, spare, "max_connections", password="secret-spare") == "77")
    assert [row["id"] for row in shell.shown("database configuration instances", group)] == [spare]
    shell.run("database configuration parameter set", group, '{"wait_timeout": 61}')
    shell.use.until(lambda: variable(shell.use, spare, "wait_timeout", password="secret-spare") == "61")
    assert shell.use.get(f"/configurations/{group}")["configuration"]["values"] == {"max_connections": 77, "wait_timeout": 61}
    shell.run("database configuration set", group, '{"max_connections": 78}', "--name", "renamed")
    shell.use.until(lambda: variable(shell.use, spare, "max_connections", password="secret-spare") == "78")
    changed = shell.use.get(f"/configurations/{group}")["configuration"]
    assert (changed["name"], changed["values"]) == ("renamed", {"max_connections": 78})
    shell.fails("database configuration delete", group)
    shell.run("database configuration detach", spare)
    shell.use.until(lambda: variable(shell.use, spare, "max_connections", password="secret-spare") == before)
    assert shell.shown("database configuration instances", group) == []
    shell.use.healthy(spare)


def test_a_group_is_attached_and_removed_by_updating_the_instance(use: Clients, spare: str, group: str) -> None:
    use.openstack("database instance update", spare, "--configuration", group)
    use.until(lambda: variable(use, spare, "max_connections", password="secret-spare") == "77")
    use.healthy(spare)
    use.openstack("database instance update", spare, "--remove-configuration")
    use.until(lambda: use.get(f"/configurations/{group}/instances")["instances"] == [])
    use.healthy(spare)


def test_the_parameters_are_those_of_the_version(shell: Shell) -> None:
    rows = {row["name"]: row for row in shell.shown("database configuration parameter list", "10.11", *DATASTORE)}
    assert rows["max_connections"]["type"] == "integer"
    version = shell.use.version()
    assert {row["name"] for row in shell.shown("database configuration parameter list", version["id"])} == set(rows)
    for words in (("10.11", "max_connections", *DATASTORE), (version["id"], "max_connections")):
        shown = shell.shown("database configuration parameter show", *words)
        assert (shown["name"], shown["type"], shown["min"]) == ("max_connections", "integer", 10)
    assert "nothing_such" in shell.fails("database configuration parameter show", version["id"], "nothing_such")


def test_the_default_configuration_is_what_the_server_has(shell: Shell, orders: str) -> None:
    shown = shell.shown("database configuration default", orders)
    assert variable(shell.use, orders, "max_connections", password="secret-orders") == str(shown["max_connections"])
