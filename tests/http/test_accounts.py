"""Databases, users, grants and root, in conversation with a guest."""

from urllib.parse import parse_qsl, quote, urlparse

import pytest
from tests.http.test_instances import error
from tests.support.http_api import PASSWORD, serving_api

from trove.core.errors import GuestError, Unavailable
from trove.core.status import ServiceStatus
from trove.operations.doors import Settings

NAMES = ["shop", "a'b\"c`d", "100%_é", "ключ", "x" * 64, "semi;colon", "back\\slash", "dot.ted", "sp ace", "q?a#b&c=d+e"]


def test_databases_come_and_go(api):
    path = f"/instances/{api.active()}/databases"
    assert api.get(path).json == {"databases": []}
    result = api.post(path, {"databases": [{"name": "shop", "character_set": "utf8mb4"}, {"name": "blog"}]})
    assert (result.status_code, result.text) == (202, "")
    assert api.get(path).json == {"databases": [{"name": "blog"}, {"name": "shop"}]}
    assert api.delete(f"{path}/shop").status_code == 202
    assert api.get(path).json == {"databases": [{"name": "blog"}]}
    error(api.delete(f"{path}/shop"), 404, "itemNotFound")
    error(api.post(path, {"databases": [{"name": "blog"}]}), 400, "badRequest")
    error(api.get(f"{path}/blog"), 501, "notImplemented")


def test_openstacksdk_sends_one_database_singly(api):
    path = f"/instances/{api.active()}/databases"
    assert api.post(path, {"database": {"name": "shop", "character_set": "utf8mb4"}}).status_code == 202
    assert api.get(path).json == {"databases": [{"name": "shop"}]}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_accepted_can_be_addressed(api, name):
    instance_id = api.active()
    databases, users = f"/instances/{instance_id}/databases", f"/instances/{instance_id}/users"
    assert api.post(databases, {"databases": [{"name": name}]}).status_code == 202
    body = {"users": [{"name": name, "password": "p'w\"%`\\", "databases": [{"name": name}]}]}
    accepted = api.post(users, body)
    if accepted.status_code == 400:
        assert name in accepted.json["badRequest"]["message"].replace("\\\\", "\\").replace('\\"', '"').replace("\\'", "'")
    else:
        assert accepted.status_code == 202
        user = f"{users}/{quote(name, safe='').replace('.', '%2e')}"
        assert api.get(user).json["user"]["name"] == name
        assert api.get(f"{user}/databases").json == {"databases": [{"name": name}]}
        assert api.delete(f"{user}/databases/{quote(name, safe='')}").status_code == 202
        assert api.delete(f"{user}@").status_code == 202
    assert api.delete(f"{databases}/{quote(name, safe='')}").status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {"databases": [{"name": "mysql"}]},
        {"databases": [{"name": ""}]},
        {"databases": [{"name": "a/b"}]},
        {"databases": [{"name": "x" * 65}]},
        {"databases": [{"name": "x" * 256}]},
        {"databases": [{"name": "shop"}, {"name": "shop"}]},
        {"databases": [{"name": "shop", "character_set": "klingon"}]},
        {"databases": [{"name": "shop", "collate": 7}]},
        {"databases": [{}]},
        {"databases": []},
        {"databases": {}},
        {"databases": None},
        {"database": []},
        {"other": 1},
        {},
        [],
    ],
)
def test_wrong_databases_never_reach_the_guest(api, body):
    instance_id = api.active()
    error(api.post(f"/instances/{instance_id}/databases", body), 400, "badRequest")
    assert api.guests[instance_id].calls == []


def test_pages_of_users_follow_their_links_as_python_troveclient_does(api):
    path = f"/instances/{api.active()}/users"
    names = ["50%", "a&b", "a+b", "a b", "zoë"]
    api.post(path, {"users": [{"name": name, "password": "pw"} for name in names]})
    seen, marker = [], None
    for _ in range(10):
        # The client puts the marker into the URL as it found it in the decoded link.
        page = api.get(f"{path}?limit=2" + (f"&marker={marker}" if marker else "")).json
        seen += [user["name"] for user in page["users"]]
        if "links" not in page:
            break
        marker = dict(parse_qsl(urlparse(page["links"][0]["href"]).query))["marker"]
    assert sorted(seen) == sorted(names)


def test_users_come_change_and_go(api):
    instance_id = api.active()
    path = f"/instances/{instance_id}/users"
    api.post(f"/instances/{instance_id}/databases", {"databases": [{"name": "shop"}, {"name": "blog"}]})
    new = [
        {"name": "app", "password": "S3cretpw", "databases": [{"name": "shop"}]},
        {"name": "app", "password": "S3cretpw", "host": "10.0.0.%", "databases": ["blog"]},
    ]
    result = api.post(path, {"users": new})
    assert (result.status_code, result.text) == (202, "")
    listed = api.get(path)
    assert listed.json["users"] == [
        {"name": "app", "host": "%", "databases": [{"name": "shop"}]},
        {"name": "app", "host": "10.0.0.%", "databases": [{"name": "blog"}]},
    ]
    assert "S3cretpw" not in listed.text
    assert api.get(f"{path}/app@10%2e0%2e0.%25").json == {"user": listed.json["users"][1]}
    error(api.post(path, {"users": new[:1]}), 400, "badRequest")
    assert api.put(path, {"users": [{"name": "app", "password": "other", "host": None}]}).status_code == 202
    assert api.guests[instance_id].users["app", "%"]["password"] == "other"
    error(api.put(path, {"users": [{"name": "ghost", "password": "other"}]}), 404, "itemNotFound")
    assert api.put(f"{path}/app", {"user": {"name": "web", "password": "third"}}).status_code == 202
    assert api.guests[instance_id].users["web", "%"]["password"] == "third"
    error(api.put(f"{path}/web", {"user": {"name": "app", "host": "10.0.0.%"}}), 400, "badRequest")
    error(api.put(f"{path}/app", {"user": {"name": "x"}}), 404, "itemNotFound")
    assert api.delete(f"{path}/web@%25").status_code == 202
    error(api.delete(f"{path}/web"), 404, "itemNotFound")
    error(api.get(f"{path}/root"), 400, "badRequest")
    error(api.delete(f"{path}/os_admin"), 400, "badRequest")


def test_openstacksdk_creates_one_user_by_its_name_in_the_path(api):
    path = f"/instances/{api.active()}/users"
    assert api.post(f"{path}/app", {"users": {"name": "app", "password": "S3cretpw"}}).status_code == 202
    assert api.get(f"{path}/app").status_code == 200
    error(api.post(f"{path}/app", {"users": {"name": "other", "password": "S3cretpw"}}), 400, "badRequest")


def test_access_is_granted_listed_and_revoked(api):
    instance_id = api.active()
    api.post(f"/instances/{instance_id}/databases", {"databases": [{"name": "shop"}]})
    api.post(f"/instances/{instance_id}/users", {"users": [{"name": "app", "password": "S3cretpw"}]})
    path = f"/instances/{instance_id}/users/app/databases"
    assert api.get(path).json == {"databases": []}
    assert api.put(path, {"databases": [{"name": "shop"}]}).status_code == 202
    assert api.get(path).json == {"databases": [{"name": "shop"}]}
    error(api.put(path, {"databases": [{"name": "ghost"}]}), 404, "itemNotFound")
    assert api.delete(f"{path}/shop").status_code == 202
    error(api.delete(f"{path}/shop"), 404, "itemNotFound")


@pytest.mark.parametrize(
    "user",
    [
        {"name": "root", "password": "pw"},
        {"name": "os_admin", "password": "pw"},
        {"name": "app"},
        {"password": "pw"},
        {"name": "app", "password": ""},
        {"name": "app", "password": "hunter2\n"},
        {"name": "app", "password": 12345678},
        {"name": "app", "password": ["hunter2"]},
        {"name": "app", "password": "hunter2" * 50},
        {"name": "app", "password": "pw", "host": "not a host"},
        {"name": "app", "password": "pw", "host": "example.com"},
        {"name": "app", "password": "pw", "databases": "shop"},
        {"name": "app", "password": "pw", "databases": [{}]},
        {"name": "app", "password": "pw", "databases": [{"name": "mysql"}]},
        {"name": "app " * 50, "password": "pw"},
        {"name": "..", "password": "pw"},
        "app",
    ],
)
def test_wrong_users_never_reach_the_guest_and_passwords_are_not_repeated(api, user, caplog):
    instance_id = api.active()
    result = api.post(f"/instances/{instance_id}/users", {"users": [user]})
    error(result, 400, "badRequest")
    assert "hunter2" not in result.text + caplog.text
    assert "12345678" not in result.text + caplog.text
    assert api.guests[instance_id].calls == []


@pytest.mark.parametrize(
    "user", [{}, {"name": None}, {"host": ""}, {"password": 5}, "x", {"name": "root"}, {"host": "nowhere"}]
)
def test_wrong_changes_of_a_user(api, user):
    instance_id = api.active()
    error(api.put(f"/instances/{instance_id}/users/app", {"user": user}), 400, "badRequest")
    assert api.guests[instance_id].calls == []


def test_root_is_enabled_again_and_disabled(api):
    instance_id = api.active()
    path = f"/instances/{instance_id}/root"
    assert api.get(path).json == {"rootEnabled": False}
    error(api.delete(path), 404, "itemNotFound")
    made = api.post(path)
    assert made.status_code == 200
    assert made.json["user"]["name"] == "root"
    assert len(made.json["user"]["password"]) == 36
    assert api.guests[instance_id].root == made.json["user"]["password"]
    assert api.get(path).json == {"rootEnabled": True}
    assert api.post(path, {"password": "chosen one"}).json == {"user": {"name": "root", "password": "chosen one"}}
    assert api.post(path, {}).json["user"]["password"] != made.json["user"]["password"]
    result = api.delete(path)
    assert (result.status_code, result.text) == (204, "")
    assert api.get(path).json == {"rootEnabled": False}
    assert api.guests[instance_id].root is None


@pytest.mark.parametrize("body", [{"password": ""}, {"password": 5}, {"password": "line\nbreak"}, []])
def test_wrong_root_passwords(api, body):
    error(api.post(f"/instances/{api.active()}/root", body), 400, "badRequest")


@pytest.mark.parametrize(
    ("status", "shown"),
    [(ServiceStatus.SHUTDOWN, "SHUTDOWN"), (ServiceStatus.CRASHED, "SHUTDOWN"), (ServiceStatus.RESTARTING, "RESTARTING")],
)
def test_a_database_that_does_not_serve_is_not_asked(api, status, shown):
    instance_id = api.active()
    api.beat(instance_id, status)
    for path in ("databases", "users", "users/app", "users/app/databases", "root"):
        assert shown in error(api.get(f"/instances/{instance_id}/{path}"), 422, "unprocessableEntity")
    assert api.guests[instance_id].calls == []


def test_an_instance_that_is_built_is_not_asked(api):
    assert "BUILD" in error(api.get(f"/instances/{api.insert()}/users"), 422, "unprocessableEntity")


def test_a_silent_guest_is_unavailable_and_does_not_hang(tmp_path):
    with serving_api(tmp_path, operations=Settings(default_datastore="mariadb", guest_call_timeout_s=0.05)) as api:
        error(api.get(f"/instances/{api.active(guest=False)}/users"), 503, "serviceUnavailable")


@pytest.mark.parametrize(
    ("fault", "code", "key"),
    [
        (GuestError("disk full"), 400, "badRequest"),
        (Unavailable("the server does not answer"), 503, "serviceUnavailable"),
        (ValueError(PASSWORD), 400, "badRequest"),
    ],
)
def test_what_the_guest_says_becomes_an_answer(api, fault, code, key):
    instance_id = api.active()
    api.guests[instance_id].fault = fault
    message = error(api.get(f"/instances/{instance_id}/users"), code, key)
    assert PASSWORD not in message
