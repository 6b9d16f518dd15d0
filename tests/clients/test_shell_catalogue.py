"""The commands about what there is: datastores, versions, flavors, volume types, limits and quotas."""

from collections.abc import Iterator

import pytest
from tests.support.clients import Clients
from tests.support.clients_shells import Shell

NO_IMAGE = "c0ffee00-0000-4000-8000-00000000000d"


def test_datastores_and_versions(shell: Shell) -> None:
    rows = {row["name"]: row for row in shell.shown("datastore list")}
    assert "mariadb" in rows
    for named in ("mariadb", rows["mariadb"]["id"]):
        shown = shell.shown("datastore show", named)
        assert (shown["id"], shown["name"], shown["default_version"]) == (rows["mariadb"]["id"], "mariadb", "10.11")
    (version,) = [row for row in shell.shown("datastore version list", "mariadb") if row["name"] == "10.11"]
    for words in (("10.11", "--datastore", "mariadb"), (version["id"],)):
        assert shell.shown("datastore version show", *words)["id"] == version["id"]
    assert "nope" in shell.fails("datastore show", "nope")


def test_flavors(shell: Shell) -> None:
    rows = {row["name"]: row for row in shell.shown("database flavor list")}
    assert {"db.tiny", "db.small"} <= set(rows)
    for named in ("db.tiny", "1"):
        shown = shell.shown("database flavor show", named)
        assert (shown["name"], shown["ram"]) == ("db.tiny", rows["db.tiny"]["ram"])
    version = shell.use.version()
    words = (shell.option("--datastore-type"), "mariadb", shell.option("--datastore-version-id"), version["id"])
    assert {row["name"] for row in shell.shown("database flavor list", *words)} == set(rows)


def test_limits(shell: Shell) -> None:
    said = shell.run("database limit list").stdout
    assert "max_instances" in said
    assert "50" in said
    assert "POST" in said


def test_quotas_are_shown_to_their_project_and_changed_by_an_administrator(shell: Shell, orders: str) -> None:
    demo, alt = shell.use.project("demo"), shell.use.project("alt_demo")
    rows = {row["resource"]: row for row in shell.shown("database quota show", demo, user="admin")}
    assert rows["instances"]["limit"] == 50
    assert rows["instances"]["in_use"] >= 1
    assert shell.shown("database quota update", alt, "instances", "1", user="admin") == {"instances": 1}
    held = {row["resource"]: row["limit"] for row in shell.use.get(f"/mgmt/quotas/{alt}", user="alt_demo")["quotas"]}
    assert held["instances"] == 1
    wanted = {"name": "x", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}}
    made = shell.use.create("only", user="alt_demo")
    assert shell.use.ask("POST", "/instances", {"instance": wanted}, user="alt_demo")[0] == 413
    shell.use.remove(made, user="alt_demo")
    shell.run("database quota update", alt, "instances", "50", user="admin")
    shell.fails("database quota update", alt, "instances", "99", user="alt_demo")


@pytest.fixture
def datastore(use: Clients) -> Iterator[str]:
    """Return a name for a datastore that is removed afterwards with its versions."""
    name = "mariadb-lab"
    yield name
    for version in use.get("/mgmt/datastore-versions", user="admin")["versions"]:
        if version["datastore_name"] == name:
            assert use.ask("DELETE", f"/mgmt/datastore-versions/{version['id']}", user="admin")[0] == 202
    assert use.ask("DELETE", f"/datastores/{name}", user="admin")[0] in {202, 404}


def test_an_administrator_makes_changes_and_removes_versions(use: Clients, datastore: str) -> None:
    words = (
        "10.11",
        datastore,
        "mariadb",
        "",
        "--image-tags",
        "trove,mariadb",
        "--active",
        "--default",
        "--version-number",
        "10.11.6",
    )
    said = use.openstack("datastore version create", "9", datastore, "mariadb", NO_IMAGE, user="admin", status=1).said
    assert NO_IMAGE in said
    use.openstack("datastore version create", *words, user="admin")
    (version,) = use.get(f"/datastores/{datastore}/versions")["versions"]
    assert (version["name"], version["version"]) == ("10.11", "10.11.6")
    use.openstack("datastore delete", datastore, user="admin", status=1)
    use.openstack("datastore version set", version["id"], "--disable", "--version-name", "old", user="admin")
    assert use.get("/mgmt/datastore-versions/" + version["id"], user="admin")["version"]["name"] == "old"
    assert use.ask("GET", f"/datastores/{datastore}/versions")[1].get("versions", []) == []
    use.openstack("datastore version set", version["id"], "--enable", "--non-default", user="admin")
    use.openstack("datastore version delete", version["id"], status=1)
    use.openstack("datastore version delete", version["id"], user="admin")
    assert version["id"] not in str(use.get("/mgmt/datastore-versions", user="admin"))
    use.openstack("datastore delete", datastore, status=1)
    use.openstack("datastore delete", datastore, user="admin")
    assert use.ask("GET", f"/datastores/{datastore}")[0] == 404


def test_the_volume_types_of_the_older_client(use: Clients) -> None:
    """Its own list asks for a route that Trove never had; with a datastore it asks for one that there is."""
    use.trove("volume-type-list", status=1)
    assert use.recorder.last("GET").status == 404
    use.trove("volume-type-show", "ssd", status=1)
    version = use.version()
    words = ("--datastore_type", "mariadb", "--datastore_version_id", version["id"])
    assert isinstance(use.told("volume-type-list", *words), list)
    assert use.recorder.last("GET").status == 200
