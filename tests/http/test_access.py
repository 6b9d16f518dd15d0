"""Who may come in, and what each may do."""

import base64
import json
import os

import pytest
from oslo_policy import opts
from tests.http.test_instances import SMALL, error
from tests.support.http_api import PASSWORD, PROJECT, USERS, basic, oslo_conf, serving_api, write_accounts

from trove.api.filters import basicauth
from trove.api.policies import enforcement, list_rules
from trove.api.routes import ROUTES
from trove.core.ids import new_id

BODIES = {
    "/instances": {"instance": SMALL},
    "/instances/{instance_id}": {"instance": {"name": "mine now"}},
    "/instances/{instance_id}/action": {"restart": {}},
    "/instances/{instance_id}/databases": {"databases": [{"name": "shop"}]},
    "/instances/{instance_id}/users": {"users": [{"name": "app", "password": "pw"}]},
    "/instances/{instance_id}/users/{user}": {"users": {"name": "app", "password": "pw"}, "user": {"name": "web"}},
    "/instances/{instance_id}/users/{user}/databases": {"databases": [{"name": "shop"}]},
    "/instances/{instance_id}/root": {},
    "/operations/{operation_id}/action": {"cancel": {}},
}
CHANGES = [route for route in ROUTES if route.method != "GET"]
OF_INSTANCES = [route for route in ROUTES if "{instance_id}" in route.path]


def names(routes):
    return [f"{route.method} {route.path}" for route in routes]


def address(route, instance_id):
    return route.path.format(
        instance_id=instance_id,
        user="app",
        name="shop",
        database="shop",
        datastore="mariadb",
        version="10.11",
        version_id=new_id(),
        flavor_id="1",
        operation_id=new_id(),
    )


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Bearer token",
        basic("member", "wrong"),
        basic("member", ""),
        basic("member", PASSWORD + " "),
        basic("member", "x" * 100),
        basic("ghost"),
        basic("mem\x00ber"),
    ],
)
def test_without_the_right_password_nobody_comes_in(api, header):
    result = api.get("/instances", user=None, headers={"Authorization": header})
    error(result, 401, "unauthorized")
    assert result.headers["www-authenticate"].startswith("Basic realm=")
    assert result.headers["x-openstack-request-id"].startswith("req-")


def test_identity_headers_of_the_client_are_worth_nothing(api):
    forged = {
        "X-Identity-Status": "Confirmed",
        "X-Project-Id": PROJECT,
        "X-Tenant-Id": PROJECT,
        "X-User-Id": "u",
        "X-Roles": "admin",
        "X-Role": "admin",
    }
    error(api.get("/instances", user=None, headers=forged), 401, "unauthorized")
    foreign = api.active(project_id="p2", guest=False)
    error(api.get(f"/instances/{foreign}", headers=forged), 404, "itemNotFound")
    error(api.get("/instances", headers={**forged, "X-Project-Id": "p2"}, project="p2"), 403, "forbidden")


@pytest.mark.parametrize("user", ["member", "admin"])
@pytest.mark.parametrize("project", ["p2", "p", "P1", "", "p1 "])
def test_the_project_of_the_url_must_be_the_callers(api, user, project):
    error(api.get("/instances", user=user, project=project), 403, "forbidden")


def test_who_has_no_role_may_see_flavors_only(api):
    assert api.get("/flavors", user="nobody").status_code == 200
    assert api.get("/datastores", user="nobody").status_code == 200
    for path in ("/instances", "/limits", "/operations"):
        error(api.get(path, user="nobody"), 403, "forbidden")


@pytest.mark.parametrize("route", CHANGES, ids=names(CHANGES))
def test_a_reader_cannot_change_anything(api, route):
    instance_id = api.active()
    before = api.row(instance_id)
    error(api.ask(route.method, address(route, instance_id), BODIES.get(route.path), user="reader"), 403, "forbidden")
    assert api.row(instance_id) == before
    assert api.guests[instance_id].calls == []
    assert api.announcer.announced == []


def test_a_reader_sees_what_the_project_has(api):
    instance_id = api.active()
    for path in ("/instances", "/instances/detail", f"/instances/{instance_id}", f"/instances/{instance_id}/users", "/limits"):
        assert api.get(path, user="reader").status_code == 200


@pytest.mark.parametrize("route", OF_INSTANCES, ids=names(OF_INSTANCES))
def test_another_projects_instance_is_not_found(api, route):
    instance_id = api.active(project_id="p2")
    before = api.row(instance_id)
    result = api.ask(route.method, address(route, instance_id), BODIES.get(route.path))
    if route.handler.__name__ == "show" and route.path.endswith("{name}"):
        error(result, 501, "notImplemented")
    else:
        error(result, 404, "itemNotFound")
    assert api.row(instance_id) == before
    assert api.guests[instance_id].calls == []


def test_every_route_has_a_rule_that_exists(api):
    known = {rule.name for rule in list_rules()}
    assert {route.rule for route in ROUTES if route.rule} <= known


def test_policy_file_overrides_and_is_read_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(enforcement, "RELOAD_EVERY_S", 0.0)
    policy = tmp_path / "policy.yaml"
    policy.write_text('"instance:index": "role:admin"\n')
    conf = oslo_conf()
    opts._register(conf)
    conf.set_override("policy_file", str(policy), group="oslo_policy")
    with serving_api(tmp_path, conf=conf) as api:
        error(api.get("/instances"), 403, "forbidden")
        assert api.get("/instances", user="admin").status_code == 200
        policy.write_text('"instance:index": "role:member"')
        os.utime(policy, (2e9, 2e9))
        assert api.get("/instances").status_code == 200
        error(api.get("/instances", user="admin"), 403, "forbidden")
        policy.write_text("{ this is no policy")
        os.utime(policy, (2e9 + 1, 2e9 + 1))
        assert api.get("/instances").status_code == 200
        assert "Keeping the policy" in caplog.text


def test_who_guesses_waits_but_who_is_known_does_not(api):
    assert api.get("/instances").status_code == 200
    for _ in range(basicauth.FREE_FAILURES + 1):
        error(api.get("/instances", user=None, headers={"Authorization": basic("member", "guess")}), 401, "unauthorized")
    result = api.get("/instances", user=None, headers={"Authorization": basic("member", "guess")})
    assert result.status_code == 413
    assert result.json["overLimit"]["code"] == 413
    assert int(result.headers["retry-after"]) == int(result.json["overLimit"]["retryAfter"]) > 0
    assert api.get("/instances").status_code == 200
    assert api.get("/flavors", user="reader").status_code == 200


def test_a_changed_password_file_counts_at_once_and_a_broken_one_is_ignored(api, monkeypatch, caplog):
    monkeypatch.setattr(basicauth, "LOOK_AT_FILES_EVERY_S", 0.0)
    assert api.get("/instances").status_code == 200
    users = api.settings.basic_user_file
    users.write_text("member:plain\n")
    assert api.get("/instances").status_code == 200
    assert "Keeping the accounts" in caplog.text
    write_accounts(users.parent, {"reader": USERS["reader"]})
    error(api.get("/instances"), 401, "unauthorized")
    assert api.get("/instances", user="reader").status_code == 200


def test_passwords_are_verified_by_bcrypt_only_once(api, monkeypatch):
    asked = []
    real = basicauth.bcrypt.checkpw
    monkeypatch.setattr(basicauth.bcrypt, "checkpw", lambda *args: asked.append(1) or real(*args))
    for _ in range(5):
        assert api.get("/flavors").status_code == 200
    assert len(asked) == 1


def test_rates_are_kept_and_shown(tmp_path):
    with serving_api(tmp_path, rates={"GET": 2, "POST": 0}) as api:
        limits = api.get("/limits").json["limits"]
        assert [each["verb"] for each in limits] == ["ABSOLUTE", "GET"]
        assert limits[1]["remaining"] == 1
        assert limits[1]["nextAvailable"].endswith("Z")
        assert api.get("/flavors").status_code == 200
        result = api.get("/flavors")
        assert result.status_code == 413
        assert set(result.json["overLimit"]) == {"code", "message", "details", "retryAfter"}
        assert result.headers["retry-after"] == result.json["overLimit"]["retryAfter"]
        assert api.get("/flavors", user="stranger").status_code == 200
        assert api.post("/instances", {}).status_code == 400


def test_accounts_must_make_sense(tmp_path):
    user_file, roles_file = write_accounts(tmp_path)
    for broken in ("[]", json.dumps({"member": {"roles": []}}), json.dumps({"member": "admin"})):
        roles_file.write_text(broken)
        with pytest.raises(ValueError, match=r"roles\.json"):
            basicauth.Accounts(user_file, roles_file)
