"""Accounts, hosts, storage and flavors: routes of Liberty that clients still send."""

from tests.http.test_instances import error
from tests.http.test_mgmt_instances import deleted, in_cloud
from tests.support.http_api import OTHER_PROJECT, PROJECT

from trove.core.errors import Unavailable


def test_accounts_are_projects_with_live_instances(api):
    a, b, c = api.active(), api.active(), api.active(project_id=OTHER_PROJECT)
    deleted(api, project_id="p3")
    accounts = api.get("/mgmt/accounts", user="admin").json
    assert accounts == {"accounts": [{"id": PROJECT, "num_instances": 2}, {"id": OTHER_PROJECT, "num_instances": 1}]}
    for project, ids in ((PROJECT, [a, b]), (OTHER_PROJECT, [c]), ("p3", []), ("ghost", [])):
        found = api.get(f"/mgmt/accounts/{project}", user="admin").json
        assert found == {"account": {"id": project, "instance_ids": sorted(ids)}}


def test_hosts_are_the_clouds_with_the_instances_that_are_known(api):
    one = api.active(project_id=OTHER_PROJECT)
    in_cloud(api, one)
    assert api.get("/mgmt/hosts", user="admin").json == {
        "hosts": [{"name": "memory-1", "instanceCount": 1}, {"name": "memory-2", "instanceCount": 0}]
    }
    assert api.get("/mgmt/hosts/memory-1", user="admin").json == {
        "host": {
            "name": "memory-1",
            "percentUsed": 0.78,
            "totalRAM": 65536,
            "usedRAM": 512,
            "instances": [{"uuid": one, "name": "orders", "tenant_id": OTHER_PROJECT, "status": "ACTIVE"}],
        }
    }
    error(api.get("/mgmt/hosts/ghost", user="admin"), 404, "itemNotFound")
    assert "rebuild" in error(
        api.post("/mgmt/hosts/memory-1/instances/action", {"update": ""}, user="admin"), 501, "notImplemented"
    )
    error(api.post("/mgmt/hosts/ghost/instances/action", {"update": ""}, user="admin"), 404, "itemNotFound")
    error(api.post("/mgmt/hosts/memory-1/instances/action", {"stop": ""}, user="admin"), 400, "badRequest")


def test_storage_tells_what_volumes_take(api):
    in_cloud(api, api.active())
    assert api.get("/mgmt/storage", user="admin").json == {
        "devices": [
            {
                "name": "memory",
                "type": "memory",
                "used": 0,
                "capacity": {"total": 1024, "available": 1024},
                "provision": {"total": 1024, "available": 1022, "percent": 0.2},
            }
        ]
    }


def test_a_cloud_that_is_away_is_unavailable(api):
    for verb, path in (("hosts", "hosts"), ("hosts", "hosts/memory-1"), ("storage", "storage")):
        api.doors.cloud.order_fault(verb, Unavailable("away"))
        error(api.get(f"/mgmt/{path}", user="admin"), 503, "serviceUnavailable")


def test_flavors_are_not_made_here(api):
    body = {"flavor": {"flavor_id": "auto", "name": "x", "ram": 1, "disk": 1, "vcpu": 1}}
    assert "cloud" in error(api.post("/mgmt/flavors", body, user="admin"), 501, "notImplemented")
