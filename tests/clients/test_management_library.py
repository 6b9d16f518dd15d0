"""Managers of python-troveclient that no command and no dashboard uses, for the operators' own scripts."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.clients import Clients

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Of the client's own imports.
    from troveclient.v1 import accounts, diagnostics, hosts, management, storage

NOWHERE = "c0ffee00-0000-4000-8000-000000000012"


class Library:
    """The managers for a user; what each function sends counts for its name."""

    def __init__(self, use: Clients, user: str) -> None:
        self.use, client = use, use.library(user)
        self.managers = {
            "Accounts": accounts.Accounts(client),
            "DiagnosticsInterrogator": diagnostics.DiagnosticsInterrogator(client),
            "Hosts": hosts.Hosts(client),
            "HwInfoInterrogator": diagnostics.HwInfoInterrogator(client),
            "Instances": client.instances,
            "MgmtClusters": management.MgmtClusters(client),
            "MgmtConfigurationParameters": management.MgmtConfigurationParameters(client),
            "MgmtFlavors": management.MgmtFlavors(client),
            "StorageInfo": storage.StorageInfo(client),
        }

    def _function(self, name: str) -> Callable[..., Any]:
        manager, _, function = name.partition(".")
        found: Callable[..., Any] = getattr(self.managers[manager], function)
        return found

    def __call__(self, name: str, /, *words: Any, **more: Any) -> Any:
        """Call a function such as `Hosts.index`."""
        return self.use.called("library", name, self._function(name), *words, **more)

    def refused(self, name: str, /, *words: Any, **more: Any) -> int:
        """Call a function that must fail; return the status it got."""
        return self.use.refused("library", name, self._function(name), *words, **more).status


@pytest.fixture
def admin(use: Clients) -> Library:
    return Library(use, "admin")


def test_parameters_are_made_changed_and_removed(admin: Library) -> None:
    version = admin.use.version()
    path = f"/datastores/versions/{version['id']}/parameters"
    admin("MgmtConfigurationParameters.create", version["id"], "lab_limit", 0, "integer", max_size=9, min_size=1)
    assert admin.use.get(f"{path}/lab_limit")["max"] == 9
    admin("MgmtConfigurationParameters.modify", version["id"], "lab_limit", 1, "integer", max_size=8, min_size=2)
    shown = admin("MgmtConfigurationParameters.get_any_parameter_by_version", version["id"], "lab_limit")
    assert (shown.name, shown.restart_required) == ("lab_limit", True)
    assert admin.use.get(f"{path}/lab_limit")["max"] == 8
    names = {one.name for one in admin("MgmtConfigurationParameters.list_all_parameter_by_version", version["id"])}
    assert {"lab_limit", "max_connections"} <= names
    admin("MgmtConfigurationParameters.delete", version["id"], "lab_limit")
    assert admin.use.ask("GET", f"{path}/lab_limit")[0] == 404
    demo = Library(admin.use, "demo")
    assert demo.refused("MgmtConfigurationParameters.create", version["id"], "x", 0, "string") == 401


def test_accounts_and_hosts(admin: Library, orders: str) -> None:
    demo = admin.use.project("demo")
    assert demo in str(admin("Accounts.index").accounts)
    assert orders in admin("Accounts.show", demo).instance_ids
    (host,) = admin("Hosts.index")
    assert host.instanceCount >= 1
    assert orders in str(admin("Hosts.get", host.name).instances)
    assert Library(admin.use, "demo").refused("Hosts.index") == 401


def test_storage(admin: Library) -> None:
    (device,) = admin("StorageInfo.index")
    assert device.capacity["total"] >= device.capacity["available"] > 0


def test_what_the_service_cannot_do(admin: Library, orders: str) -> None:
    (host,) = admin("Hosts.index")
    assert admin.refused("Hosts.update_all", host.name) == 501
    assert admin.refused("MgmtFlavors.create", "db.huge", 1024, 1, 1) == 501


def test_the_guest_and_its_machine(admin: Library, orders: str) -> None:
    assert int(admin("DiagnosticsInterrogator.get", orders).threads) >= 1
    assert admin("HwInfoInterrogator.get", orders).hwinfo["num_cpus"] >= 1


def test_clusters_of_all_projects(admin: Library) -> None:
    assert admin("MgmtClusters.index") == []
    assert admin("MgmtClusters.index", deleted=False) == []
    assert admin.refused("MgmtClusters.show", NOWHERE) == 404
    assert admin.refused("MgmtClusters.reset_task", NOWHERE) == 404
    assert Library(admin.use, "demo").refused("MgmtClusters.index") == 401


def test_a_list_with_details(use: Clients, orders: str) -> None:
    listed = Library(use, "demo")("Instances.list", detailed=True)
    (one,) = [each for each in listed if each.id == orders]
    assert one.created == use.instance(orders)["created"]
