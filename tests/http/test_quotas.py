"""Quotas: everybody sees the own project's, administrators see and set any; what is set holds at once."""

import logging

import pytest
from tests.http.test_instances import SMALL, error
from tests.support.http_api import OTHER_PROJECT, PROJECT

from trove.core.quotas import UNLIMITED, Resource
from trove.store import quotas

MINE = f"/mgmt/quotas/{PROJECT}"
THEIRS = f"/mgmt/quotas/{OTHER_PROJECT}"


def test_everybody_sees_the_own_projects_quotas(api):
    assert api.post("/instances", {"instance": SMALL}).status_code == 200
    for user in ("reader", "member", "admin"):
        assert api.get(MINE, user=user).json == {
            "quotas": [
                {"resource": "instances", "in_use": 0, "reserved": 1, "limit": 10},
                {"resource": "ram", "in_use": 0, "reserved": 512, "limit": UNLIMITED},
                {"resource": "volumes", "in_use": 0, "reserved": 1, "limit": 1000},
                {"resource": "backups", "in_use": 0, "reserved": 0, "limit": 50},
            ]
        }


def test_other_projects_are_for_administrators(api):
    assert api.get(THEIRS, user="admin").json["quotas"][0] == {"resource": "instances", "in_use": 0, "reserved": 0, "limit": 10}
    for user in ("member", "reader"):
        error(api.get(THEIRS, user=user), 403, "forbidden")
    error(api.get(MINE, user="nobody"), 403, "forbidden")
    error(api.get(MINE, user="stranger"), 403, "forbidden")


@pytest.mark.parametrize("user", ["member", "reader", "nobody"])
def test_only_administrators_set_them(api, user):
    error(api.put(MINE, {"quotas": {"instances": -1}}, user=user), 401, "unauthorized")
    assert api.get(MINE, user="admin").json["quotas"][0]["limit"] == 10


def test_what_is_set_holds_at_once_and_nulls_change_nothing(api, caplog):
    caplog.set_level(logging.INFO)
    body = {"quotas": {"instances": 1, "volumes": None, "ram": -1, "xmlns": "http://x"}}
    answer = api.put(MINE, body, user="admin")
    assert (answer.status_code, answer.json) == (200, {"quotas": {"instances": 1, "ram": -1}})
    limits = {each["resource"]: each["limit"] for each in api.get(MINE).json["quotas"]}
    assert limits == {"instances": 1, "ram": UNLIMITED, "volumes": 1000, "backups": 50}
    assert api.get("/limits").json["limits"][0]["max_instances"] == 1
    assert api.post("/instances", {"instance": SMALL}).status_code == 200
    assert "instances" in error(api.post("/instances", {"instance": SMALL}), 413, "overLimit")
    assert api.put(MINE, {"quotas": {"instances": 2}}, user="admin").status_code == 200
    assert api.post("/instances", {"instance": SMALL}).status_code == 200
    told = [each.message for each in caplog.records if each.message.startswith("Audit")]
    assert told == [
        f"Audit: user admin of project {PROJECT} set quotas of project {PROJECT}: instances=1, ram=-1",
        f"Audit: user admin of project {PROJECT} set quotas of project {PROJECT}: instances=2",
    ]


@pytest.mark.parametrize(
    ("body", "code", "key"),
    [
        ({"quotas": {"instances": -2}}, 400, "badRequest"),
        ({"quotas": {"instances": 1, "volumes": -2}}, 400, "badRequest"),
        ({"quotas": {"instances": 1, "floppies": 3}}, 404, "itemNotFound"),
        ({"quotas": {"instances": 1.5}}, 400, "badRequest"),
        ({"quotas": {"instances": True}}, 400, "badRequest"),
        ({"quotas": {"instances": "many"}}, 400, "badRequest"),
        ({"quotas": {"instances": 2**63}}, 400, "badRequest"),
        ({"quotas": [1]}, 400, "badRequest"),
        ({"quotas": None}, 400, "badRequest"),
        ({}, 400, "badRequest"),
        (None, 400, "badRequest"),
    ],
)
def test_what_is_wrong_changes_nothing(api, body, code, key):
    before = api.get(THEIRS, user="admin").json
    error(api.put(THEIRS, body, user="admin"), code, key)
    assert api.get(THEIRS, user="admin").json == before


@pytest.mark.parametrize("project", ["x" * 65, "a%20b", "a%0aAudit:", "%00", "caf%C3%A9", "a'"])
def test_what_can_be_no_project_is_refused(api, project):
    code, key = (404, "itemNotFound") if project == "%00" else (400, "badRequest")
    error(api.get(f"/mgmt/quotas/{project}", user="admin"), code, key)
    error(api.put(f"/mgmt/quotas/{project}", {"quotas": {"instances": 1}}, user="admin"), code, key)
    error(api.get(f"/mgmt/accounts/{project}", user="admin"), code, key)


def test_setting_nothing_is_no_error(api):
    assert api.put(THEIRS, {"quotas": {}}, user="admin").json == {"quotas": {}}
    with api.doors.database.reading() as tx:
        assert [each.limit for each in quotas.limits_of(tx, OTHER_PROJECT, dict.fromkeys(Resource, 7))] == [7] * 4
