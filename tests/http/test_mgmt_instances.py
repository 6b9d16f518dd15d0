"""Administrators look at the instances of all projects and act on their servers; nobody else does."""

import logging
import os

import pytest
from oslo_policy import opts
from tests.http.test_instances import error
from tests.support.http_api import OTHER_PROJECT, PROJECT, oslo_conf, serving_api

from trove.api.handlers import mgmt_guests, mgmt_instances, mgmt_resources, mgmt_versions
from trove.api.routes import ROUTES
from trove.cloud.contract import NicRequest, ServerSpec
from trove.core.errors import GuestError, GuestTimeout, Unavailable
from trove.core.ids import new_id
from trove.core.status import ServiceStatus, Task
from trove.core.transitions import Event
from trove.store import instances, operations, roots

OURS = {each.__name__ for each in (mgmt_guests, mgmt_instances, mgmt_resources, mgmt_versions)}
MANAGEMENT = [route for route in ROUTES if route.handler.__module__ in OURS]
ALIVE = {
    "server": {"id": "srv", "name": "orders", "status": "ACTIVE", "tenant_id": PROJECT, "host": None},
    "service_status": "HEALTHY",
    "tenant_id": PROJECT,
    "task_description": "none",
    "deleted": False,
    "deleted_at": None,
}


def deleted(api, name="gone", **more):
    """Store an instance that was deleted."""
    instance_id = api.active(name, guest=False, **more)
    with api.doors.database.transaction() as tx:
        instances.apply(tx, instance_id, Event.DELETE_ACCEPTED)
        instances.mark_deleted(tx, instance_id, fence=None)
    return instance_id


def in_cloud(api, instance_id):
    """Give an instance the server that its row speaks of."""
    cloud, row = api.doors.cloud, api.row(instance_id)
    volume = cloud.ensure_volume(instance_id, size_gib=2, volume_type=None)
    cloud.ensure_port(instance_id, NicRequest(), None, (3306,))
    spec = {"image_id": "host", "image_tags": (), "flavor": cloud.flavor(row.flavor_id), "manager": "mariadb"}
    cloud.ensure_server(
        ServerSpec(instance_id=instance_id, name=row.name, project_id=row.project_id, tcp_ports=(3306,), **spec)
    )
    with api.doors.database.transaction() as tx:
        instances.record_server(tx, instance_id, fence=None, volume_id=volume.id)


def listed(api, query=""):
    """Return the ids of all pages, newest first."""
    found, url = [], f"/mgmt/instances{query}"
    while True:
        body = api.get(url, user="admin").json
        found += [each["id"] for each in body["instances"]]
        if "links" not in body:
            return found
        url = body["links"][0]["href"].partition(f"/v1.0/{PROJECT}")[2]


@pytest.mark.parametrize("user", ["member", "reader", "nobody"])
@pytest.mark.parametrize("route", MANAGEMENT, ids=lambda route: f"{route.method} {route.path}")
def test_who_is_no_administrator_is_turned_away(api, route, user):
    instance_id = api.active()
    path = route.path.format(instance_id=instance_id, version_id=api.version_id, host="memory-1", project=PROJECT)
    body = {"stop": {}} if route.handler.__name__ == "action" else None
    before = api.row(instance_id)
    error(api.ask(route.method, path, body, user=user), 401, "unauthorized")
    assert api.row(instance_id) == before
    assert api.announcer.announced == []
    assert api.guests[instance_id].calls == []


def test_all_projects_are_listed_newest_first_with_what_operators_need(api):
    mine, other, gone = api.active(), api.active("theirs", project_id=OTHER_PROJECT), deleted(api)
    page = api.get("/mgmt/instances", user="admin").json["instances"]
    assert [each["id"] for each in page] == [gone, other, mine]
    assert {key: page[2][key] for key in ALIVE} == ALIVE
    detail = api.get(f"/instances/{mine}", user="admin").json["instance"]
    assert {key: page[2][key] for key in detail} == detail | {"volume": page[2]["volume"]}
    assert (page[1]["tenant_id"], page[1]["server"]["tenant_id"]) == (OTHER_PROJECT, OTHER_PROJECT)
    assert (page[0]["status"], page[0]["deleted"], page[0]["server"]) == ("SHUTDOWN", True, None)
    assert len(page[0]["deleted_at"]) == len("2026-02-03T04:05:06")


def test_the_list_is_narrowed_and_comes_in_pages(api):
    a, b = api.active(), api.active(project_id=OTHER_PROJECT)
    c, d = deleted(api), deleted(api, project_id=OTHER_PROJECT)
    assert listed(api) == [d, c, b, a]
    for query, expected in (
        ("?deleted=true", [d, c]),
        ("?deleted=False", [b, a]),
        (f"?project_id={OTHER_PROJECT}", [d, b]),
        (f"?project_id={PROJECT}&deleted=0", [a]),
        ("?project_id=ghost", []),
        ("?limit=1", [d, c, b, a]),
        ("?limit=2&deleted=&marker=", [d, c, b, a]),
        ("?limit=1&deleted=true", [d, c]),
        (f"?marker={c}", [b, a]),
        ("?marker=3", [a]),
        ("?limit=100000000", [d, c, b, a]),
        ("?include_clustered=true", [d, c, b, a]),
    ):
        assert listed(api, query) == expected, query
    for wrong in ("limit=x", "limit=-1", "deleted=perhaps", "marker=ghost", f"marker={new_id()}", "include_clustered=2"):
        error(api.get(f"/mgmt/instances?{wrong}", user="admin"), 400, "badRequest")


def test_an_instance_is_shown_with_its_server_its_volume_and_its_root(api):
    one = api.active(project_id=OTHER_PROJECT)
    in_cloud(api, one)
    api.beat(one, ServiceStatus.HEALTHY, volume_used_bytes=2**29, volume_total_bytes=2**31)
    found = api.get(f"/mgmt/instances/{one}", user="admin").json["instance"]
    assert found["server"] == {
        "id": "srv",
        "name": "orders",
        "status": "ACTIVE",
        "tenant_id": OTHER_PROJECT,
        "host": "memory-1",
        "addresses": {"private": [{"addr": "127.77.0.5", "version": 4}]},
    }
    assert found["volume"] == {
        "id": f"volume-{one}",
        "size": 2,
        "status": "in-use",
        "attachments": [{"server_id": "srv"}],
        "availability_zone": None,
        "created_at": found["created"],
        "used": 0.5,
        "total": 2.0,
    }
    assert (found["root_enabled"], found["root_enabled_by"]) == (False, None)
    assert found["guest_status"] == {"state_description": "healthy"}
    api.doors.database.run(roots.record_enabled, one, "ann")
    found = api.get(f"/mgmt/instances/{one}?deleted=false", user="admin").json["instance"]
    assert (found["root_enabled"], found["root_enabled_by"]) == (True, "ann")
    assert api.get("/mgmt/instances", user="admin").json["instances"][0]["server"]["host"] == "memory-1"


def test_a_cloud_that_is_away_leaves_gaps_only(api):
    one = api.active()
    in_cloud(api, one)
    for verb in ("hosts", "find_volume"):
        api.doors.cloud.order_fault(verb, Unavailable("away"), times=None)
    found = api.get(f"/mgmt/instances/{one}", user="admin").json["instance"]
    assert found["server"]["host"] is None
    assert found["volume"] == {"id": f"volume-{one}"}
    assert api.get("/mgmt/instances", user="admin").json["instances"][0]["server"]["host"] is None


def test_a_deleted_instance_is_shown_unless_a_live_one_is_asked_for(api):
    gone, live = deleted(api), api.active()
    for query in ("", "?deleted=true"):
        found = api.get(f"/mgmt/instances/{gone}{query}", user="admin").json["instance"]
        assert (found["name"], found["deleted"], found["server"]) == ("gone", True, None)
    error(api.get(f"/mgmt/instances/{gone}?deleted=false", user="admin"), 404, "itemNotFound")
    error(api.get(f"/mgmt/instances/{live}?deleted=true", user="admin"), 404, "itemNotFound")
    for wrong in (new_id(), "x"):
        error(api.get(f"/mgmt/instances/{wrong}", user="admin"), 404, "itemNotFound")
    error(api.post(f"/mgmt/instances/{gone}/action", {"stop": {}}, user="admin"), 404, "itemNotFound")


def test_a_deleted_instance_is_shown_also_without_its_datastore_version(api):
    gone = deleted(api)
    assert api.delete(f"/mgmt/datastore-versions/{api.version_id}", user="admin").status_code == 202
    found = api.get(f"/mgmt/instances/{gone}", user="admin").json["instance"]
    assert found["datastore"] == {"type": "", "version": "", "version_number": ""}
    assert listed(api) == [gone]


def test_the_history_of_root(api):
    one = api.active()
    path = f"/mgmt/instances/{one}/root"
    assert api.get(path, user="admin").json == {"root_history": {"id": one, "enabled": "Never", "user": "Nobody"}}
    assert api.post(f"/instances/{one}/root").status_code == 200
    assert api.delete(f"/instances/{one}/root").status_code == 204
    history = api.get(path, user="admin").json["root_history"]
    assert (history["id"], history["user"]) == (one, "member")
    assert len(history["enabled"]) == len("2026-02-03T04:05:06")


def test_a_guest_tells_of_itself(api):
    one = api.active(project_id=OTHER_PROJECT)
    told = api.get(f"/mgmt/instances/{one}/diagnostics", user="admin").json["diagnostics"]
    assert (told["version"], told["threads"], told["vmRss"]) == ("10.11.6", 9, 300)
    assert api.get(f"/mgmt/instances/{one}/hwinfo", user="admin").json == {"hwinfo": {"mem_total": 524288, "num_cpus": 2}}
    pinged = api.get(f"/mgmt/instances/{one}/rpc_ping", user="admin")
    assert (pinged.status_code, pinged.content) == (204, b"")
    assert api.guests[one].calls == ["get_diagnostics", "get_hwinfo", "rpc_ping"]


@pytest.mark.parametrize("what", ["diagnostics", "hwinfo", "rpc_ping"])
def test_a_guest_that_is_dead_or_refuses_is_told_as_a_bad_request(api, what):
    one = api.active()
    path = f"/mgmt/instances/{one}/{what}"
    api.guests[one].fault = GuestError("The database server does not run.")
    assert "does not run" in error(api.get(path, user="admin"), 400, "badRequest")
    api.guests[one].fault = GuestTimeout("nothing was heard")
    assert "did not answer within 5 s" in error(api.get(path, user="admin"), 400, "badRequest")
    api.guests[one].fault = Unavailable("The bus is away.")
    error(api.get(path, user="admin"), 503, "serviceUnavailable")
    error(api.get(f"/mgmt/instances/{new_id()}/{what}", user="admin"), 404, "itemNotFound")


@pytest.mark.parametrize(
    ("body", "kind", "task", "shown"),
    [
        ({"stop": {}}, "instance.stop", Task.UPDATING, "ACTIVE"),
        ({"reboot": {}}, "instance.reboot", Task.REBOOTING, "REBOOT"),
        ({"reboot": None}, "instance.reboot", Task.REBOOTING, "REBOOT"),
        ({"migrate": {}}, "instance.migrate", Task.MIGRATING, "ACTIVE"),
        ({"migrate": None}, "instance.migrate", Task.MIGRATING, "ACTIVE"),
        ({"migrate": {"host": "memory-2"}}, "instance.migrate", Task.MIGRATING, "ACTIVE"),
        ({"rebuild": {"image_id": "host"}}, "instance.rebuild", Task.BUILDING, "BUILD"),
    ],
)
def test_actions_become_operations_in_the_project_of_the_instance(api, body, kind, task, shown):
    one = api.active(project_id=OTHER_PROJECT)
    in_cloud(api, one)
    result = api.post(f"/mgmt/instances/{one}/action", body, user="admin")
    assert (result.status_code, result.content) == (202, b"")
    assert result.headers["x-trove-operation-id"] == api.announcer.announced[0]
    with api.doors.database.reading() as tx:
        made = operations.get(tx, api.announcer.announced[0])
    assert (made.kind, made.resource_id, made.project_id, made.user_id) == (kind, one, OTHER_PROJECT, "admin")
    assert api.row(one).task is task
    assert api.get(f"/instances/{one}", user="admin").json["instance"]["status"] == shown
    if kind == "instance.migrate":
        assert made.args == {"host": "memory-2"}
    error(api.post(f"/mgmt/instances/{one}/action", body, user="admin"), 422, "unprocessableEntity")
    assert len(api.announcer.announced) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"restart": {}},
        {"explode": {}},
        {"stop": {}, "reboot": {}},
        {"reset_status": {}},
        {"stop": {"hard": True}, "x": 1},
        {"stop": 1},
        {"rebuild": {}},
        {"rebuild": None},
        {"rebuild": {"image_id": ""}},
        {"rebuild": {"image_id": "host", "flavor": 1}},
        {"rebuild": {"image_id": "ghost"}},
        {"migrate": {"host": 5}},
        {"migrate": {"host": "ghost"}},
        {"migrate": {"host": "memory-1"}},
        [],
        None,
    ],
)
def test_anything_but_exactly_one_known_action_is_refused(api, body):
    one = api.active()
    in_cloud(api, one)
    error(api.post(f"/mgmt/instances/{one}/action", body, user="admin"), 400, "badRequest")
    assert api.announcer.announced == []
    assert api.row(one).task is Task.NONE


def test_a_rebuild_needs_a_volume_to_keep_and_a_migration_another_host(api, monkeypatch):
    one = api.active()
    message = error(
        api.post(f"/mgmt/instances/{one}/action", {"rebuild": {"image_id": "host"}}, user="admin"), 400, "badRequest"
    )
    assert "no volume" in message
    hosts = api.doors.cloud.hosts()[:1]
    monkeypatch.setattr(api.doors.cloud, "hosts", lambda: hosts)
    assert "memory-1" in error(api.post(f"/mgmt/instances/{one}/action", {"migrate": {}}, user="admin"), 501, "notImplemented")


def test_a_task_that_hangs_is_reset(api):
    one = api.active(project_id=OTHER_PROJECT)
    with api.doors.database.transaction() as tx:
        instances.apply(tx, one, Event.RESTART_ACCEPTED)
    assert api.post(f"/mgmt/instances/{one}/action", {"reset-task-status": {}}, user="admin").status_code == 202
    assert api.row(one).task is Task.NONE


def test_updates_of_guest_agents_are_refused_with_what_to_do_instead(api):
    one = api.active()
    for path, body in ((f"/mgmt/instances/{one}/action", {"update": {}}), (f"/mgmt/instances/{one}/upgrade", {"upgrade": {}})):
        assert "Rebuild" in error(api.post(path, body, user="admin"), 501, "notImplemented")
    error(api.post(f"/mgmt/instances/{new_id()}/upgrade", {"upgrade": {}}, user="admin"), 404, "itemNotFound")
    error(api.post(f"/mgmt/instances/{one}/upgrade", {}, user="admin"), 400, "badRequest")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_users_do_to_instances_is_not_to_be_found_here(api, method):
    one = api.active()
    for path in ("/mgmt/instances", f"/mgmt/instances/{one}"):
        error(api.ask(method, path, {"instance": {"name": "x"}}, user="admin"), 404, "itemNotFound")
    assert api.row(one).name == "orders"


def test_operators_may_delegate_parts(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    policy = tmp_path / "policy.yaml"
    policy.write_text('"mgmt:instance:index": "role:member"\n"mgmt:instance:reboot": "role:member"\n')
    os.utime(policy, (2e9, 2e9))
    conf = oslo_conf()
    opts._register(conf)
    conf.set_override("policy_file", str(policy), group="oslo_policy")
    with serving_api(tmp_path, conf=conf) as api:
        one = api.active(project_id=OTHER_PROJECT)
        assert [each["id"] for each in api.get("/mgmt/instances").json["instances"]] == [one]
        assert api.post(f"/mgmt/instances/{one}/action", {"reboot": {}}).status_code == 202
        error(api.post(f"/mgmt/instances/{one}/action", {"stop": {}}), 401, "unauthorized")
        error(api.get(f"/mgmt/instances/{one}"), 401, "unauthorized")
        error(api.get(f"/instances/{one}"), 404, "itemNotFound")
