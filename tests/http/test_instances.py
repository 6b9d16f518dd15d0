"""What a user of the instance routes sees."""

import re

import pytest
from tests.support.http_api import PROJECT

from trove.core.clock import wire_time
from trove.core.quotas import Resource
from trove.core.status import ServiceStatus
from trove.store import quotas
from trove.store.tables import instances as rows

UNKNOWN = "11111111-2222-4333-8444-555555555555"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SMALL = {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}


def error(result, code, key):
    """Check the shape of an error and return its message."""
    assert result.status_code == code, result.text
    assert list(result.json) == [key]
    assert set(result.json[key]) == {"code", "message"}
    assert result.json[key]["code"] == code
    assert result.json[key]["message"]
    assert result.headers["content-type"].startswith("application/json")
    return result.json[key]["message"]


def test_a_new_instance_is_accepted_and_being_built(api):
    result = api.post(
        "/instances",
        {
            "instance": {
                **SMALL,
                "datastore": {"type": "mariadb", "version": "10.11"},
                "databases": [{"name": "shop", "character_set": "utf8mb4", "collate": None}],
                "users": [{"name": "app", "password": "S3cretpw", "host": "%", "databases": [{"name": "shop"}]}],
                "access": {"is_public": False, "allowed_cidrs": ["10.0.0.0/8", "192.0.2.7"]},
                "some_future_field": 1,
            }
        },
    )
    assert result.status_code == 200, result.text
    instance = result.json["instance"]
    assert UUID.fullmatch(instance["id"])
    assert instance["status"] == "BUILD"
    assert instance["operating_status"] == ""
    assert instance["flavor"]["id"] == "2"
    assert instance["datastore"] == {"type": "mariadb", "version": "10.11", "version_number": "10.11.6"}
    assert instance["volume"] == {"size": 1}
    assert instance["access"] == {"is_public": False, "allowed_cidrs": ["10.0.0.0/8", "192.0.2.7"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", instance["created"])
    assert "ip" not in instance
    assert "tenant_id" not in instance
    assert "S3cretpw" not in result.text
    assert len(api.announcer.announced) == 1
    shown = api.get(f"/instances/{instance['id']}")
    assert shown.json["instance"]["status"] == "BUILD"


@pytest.mark.parametrize(
    "flavor", [{"flavorRef": 2}, {"flavor": "2"}, {"flavor": {"id": "2"}}, {"flavorRef": "http://h/flavors/2"}]
)
def test_flavors_are_taken_in_all_the_forms_that_clients_send(api, flavor):
    result = api.post("/instances", {"instance": {"name": "a", "volume": {"size": "1"}, **flavor}})
    assert result.status_code == 200, result.text
    assert result.json["instance"]["flavor"]["id"] == "2"


def test_a_volume_may_be_a_bare_number(api):
    result = api.post("/instances", {"instance": {**SMALL, "volume": 2}})
    assert result.json["instance"]["volume"] == {"size": 2}


def test_quota_exceeded_names_what(api):
    message = error(api.post("/instances", {"instance": {**SMALL, "volume": {"size": 11}}}), 413, "overLimit")
    assert "10" in message


def test_the_list_shows_the_projects_own_newest_first(api):
    first, second = api.active("first"), api.insert("second")
    api.active("foreign", project_id="p2", guest=False)
    result = api.get("/instances")
    assert [each["id"] for each in result.json["instances"]] == [second, first]
    assert "links" not in result.json
    active = result.json["instances"][1]
    assert (active["status"], active["operating_status"]) == ("ACTIVE", "HEALTHY")
    assert active["ip"] == ["127.77.0.5"]
    assert active["addresses"] == [{"address": "127.77.0.5", "type": "private"}]
    assert active["access"] == {"is_public": False}
    assert "created" not in active
    detailed = api.get("/instances/detail").json["instances"][1]
    assert detailed["datastore"]["version_number"] == "10.11.6"
    assert "created" in detailed


def test_pages_follow_their_links_until_there_is_none(api):
    ids = [api.insert(f"i{number}") for number in range(5)]
    seen, path, hops = [], "/instances?limit=2&include_clustered=False", 0
    while path:
        page = api.get(path, headers={"Host": "db.example.test:8779"}).json
        seen += [each["id"] for each in page["instances"]]
        links = page.get("links")
        path = None
        if links:
            href = links[0]["href"]
            assert links[0]["rel"] == "next"
            assert href.startswith(f"http://db.example.test:8779/v1.0/{PROJECT}/instances?")
            assert "include_clustered=False" in href
            path = href.partition(f"/v1.0/{PROJECT}")[2]
        hops += 1
    assert seen == ids[::-1]
    assert hops == 3


def test_an_exactly_full_page_has_no_next(api):
    for number in range(2):
        api.insert(f"i{number}")
    assert "links" not in api.get("/instances?limit=2").json


def test_limit_0_means_not_given_and_large_limits_are_capped(api):
    for number in range(21):
        api.insert(f"i{number}")
    assert len(api.get("/instances?limit=0").json["instances"]) == 20
    assert len(api.get("/instances?limit=1000").json["instances"]) == 20


@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=-1",
        "limit=1.5",
        "limit=%D9%A3",
        "limit=" + "9" * 5000,
        "marker=x",
        f"marker={UNKNOWN}",
        "marker=%00",
        "include_clustered=maybe",
    ],
)
def test_wrong_queries_are_bad_requests(api, query):
    error(api.get(f"/instances?{query}"), 400, "badRequest")


def test_links_follow_the_scheme_of_the_request(api):
    instance_id = api.insert()
    links = api.get(f"/instances/{instance_id}", headers={"Host": "h:1"}, protocol="https").json["instance"]["links"]
    assert links == [
        {"rel": "self", "href": f"https://h:1/v1.0/{PROJECT}/instances/{instance_id}"},
        {"rel": "bookmark", "href": f"https://h:1/instances/{instance_id}"},
    ]


def test_show_tells_the_use_of_the_volume_from_the_last_heartbeat(api):
    instance_id = api.active(guest=False)
    api.beat(instance_id, ServiceStatus.HEALTHY, volume_used_bytes=2**29, volume_total_bytes=2**31)
    volume = api.get(f"/instances/{instance_id}").json["instance"]["volume"]
    assert volume.pop("used_at") == wire_time(api.row(instance_id).guest.heard_at)
    assert volume == {"size": 2, "used": 0.5, "used_percent": 25.0}


def test_administrators_see_more_and_other_projects_by_id(api):
    foreign = api.active(project_id="p2", guest=False)
    instance = api.get(f"/instances/{foreign}", user="admin").json["instance"]
    assert instance["tenant_id"] == "p2"
    assert instance["server_id"] == "srv"
    assert f"/v1.0/{PROJECT}/" in instance["links"][0]["href"]
    assert api.get("/instances", user="admin").json == {"instances": []}


@pytest.mark.parametrize("method", ["put", "patch"])
def test_rename(api, method):
    instance_id = api.insert()
    result = api.ask(method.upper(), f"/instances/{instance_id}", {"instance": {"name": "renamed"}})
    assert (result.status_code, result.text) == (202, "")
    assert api.row(instance_id).name == "renamed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"replica_of": None}, 400),
        ({"slave_of": ""}, 400),
        ({"configuration": UNKNOWN}, 404),
        ({"datastore_version": "11.4"}, 400),
        ({"access": {"is_public": True}}, 422),
        ({"name": "new", "access": {}}, 422),
        ({"name": "new", "replica_of": None}, 400),
        ({"configuration": None, "replica_of": None}, 400),
        ({"color": "red"}, 400),
        ({"name": ""}, 400),
        ({"name": None}, 400),
        ({"access": {"allowed_cidrs": ["x"]}}, 400),
    ],
)
def test_other_changes_are_refused_whole(api, body, code):
    instance_id = api.insert("before")
    assert api.put(f"/instances/{instance_id}", {"instance": body}).status_code == code
    assert api.row(instance_id).name == "before"


@pytest.mark.parametrize("argument", [{}, None])
def test_restart(api, argument):
    instance_id = api.active()
    result = api.post(f"/instances/{instance_id}/action", {"restart": argument})
    assert (result.status_code, result.text) == (202, "")
    assert api.get(f"/instances/{instance_id}").json["instance"]["status"] == "REBOOT"
    again = api.post(f"/instances/{instance_id}/action", {"restart": {}})
    assert "REBOOT" in error(again, 422, "unprocessableEntity")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"explode": {}},
        {"restart": {}, "resize": {"volume": 3}},
        {"resize": {}},
        {"restart": "now"},
        [],
        "restart",
        {"resize": None},
        {"resize": {"volume": {"size": 3}, "flavorRef": "3"}},
        {"resize": {"volume": {"size": 3}, "speed": 1}},
        {"resize": {"speed": 1}},
        {"resize": {"volume": {}}},
        {"resize": {"volume": {"size": 0}}},
        {"resize": {"volume": {"size": "big"}}},
        {"resize": {"volume": {"size": 2.5}}},
        {"resize": {"flavorRef": ""}},
        {"resize": {"flavorRef": None}},
    ],
)
def test_wrong_actions_are_bad_requests(api, body):
    error(api.post(f"/instances/{api.active()}/action", body), 400, "badRequest")


def test_a_password_is_no_thing_that_is_reset(api):
    message = error(api.post(f"/instances/{api.active()}/action", {"reset_password": {}}), 400, "badRequest")
    assert "PUT" in message


@pytest.mark.parametrize("volume", [{"size": 3}, {"size": "3"}, 3])
def test_a_volume_grows(api, volume):
    instance_id = api.active()
    path = f"/instances/{instance_id}"
    result = api.post(f"{path}/action", {"resize": {"volume": volume}})
    assert (result.status_code, result.text) == (202, "")
    shown = api.get(path).json["instance"]
    assert (shown["status"], shown["volume"]["size"]) == ("RESIZE", 2)
    (operation,) = api.get(f"{path}/operations").json["operations"]
    assert (operation["kind"], operation["state"]) == ("instance.resize_volume", "PENDING")
    assert api.announcer.announced == [operation["id"]]
    again = api.post(f"{path}/action", {"resize": {"volume": 4}})
    assert "RESIZE" in error(again, 422, "unprocessableEntity")


@pytest.mark.parametrize("flavor", ["3", 3, "http://h/flavors/3"])
def test_a_flavor_changes(api, flavor):
    instance_id = api.active()
    path = f"/instances/{instance_id}"
    result = api.post(f"{path}/action", {"resize": {"flavorRef": flavor}})
    assert (result.status_code, result.text) == (202, "")
    shown = api.get(path).json["instance"]
    assert (shown["status"], shown["flavor"]["id"]) == ("RESIZE", "2")
    (operation,) = api.get(f"{path}/operations").json["operations"]
    assert operation["kind"] == "instance.resize_flavor"
    assert "RESIZE" in error(api.post(f"{path}/action", {"restart": {}}), 422, "unprocessableEntity")


@pytest.mark.parametrize(
    ("wanted", "code", "key", "word"),
    [
        ({"volume": {"size": 2}}, 400, "badRequest", "more than the 2 GiB"),
        ({"volume": {"size": 1}}, 400, "badRequest", "more than the 2 GiB"),
        ({"volume": {"size": 11}}, 413, "overLimit", "10 GiB"),
        ({"volume": {"size": "9" * 40}}, 413, "overLimit", "10 GiB"),
        ({"flavorRef": "2"}, 400, "badRequest", "already"),
        ({"flavorRef": "999"}, 400, "badRequest", "999"),
    ],
)
def test_sizes_that_cannot_be_are_refused_and_nothing_is_begun(api, wanted, code, key, word):
    instance_id = api.active()
    assert word in error(api.post(f"/instances/{instance_id}/action", {"resize": wanted}), code, key)
    assert api.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"
    assert api.get(f"/instances/{instance_id}/operations").json == {"operations": []}
    assert api.announcer.announced == []


@pytest.mark.parametrize(("wanted", "what"), [({"volume": 3}, "volumes"), ({"flavorRef": "3"}, "ram")])
def test_a_size_beyond_the_quota_is_refused_by_name(api, wanted, what):
    with api.doors.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, Resource(what), 0)
    instance_id = api.active()
    assert what in error(api.post(f"/instances/{instance_id}/action", {"resize": wanted}), 413, "overLimit")
    assert api.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"


@pytest.mark.parametrize("wanted", [{"volume": 3}, {"flavorRef": "3"}])
def test_only_what_is_there_idle_and_single_is_resized(api, wanted):
    body = {"resize": wanted}
    foreign = api.active(project_id="p2", guest=False)
    error(api.post(f"/instances/{foreign}/action", body), 404, "itemNotFound")
    building = api.insert()
    assert "BUILD" in error(api.post(f"/instances/{building}/action", body), 422, "unprocessableEntity")
    silent = api.active()
    api.beat(silent, ServiceStatus.FAILED)
    assert "failed to spawn" in error(api.post(f"/instances/{silent}/action", body), 422, "unprocessableEntity")
    member, without = api.active(), api.active()
    with api.doors.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == member).values(cluster_id="c1"))
        tx.execute(rows.update().where(rows.c.id == without).values(volume_size=None))
    error(api.post(f"/instances/{member}/action", body), 501, "notImplemented")
    result = api.post(f"/instances/{without}/action", body)
    if "volume" in wanted:
        assert "no data volume" in error(result, 400, "badRequest")
    else:
        assert result.status_code == 202


def test_reset_status_is_for_administrators_and_force_delete_for_members(api):
    instance_id = api.insert()
    path = f"/instances/{instance_id}/action"
    error(api.post(path, {"reset_status": {}}), 403, "forbidden")
    assert api.post(path, {"reset_status": {"force_delete": True}}).status_code == 202
    assert api.post(path, {"reset_status": {}}, user="admin").status_code == 202
    error(api.post(path, {"reset_status": {"force_delete": True}}, user="stranger"), 404, "itemNotFound")
    assert api.get(f"/instances/{instance_id}").json["instance"]["status"] == "ERROR"


def test_a_reset_of_what_serves_shows_an_error_until_the_guest_is_heard_again(api):
    instance_id = api.active()
    path = f"/instances/{instance_id}/action"
    api.post(path, {"restart": {}})
    assert api.post(path, {"reset_status": {}}, user="admin").status_code == 202
    shown = api.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["status"], shown["operating_status"]) == ("ACTIVE", "ERROR")
    assert "fault" not in shown
    assert "unknown" in error(api.post(path, {"restart": {}}), 422, "unprocessableEntity")
    api.beat(instance_id, ServiceStatus.HEALTHY)
    assert api.get(f"/instances/{instance_id}").json["instance"]["operating_status"] == "HEALTHY"
    assert api.post(path, {"restart": {}}).status_code == 202


def test_delete_is_accepted_also_while_building_and_once(api):
    instance_id = api.insert()
    result = api.delete(f"/instances/{instance_id}")
    assert (result.status_code, result.text) == (202, "")
    assert api.get(f"/instances/{instance_id}").json["instance"]["status"] == "SHUTDOWN"
    assert "SHUTDOWN" in error(api.delete(f"/instances/{instance_id}"), 422, "unprocessableEntity")


@pytest.mark.parametrize("instance_id", [UNKNOWN, "x", "..", "%00", "a" * 500, "é"])
@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"instance": {"name": "n"}}),
        ("DELETE", "", None),
        ("POST", "/action", {"restart": {}}),
        ("GET", "/databases", None),
        ("POST", "/databases", {"databases": [{"name": "shop"}]}),
        ("GET", "/users", None),
        ("GET", "/root", None),
        ("POST", "/root", None),
        ("DELETE", "/root", None),
        ("GET", "/operations", None),
    ],
)
def test_unknown_instances_are_not_found(api, instance_id, method, tail, body):
    error(api.ask(method, f"/instances/{instance_id}{tail}", body), 404, "itemNotFound")


def test_operations_tell_what_happens(api):
    made = api.post("/instances", {"instance": {**SMALL, "users": [{"name": "app", "password": "S3cretpw"}]}})
    instance_id = made.json["instance"]["id"]
    listed = api.get(f"/instances/{instance_id}/operations")
    assert "S3cretpw" not in listed.text
    (operation,) = listed.json["operations"]
    assert operation["kind"] == "instance.create"
    assert operation["state"] == "PENDING"
    assert operation["resource_id"] == instance_id
    assert operation["request_id"] == made.headers["x-openstack-request-id"]
    assert api.get(f"/operations/{operation['id']}").json == {"operation": operation}
    assert api.get("/operations?state=pending").json["operations"] == [operation]
    assert api.get("/operations?kind=instance.delete").json["operations"] == []
    error(api.get("/operations?state=odd"), 400, "badRequest")
    error(api.get(f"/operations/{operation['id']}", user="stranger"), 404, "itemNotFound")
    assert api.get("/operations", user="stranger").json == {"operations": []}
    seen_by_admin = api.get(f"/operations/{operation['id']}", user="admin")
    assert "args" in seen_by_admin.json["operation"]
    assert "S3cretpw" not in seen_by_admin.text
