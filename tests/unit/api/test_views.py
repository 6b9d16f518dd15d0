from datetime import UTC, datetime, timedelta

import pytest

from trove.api.links import Links
from trove.api.views import flavors, instances, operations
from trove.core.datastores import DatastoreVersion
from trove.core.flavors import Flavor
from trove.core.instances import Access, Address, Fault, Guest, Instance, Volume
from trove.core.operations import Operation, OperationState
from trove.core.status import ServerStatus, ServiceStatus, Task

NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
LINKS = Links("https://h", "p1", "/p1/instances", {})
MEMBER = instances.Viewer(links=LINKS, is_admin=False, expired_before=NOW - timedelta(seconds=90))
ADMIN = instances.Viewer(links=LINKS, is_admin=True, expired_before=NOW - timedelta(seconds=90))
VERSION = DatastoreVersion(
    id="v", datastore_id="d", datastore_name="mariadb", name="10.11", version="10.11.6", manager="mariadb"
)


def instance(**changes):
    values = {
        "id": "i1",
        "name": "orders",
        "project_id": "p1",
        "task": Task.NONE,
        "flavor_id": "7",
        "datastore_version": VERSION,
        "created": NOW,
        "updated": NOW,
        "server_status": ServerStatus.ACTIVE,
        "region": "RegionOne",
        "guest": Guest(status=ServiceStatus.HEALTHY, heard_at=NOW, status_updated=NOW),
        "volume": Volume(size_gib=10),
    }
    return Instance(**{**values, **changes})


def test_times_have_neither_fraction_nor_zone():
    view = instances.detail(instance(), MEMBER)
    assert view["created"] == view["updated"] == view["service_status_updated"] == "2026-02-03T04:05:06"


def test_a_guest_that_fell_silent_is_shown_as_error():
    silent = Guest(status=ServiceStatus.HEALTHY, heard_at=NOW - timedelta(seconds=91))
    assert instances.summary(instance(guest=silent), MEMBER)["operating_status"] == "ERROR"


@pytest.mark.parametrize(
    ("access", "addresses", "shown"),
    [
        (Access(is_public=True, allowed_cidrs=("10.0.0.0/8",)), (), {"is_public": True, "allowed_cidrs": ["10.0.0.0/8"]}),
        (None, (Address(address="10.0.0.1"),), {"is_public": False}),
        (None, (Address(address="10.0.0.1"), Address(address="203.0.113.9", type="public")), {"is_public": True}),
        (None, (), {}),
    ],
)
def test_access(access, addresses, shown):
    assert instances.summary(instance(access=access, addresses=addresses), MEMBER)["access"] == shown


def test_addresses_are_hidden_while_building():
    view = instances.summary(instance(task=Task.BUILDING, addresses=(Address(address="10.0.0.1"),)), MEMBER)
    assert view["status"] == "BUILD"
    assert not {"ip", "addresses"} & set(view)


def test_details_of_a_fault_are_for_administrators():
    faulty = instance(task=Task.FAILED, fault=Fault(message="no space", details="Traceback …", created=NOW))
    assert instances.detail(faulty, MEMBER)["fault"] == {
        "message": "no space",
        "details": None,
        "created": "2026-02-03T04:05:06",
    }
    assert instances.detail(faulty, ADMIN)["fault"]["details"] == "Traceback …"
    assert instances.detail(faulty, MEMBER)["status"] == "ERROR"


def test_replication_is_linked():
    view = instances.summary(instance(replica_of="i0", replicas=("i2",)), MEMBER)
    assert view["replica_of"]["id"] == "i0"
    assert view["replicas"][0]["links"][0]["href"] == "https://h/v1.0/p1/instances/i2"


def test_no_volume_no_key():
    assert "volume" not in instances.detail(instance(volume=None), MEMBER, usage=True)
    assert instances.detail(instance(volume=None), ADMIN)["volume_id"] is None


@pytest.mark.parametrize(("flavor_id", "shown"), [("7", 7), ("0", 0), ("07", None), ("d2", None), ("٣", None), ("", None)])
def test_flavor_ids_are_numbers_only_where_they_can_be(flavor_id, shown):
    view = flavors.flavor(Flavor(id=flavor_id, name="n", ram_mib=1, vcpus=1), LINKS)
    assert (view["id"], view["str_id"]) == (shown, flavor_id)


def test_secrets_of_an_operation_are_shown_to_nobody():
    operation = Operation(
        id="o",
        kind="instance.create",
        resource_type="instance",
        resource_id="i1",
        project_id="p1",
        user_id="u",
        request_id="r",
        state=OperationState.RUNNING,
        created=NOW,
        updated=NOW,
        deadline=NOW,
        args={"plain": 1},
        secrets={"users": "hunter2"},
    )
    for is_admin in (False, True):
        assert "hunter2" not in str(operations.operation(operation, is_admin=is_admin))
    assert "args" not in operations.operation(operation, is_admin=False)
