"""Who may come in, and what each may do."""

import base64
import json
import os

import pytest
from oslo_policy import opts
from tests.http.bodies import DATASTORE, Things, placeholders
from tests.http.test_instances import error
from tests.support.http_api import OTHER_PROJECT, PASSWORD, PROJECT, USERS, basic, oslo_conf, serving_api, write_accounts

from trove.api.filters import basicauth
from trove.api.policies import enforcement, list_rules
from trove.api.routes import ROUTES

CHANGES = [route for route in ROUTES if route.method != "GET"]
OWNED = {"instance_id", "operation_id", "backup_id", "configuration_id", "cluster_id", "module_id", "group_id", "rule_id"}
"""The placeholders of paths that stand for what belongs to a project."""
OF_PROJECTS = [route for route in ROUTES if OWNED & set(placeholders(route))]
MGMT = [route for route in ROUTES if route.path.startswith("/mgmt")]


def names(routes):
    return [f"{route.method} {route.path}" for route in routes]


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


@pytest.mark.parametrize("route", ROUTES, ids=names(ROUTES))
def test_without_credentials_nothing_is_told(long_lived, route):
    api = long_lived
    things = Things(api)
    path, body = things.address(route), things.body(route)
    error(api.ask(route.method, path, body, user=None), 401, "unauthorized")


@pytest.mark.parametrize("route", ROUTES, ids=names(ROUTES))
def test_nobody_comes_in_by_the_url_of_another_project(long_lived, route):
    api = long_lived
    theirs = Things(api, "stranger")
    for user in ("member", "admin"):
        result = api.ask(route.method, theirs.address(route), theirs.body(route), user=user, project=OTHER_PROJECT)
        error(result, 403, "forbidden")


@pytest.mark.parametrize("route", CHANGES, ids=names(CHANGES))
def test_a_reader_cannot_change_anything(long_lived, route):
    api = long_lived
    things = Things(api)
    path, body = things.address(route), things.body(route)
    instance_id = things["instance_id"]
    before, announced = api.row(instance_id), list(api.announcer.announced)
    result = api.ask(route.method, path, body, user="reader")
    if route in MGMT:
        error(result, 401, "unauthorized")
    else:
        error(result, 403, "forbidden")
    assert api.row(instance_id) == before
    assert api.guests[instance_id].calls == []
    assert api.announcer.announced == announced


@pytest.mark.parametrize("route", MGMT, ids=names(MGMT))
def test_who_is_no_administrator_manages_nothing(long_lived, route):
    api = long_lived
    theirs = Things(api, "stranger")
    result = api.ask(route.method, theirs.address(route), theirs.body(route))
    if route.path == "/mgmt/quotas/{project}" and route.method == "GET":
        error(result, 403, "forbidden")
    else:
        error(result, 401, "unauthorized")


def test_a_reader_sees_what_the_project_has(api):
    instance_id = api.active()
    for path in ("/instances", "/instances/detail", f"/instances/{instance_id}", f"/instances/{instance_id}/users", "/limits"):
        assert api.get(path, user="reader").status_code == 200


@pytest.mark.parametrize("route", OF_PROJECTS, ids=names(OF_PROJECTS))
def test_another_projects_things_are_not_found(long_lived, route):
    api = long_lived
    if route in MGMT:
        return  # for administrators, whom the test above keeps others from
    theirs = Things(api, "stranger")
    path, body = theirs.address(route), theirs.body(route)
    instance_id = theirs["instance_id"]
    before, announced = api.row(instance_id), list(api.announcer.announced)
    calls = list(api.guests[instance_id].calls)
    result = api.ask(route.method, path, body)
    if route.path.endswith("/databases/{name}") and route.method == "GET":
        error(result, 501, "notImplemented")
    else:
        error(result, 404, "itemNotFound")
    assert api.row(instance_id) == before
    assert api.guests[instance_id].calls == calls
    assert api.announcer.announced == announced


NAMING = ["POST /backups", "POST /backup_strategies", "POST /security-group-rules", "POST /instances/{instance_id}/modules"]
"""Routes whose bodies name things by their ids."""


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if f"{route.method} {route.path}" in NAMING], ids=lambda route: route.path
)
def test_another_projects_things_cannot_be_named_in_a_body(long_lived, route):
    api = long_lived
    mine, theirs = Things(api), Things(api, "stranger")
    result = api.ask(route.method, mine.address(route), theirs.body(route))
    assert result.status_code in {400, 404}, result.text


@pytest.mark.parametrize(
    "part",
    [
        lambda theirs: {"replica_of": theirs["instance_id"]},
        lambda theirs: {"restorePoint": {"backupRef": theirs["backup_id"]}},
        lambda theirs: {"configuration": theirs["configuration_id"]},
        lambda theirs: {"modules": [{"id": theirs["module_id"]}]},
    ],
    ids=["replica_of", "restorePoint", "configuration", "modules"],
)
def test_no_instance_is_made_of_another_projects_things(api, part):
    theirs = Things(api, "stranger")
    wanted = {"name": "orders", "flavorRef": "2", "volume": {"size": 2}, "datastore": DATASTORE, **part(theirs)}
    if "replica_of" in wanted:
        del wanted["datastore"]
    result = api.post("/instances", {"instance": wanted})
    assert result.status_code in {400, 404}, result.text
    assert api.get("/instances").json == {"instances": []}


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


def test_accounts_must_make_sense(tmp_path):
    user_file, roles_file = write_accounts(tmp_path)
    for broken in ("[]", json.dumps({"member": {"roles": []}}), json.dumps({"member": "admin"})):
        roles_file.write_text(broken)
        with pytest.raises(ValueError, match=r"roles\.json"):
            basicauth.Accounts(user_file, roles_file)
