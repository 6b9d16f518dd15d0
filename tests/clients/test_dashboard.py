"""trove-dashboard's calls, which go through python-troveclient's library."""

from typing import Any

import pytest
from tests.support.clients import Clients
from tests.support.facets import pending

from trove.datastores.contract import Facet

NOWHERE = "c0ffee00-0000-4000-8000-000000000010"


class Dashboard:
    """The library of a user; what each function sends counts for its name."""

    def __init__(self, use: Clients, user: str = "demo") -> None:
        self.use, self.library = use, use.library(user)

    def _function(self, name: str) -> Any:
        manager, _, function = name.partition(".")
        return getattr(getattr(self.library, manager), function)

    def __call__(self, name: str, /, *words: Any, **more: Any) -> Any:
        """Call a function such as `instances.list`."""
        return self.use.called("dashboard", name, self._function(name), *words, **more)

    def refused(self, name: str, /, *words: Any, **more: Any) -> int:
        """Call a function that must fail; return the status it got."""
        return self.use.refused("dashboard", name, self._function(name), *words, **more).status


@pytest.fixture
def panel(use: Clients) -> Dashboard:
    return Dashboard(use)


def test_the_panels_of_instances(panel: Dashboard) -> None:
    (datastore,) = [one for one in panel("datastores.list") if one.name == "mariadb"]
    (version,) = [one for one in panel("datastore_versions.list", datastore.id) if one.name == "10.11"]
    flavors = panel("flavors.list_datastore_version_associated_flavors", datastore=datastore.name, version_id=version.id)
    flavor = next(one for one in flavors if one.name == "db.tiny")
    types = panel(
        "volume_types.list_datastore_version_associated_volume_types", datastore=datastore.name, version_id=version.id
    )
    assert isinstance(types, list)
    made = panel(
        "instances.create",
        "from-horizon",
        flavor.id,
        volume={"size": 1},
        databases=[{"name": "shop"}],
        users=[{"name": "amy", "password": "amys-secret", "databases": [{"name": "shop"}]}],
        datastore=datastore.name,
        datastore_version=version.name,
        access={"is_public": False},
    )
    panel.use.healthy(made.id)
    assert made.id in {one.id for one in panel("instances.list", limit=20, include_clustered=False)}
    shown = panel("instances.get", made.id)
    assert (shown.operating_status, shown.flavor["id"], shown.volume["size"]) == ("HEALTHY", "1", 1)
    assert panel("flavors.get", shown.flavor["id"]).name == "db.tiny"
    panel("instances.update", made.id, name="renamed")
    assert panel.use.instance(made.id)["name"] == "renamed"
    panel("instances.restart", made.id)
    panel.use.until(lambda: panel.use.instance(made.id)["status"] == "ACTIVE")
    panel.use.healthy(made.id)
    panel("instances.resize_volume", made.id, 2)
    panel.use.until(lambda: panel.use.instance(made.id)["volume"]["size"] == 2)
    panel.use.healthy(made.id)
    panel("instances.resize_instance", made.id, "2")
    panel.use.until(lambda: panel.use.instance(made.id)["flavor"]["id"] == "2")
    panel.use.healthy(made.id)
    panel("instances.delete", made.id)
    panel.use.gone(made.id)


def test_the_panels_of_users_and_databases(panel: Dashboard, orders: str) -> None:
    panel("databases.create", orders, [{"name": "attic"}])
    panel("users.create", orders, [{"name": "bob", "password": "bobs-secret", "databases": [{"name": "attic"}], "host": "%"}])
    assert {one.name for one in panel("databases.list", orders)} == {"attic", "shop"}
    assert {one.name for one in panel("users.list", orders)} == {"alice", "bob"}
    assert panel("users.get", orders, "bob", "%").name == "bob"
    assert [one.name for one in panel("users.list_access", orders, "bob", hostname="%")] == ["attic"]
    panel("users.grant", orders, "bob", ["shop"], hostname="%")
    assert panel.use.sql(orders, "SHOW TABLES FROM shop", user="bob", password="bobs-secret") == []
    panel("users.revoke", orders, "bob", "shop", hostname="%")
    assert [one.name for one in panel("users.list_access", orders, "bob", hostname="%")] == ["attic"]
    panel("users.update_attributes", orders, "bob", newuserattr={"password": "other-secret"}, hostname="%")
    assert panel.use.may_log_in(orders, user="bob", password="other-secret")
    panel("users.change_passwords", orders, [{"name": "bob", "password": "third-secret", "host": "%"}])
    assert panel.use.may_log_in(orders, user="bob", password="third-secret")
    panel("users.delete", orders, "bob", "%")
    panel("databases.delete", orders, "attic")
    assert not panel.use.may_log_in(orders, user="bob", password="third-secret")


def test_the_panels_of_root(panel: Dashboard, orders: str) -> None:
    name, password = panel("root.create_instance_root", orders)
    assert panel.use.may_log_in(orders, user=name, password=password)
    assert panel("root.is_instance_root_enabled", orders).rootEnabled is True
    history = Dashboard(panel.use, "admin")("mgmt_instances.root_enabled_history", orders)
    assert (history.id, history.enabled == "Never") == (orders, False)
    panel("root.disable_instance_root", orders)
    assert panel("root.is_instance_root_enabled", orders).rootEnabled is False
    assert not panel.use.may_log_in(orders, user=name, password=password)


def test_the_panels_of_configuration_groups(panel: Dashboard, spare: str) -> None:
    def limit() -> int:
        return int(panel.use.sql(spare, "SELECT @@max_connections", user="alice", password="secret-spare")[0][0])

    version = panel.use.version()
    made = panel("configurations.create", "from-horizon", "{}", description="x", datastore="mariadb", datastore_version="10.11")
    names = {one.name for one in panel("configuration_parameters.parameters", "mariadb", version["name"])}
    assert "max_connections" in names
    assert panel("configuration_parameters.get_parameter", "mariadb", version["name"], "max_connections").type == "integer"
    panel("configurations.update", made.id, '{"max_connections": 77}')
    assert panel("configurations.get", made.id).values == {"max_connections": 77}
    assert made.id in {one.id for one in panel("configurations.list")}
    panel("instances.modify", spare, configuration=made.id)
    panel.use.until(lambda: limit() == 77)
    assert [one.id for one in panel("configurations.instances", made.id)] == [spare]
    panel("instances.update", spare, remove_configuration=True)
    panel.use.until(lambda: limit() != 77)
    panel.use.until(lambda: panel.use.get(f"/configurations/{made.id}/instances")["instances"] == [])
    panel("configurations.delete", made.id)
    assert panel.use.ask("GET", f"/configurations/{made.id}")[0] == 404


def test_the_panels_of_backups(panel: Dashboard, spare: str) -> None:
    use = panel.use
    made = panel("backups.create", "nightly", spare, description="x")
    use.until(lambda: use.get(f"/backups/{made.id}")["backup"]["status"] == "COMPLETED")
    shown = panel("backups.get", made.id)
    assert (shown.name, shown.size > 0, shown.parent_id) == ("nightly", True, None)
    assert [one.id for one in panel("backups.list")] == [made.id]
    assert [one.id for one in panel("instances.backups", spare)] == [made.id]
    words = {"volume": {"size": 1}, "datastore": "mariadb", "restorePoint": {"backupRef": made.id}}
    restored = panel("instances.create", "restored", "1", **words)
    use.healthy(restored.id)
    assert use.may_log_in(restored.id, user="alice", password="secret-spare")
    use.remove(restored.id)
    panel("backups.delete", made.id)
    use.until(lambda: use.ask("GET", f"/backups/{made.id}")[0] == 404)
    assert panel.refused("backups.get", made.id) == 404


def test_the_panels_of_strategies(panel: Dashboard, orders: str) -> None:
    strategy = panel("backup_strategies.create", instance_id=orders, swift_container="weekly")
    assert strategy.swift_container == "weekly"
    assert [one.swift_container for one in panel("backup_strategies.list")] == ["weekly"]
    panel("backup_strategies.delete", instance_id=orders)
    assert panel("backup_strategies.list") == []


def test_the_panels_of_replicas(panel: Dashboard, spare: str) -> None:
    copy = panel("instances.create", "copy", replica_of=spare, replica_count=1).id
    panel.use.healthy(copy)
    assert panel.refused("instances.eject_replica_source", spare) == 400  # it is heard of
    panel("instances.promote_to_replica_source", copy)
    panel.use.until(lambda: (panel.use.instance(spare).get("replica_of") or {}).get("id") == copy)
    for each in (spare, copy):
        panel.use.healthy(each)
    panel("instances.update", spare, detach_replica_source=True)
    panel.use.until(lambda: not panel.use.instance(spare).get("replica_of"))
    panel.use.healthy(spare)
    panel.use.remove(copy)


def test_the_panels_of_clusters(panel: Dashboard) -> None:
    assert pending(Facet.CLUSTERING)
    node = {"flavorRef": "1", "volume": {"size": 1}}
    assert panel.refused("clusters.create", "ring", "mariadb", "10.11", [node] * 3) == 501
    assert panel("clusters.list") == []
    assert panel.refused("clusters.get", NOWHERE) == 404
    assert panel.refused("clusters.delete", NOWHERE) == 404
    assert panel.refused("clusters.grow", NOWHERE, [node]) == 404
    assert panel.refused("clusters.shrink", NOWHERE, [{"id": NOWHERE}]) == 404
    assert panel.refused("clusters.upgrade", NOWHERE, "10.11") == 404
    assert panel.refused("clusters.add_shard", NOWHERE) == 404
    assert panel.refused("clusters.reset_status", NOWHERE) in {403, 404}
    assert panel.refused("root.create_cluster_root", NOWHERE) == 404
    assert panel.refused("root.is_cluster_root_enabled", NOWHERE) == 404


def test_the_panels_of_logs(panel: Dashboard, spare: str) -> None:
    assert {one.name for one in panel("instances.log_list", spare)} == {"general", "slow_query"}
    assert panel("instances.log_show", spare, "general").status == "Disabled"
    assert panel("instances.log_action", spare, "general", enable=True).status in {"Enabled", "Ready"}
    panel.use.sql(spare, "SELECT 'hello'", user="alice", password="secret-spare")
    assert panel("instances.log_action", spare, "general", publish=True).published > 0
    assert panel("instances.log_action", spare, "general", discard=True).published == 0
    assert panel("instances.log_action", spare, "general", disable=True).status == "Disabled"


def test_an_administrator_stops_a_server(panel: Dashboard, spare: str) -> None:
    (before,) = panel.use.stack.servers(spare)
    Dashboard(panel.use, "admin")("mgmt_instances.stop", spare)
    panel.use.until(lambda: before not in panel.use.stack.servers(spare))
    panel.use.until(lambda: panel.use.instance(spare)["operating_status"] == "SHUTDOWN")
    panel("instances.restart", spare)
    panel.use.healthy(spare)


def test_an_administrator_sees_more(panel: Dashboard, orders: str) -> None:
    admin = Dashboard(panel.use, "admin")
    shown = admin("mgmt_instances.show", orders)
    assert (shown.id, shown.tenant_id, shown.deleted) == (orders, panel.use.project("demo"), False)
    assert orders in {one.id for one in admin("mgmt_instances.list")}
    assert panel.refused("mgmt_instances.show", orders) in {401, 403}
    assert panel.refused("mgmt_instances.stop", orders) in {401, 403}
    admin("mgmt_instances.reset_task_status", orders)
    panel.use.healthy(orders)
    assert admin.refused("mgmt_instances.update", orders) in {400, 501}
    assert admin.refused("mgmt_instances.migrate", orders, "elsewhere") in {400, 422, 501}
    versions = admin("mgmt_ds_versions.list")
    assert admin("mgmt_ds_versions.get", versions[0].id).datastore_manager == "mariadb"


def test_the_limits_on_the_first_page(panel: Dashboard) -> None:
    absolute, *rates = panel("limits.list")
    assert absolute.max_instances == 50
    assert {one.verb for one in rates} >= {"GET", "POST", "PUT", "DELETE"}
