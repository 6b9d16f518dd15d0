"""What only the older client has: modules, metadata, security groups."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients import Clients


@pytest.fixture
def contents(tmp_path: Path) -> str:
    """Return the path of a file for a module."""
    path = tmp_path / "ping.dat"
    path.write_text("message=hello from a module\n")
    return str(path)


@pytest.fixture
def module(use: Clients) -> Iterator[str]:
    """Return the id of a module of demo named `greeting`."""
    wanted = {"name": "greeting", "module_type": "ping", "contents": "bWVzc2FnZT1oZWxsbwo=", "live_update": 1}
    status, body = use.ask("POST", "/modules", {"module": wanted})
    assert status == 200, body
    made = body["module"]["id"]
    yield made
    assert use.ask("DELETE", f"/modules/{made}")[0] in {200, 404}


def test_a_module_is_created_listed_shown_updated_and_deleted(use: Clients, contents: str) -> None:
    made = use.told("module-create", "hello", "ping", contents, "--description", "a test", "--live_update")
    assert (made["name"], made["type"], made["apply_order"]) == ("hello", "ping", 5)
    assert made["id"] in {row["id"] for row in use.told("module-list")}
    assert made["id"] in {row["id"] for row in use.told("module-list", "--datastore", "all")}
    shown = use.told("module-show", "hello")
    assert (shown["id"], shown["md5"], shown["datastore"]) == (made["id"], made["md5"], "all")
    assert "contents" not in shown
    changed = use.told("module-update", "hello", "--name", "hallo", "--datastore", "mariadb", "--apply_order", "7")
    assert (changed["name"], changed["datastore"], changed["apply_order"]) == ("hallo", "mariadb", 7)
    use.trove("module-delete", "hallo")
    assert use.ask("GET", f"/modules/{made['id']}")[0] == 404


def test_what_touches_all_projects_is_for_administrators(use: Clients, contents: str) -> None:
    use.trove("module-create", "everywhere", "ping", contents, "--all_tenants", status=1)
    assert use.recorder.last("POST").status == 403
    made = use.told("module-create", "everywhere", "ping", contents, "--all_tenants", "--hidden", user="admin")
    assert made["id"] not in {row["id"] for row in use.told("module-list")}
    assert made["id"] in {row["id"] for row in use.told("module-list", user="admin")}
    use.trove("module-delete", made["id"], user="admin")


def test_a_module_is_applied_queried_reapplied_and_removed(use: Clients, spare: str, module: str, tmp_path: Path) -> None:
    (applied,) = use.told("module-apply", spare, module)
    assert (applied["name"], applied["status"]) == ("greeting", "OK")
    assert [row["id"] for row in use.told("module-list-instance", spare)] == [module]
    (found,) = use.told("module-query", spare)
    assert (found["name"], found["status"]) == ("greeting", "OK")
    use.trove("module-retrieve", spare, "--directory", str(tmp_path / "got"), "--prefix", "x")
    (file,) = (tmp_path / "got").iterdir()
    assert file.read_bytes() == b"message=hello\n"
    assert [row["id"] for row in use.told("module-instances", "greeting")] == [spare]
    (count,) = use.told("module-instance-count", "greeting")
    assert (count["module_id"], count["instance_count"], count["current"]) == (module, 1, True)
    use.trove("module-reapply", "greeting", "--force")
    assert use.recorder.last("PUT").status == 202
    use.trove("module-remove", spare, module)
    assert use.get(f"/instances/{spare}/modules")["modules"] == []


def test_metadata_never_was_a_part_of_the_service(use: Clients, orders: str) -> None:
    for command, *words in (
        ("metadata-list",),
        ("metadata-show", "k"),
        ("metadata-create", "k", "v"),
        ("metadata-edit", "k", "v"),
        ("metadata-update", "k", "l", "v"),
        ("metadata-delete", "k"),
    ):
        assert "404" in use.trove(command, orders, *words, status=1).said
    assert {one.status for one in use.recorder.exchanges} == {404}


def test_security_groups(use: Clients, spare: str) -> None:
    (group,) = [row for row in use.told("secgroup-list") if row["instance_id"] == spare]
    assert use.told("secgroup-show", group["id"])["instance_id"] == spare

    def rules() -> dict[str, str]:
        shown = use.get(f"/security-groups/{group['id']}")["security_group"]
        return {rule["cidr"]: rule["id"] for rule in shown["rules"]}

    before = rules()
    use.trove("secgroup-add-rule", group["id"], "127.3.0.0/16")
    use.until(lambda: "127.3.0.0/16" in rules())
    assert "127.3.0.0/16" in use.trove("secgroup-list-rules", group["id"]).stdout
    use.healthy(spare)
    use.trove("secgroup-delete-rule", rules()["127.3.0.0/16"])
    use.until(lambda: rules() == before)
    use.healthy(spare)
