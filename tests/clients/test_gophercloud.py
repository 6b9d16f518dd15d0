"""gophercloud, and so Terraform: every function of its db/v1, called by a small Go program."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import Clients

SOURCE = Path(__file__).parent / "gophercloud"

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: nothing is known about gophercloud")


class Gophercloud:
    """The program, logged in as demo."""

    def __init__(self, use: Clients, process: "subprocess.Popen[str]") -> None:
        self.use, self.process = use, process

    def __call__(self, call: str, *words: str) -> Any:
        """Call a function; return what it returned."""
        answer = self.ask(call, *words)
        assert "error" not in answer, f"{call} {words}: {answer}\n{self.use.story()}"
        return answer.get("value")

    def ask(self, call: str, *words: str) -> Any:
        """Call a function; return the program's answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.use.recorder.act("gophercloud", call):
            self.process.stdin.write(json.dumps({"call": call, "words": words}) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def program() -> Path:
    """Return the path of the compiled program; Go itself knows whether it must be compiled again."""
    target = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trove-tests" / "gophercloud-peer"
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", target, "."], cwd=SOURCE, check=True)
    return target


@pytest.fixture(scope="module")
def running(service: Clients, program: Path) -> Iterator["subprocess.Popen[str]"]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | service.environment("demo")
    environ["OS_DOMAIN_ID"] = "default"
    process = subprocess.Popen([program], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


@pytest.fixture
def go(use: Clients, running: "subprocess.Popen[str]") -> Gophercloud:
    return Gophercloud(use, running)


def test_an_instance_as_terraform_makes_it(go: Gophercloud, orders: str) -> None:
    network = go.use.instance(orders)["addresses"][0]["network"]
    made = go("instances.Create", "from-go", "1", "1", network, "shop", "amy", "amys-secret")
    assert (made["Name"], made["Status"], made["Flavor"]["ID"], made["Volume"]["Size"]) == ("from-go", "BUILD", "1", 1)
    go.use.healthy(made["ID"])
    found = go("instances.Get", made["ID"])
    assert datetime.now(tz=UTC) - datetime.fromisoformat(found["created"]) < timedelta(hours=1)
    shown = found["instance"]
    assert shown["Volume"]["Used"] > 0
    assert (shown["Datastore"]["Type"], shown["Datastore"]["Version"]) == ("mariadb", "10.11")
    (address,) = shown["Addresses"]
    assert shown["IP"] == [address["Address"]]
    assert go.use.sql(made["ID"], "SHOW TABLES FROM shop", user="amy", password="amys-secret") == []
    go("instances.Delete", made["ID"])
    go.use.gone(made["ID"])
    assert go.ask("instances.Get", made["ID"])["status"] == 404


def test_a_list_is_read_to_its_end(go: Gophercloud, orders: str, spare: str) -> None:
    assert {orders, spare} <= {one["ID"] for one in go("instances.List")}


def test_actions_of_an_instance(go: Gophercloud, spare: str) -> None:
    use = go.use
    assert go("instances.IsRootEnabled", spare) is False
    root = go("instances.EnableRootUser", spare)
    assert use.may_log_in(spare, user=root["Name"], password=root["Password"])
    assert go("instances.IsRootEnabled", spare) is True
    (before,) = use.stack.servers(spare)
    go("instances.Restart", spare)
    use.until(lambda: before not in use.stack.servers(spare))
    use.healthy(spare)
    go("instances.Resize", spare, "2")
    use.until(lambda: use.instance(spare)["flavor"]["id"] == "2")
    use.healthy(spare)
    go("instances.ResizeVolume", spare, "2")
    use.until(lambda: use.instance(spare)["volume"]["size"] == 2)
    use.healthy(spare)


def test_databases_and_users(go: Gophercloud, orders: str) -> None:
    go("databases.Create", orders, "attic")
    assert {one["Name"] for one in go("databases.List", orders)} == {"attic", "shop"}
    go("users.Create", orders, "bob", "bobs-secret")
    assert go.use.may_log_in(orders, user="bob", password="bobs-secret")
    assert {one["Name"] for one in go("users.List", orders)} == {"alice", "bob"}
    go("users.Delete", orders, "bob")
    go("databases.Delete", orders, "attic")
    assert [one["Name"] for one in go("databases.List", orders)] == ["shop"]


def test_what_there_is(go: Gophercloud) -> None:
    flavors = {one["name"]: one for one in go("flavors.List")}
    assert go("flavors.Get", "1") == flavors["db.tiny"]
    (datastore,) = [one for one in go("datastores.List") if one["Name"] == "mariadb"]
    assert go("datastores.Get", datastore["ID"])["default_version"] == datastore["default_version"]
    (version,) = [one for one in go("datastores.ListVersions", datastore["ID"]) if one["Name"] == "10.11"]
    assert go("datastores.GetVersion", datastore["ID"], version["ID"])["Name"] == "10.11"


def test_parameters(go: Gophercloud) -> None:
    version = go.use.version()
    names = {one["Name"] for one in go("configurations.ListDatastoreParams", "mariadb", version["id"])}
    assert "max_connections" in names
    assert {one["Name"] for one in go("configurations.ListGlobalParams", version["id"])} == names
    assert go("configurations.GetDatastoreParam", "mariadb", version["id"], "max_connections")["Type"] == "integer"
    assert go("configurations.GetGlobalParam", version["id"], "max_connections")["Type"] == "integer"


def test_a_configuration_group_of_an_instance(go: Gophercloud, spare: str) -> None:
    use = go.use

    def limit() -> int:
        return int(use.sql(spare, "SELECT @@max_connections", user="alice", password="secret-spare")[0][0])

    before = limit()
    made = go("configurations.Create", "from-go", '{"max_connections": 77}')["ID"]
    assert made in {one["ID"] for one in go("configurations.List")}
    go("instances.AttachConfigurationGroup", spare, made)
    use.until(lambda: limit() == 77)
    assert [one["ID"] for one in go("configurations.ListInstances", made)] == [spare]
    go("configurations.Update", made, '{"wait_timeout": 61}')
    assert go("configurations.Get", made)["Values"] == {"max_connections": 77, "wait_timeout": 61}
    go("configurations.Replace", made, '{"max_connections": 78}')
    use.until(lambda: limit() == 78)
    go("instances.DetachConfigurationGroup", spare)
    use.until(lambda: limit() == before)
    use.until(lambda: go.ask("configurations.Delete", made).get("status") is None)
    assert use.ask("GET", f"/configurations/{made}")[0] == 404
