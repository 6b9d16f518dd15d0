"""What may be configured of a datastore version, as tenants see it, and as administrators change it."""

import pytest
from tests.http.test_instances import error as fault

from trove.api.faults import KEYS
from trove.core.ids import new_id

PARAMETER = {"name": "new_one", "data_type": "integer", "restart_required": 0, "min_size": 1, "max_size": 9}


def refused(result, code):
    """Check the shape of an error and return its message."""
    return fault(result, code, KEYS[code])


@pytest.fixture
def mgmt(api):
    return f"/mgmt/datastores/versions/{api.version_id}/parameters"


def wrapped(**changes):
    given = {**PARAMETER, **changes}
    return {"configuration-parameter": {key: value for key, value in given.items() if value is not None}}


def names(result):
    assert result.status_code == 200, result.text
    return [each["name"] for each in result.json["configuration-parameters"]]


def shown(api, name):
    return api.get(f"/datastores/versions/{api.version_id}/parameters/{name}")


def test_parameters_are_found_below_the_datastore_and_by_the_versions_id(api):
    below = api.get("/datastores/mariadb/versions/10.11/parameters", user="reader")
    by_id = api.get(f"/datastores/versions/{api.version_id}/parameters", user="reader")
    assert below.json == by_id.json
    assert names(below) == sorted(names(below))
    assert len(names(below)) > 40
    one = api.get("/datastores/mariadb/versions/10.11/parameters/max_connections", user="reader")
    assert one.json == shown(api, "MAX_Connections").json == {
        "name": "max_connections",
        "datastore_version_id": api.version_id,
        "restart_required": False,
        "type": "integer",
        "min": 10,
        "max": 100000,
    }  # fmt: skip


def test_bounds_have_the_type_of_the_parameter_and_are_left_out_where_there_are_none(api):
    assert shown(api, "long_query_time").text.count('"min":0.0') == 1
    assert '"min":0,' in shown(api, "innodb_autoinc_lock_mode").text
    assert shown(api, "innodb_autoinc_lock_mode").json["restart_required"] is True
    assert not {"min", "max"} & set(shown(api, "sql_mode").json)
    assert shown(api, "autocommit").json["type"] == "boolean"


def test_what_is_unknown_is_not_found(api):
    for path in (
        f"/datastores/versions/{api.version_id}/parameters/no_such",
        f"/datastores/versions/{new_id()}/parameters",
        "/datastores/versions/no-id/parameters",
        "/datastores/mariadb/versions/9.9/parameters",
        "/datastores/nosuch/versions/10.11/parameters",
    ):
        assert api.get(path).status_code == 404, path


def test_the_parameters_of_an_inactive_version_are_shown(api):
    api.offer_everything()
    assert "max_connections" in names(api.get("/datastores/everything/versions/2.0/parameters"))


@pytest.mark.parametrize("user", ["member", "reader", "nobody"])
def test_only_administrators_manage_them(api, mgmt, user):
    for method, path, body in (
        ("GET", mgmt, None),
        ("POST", mgmt, wrapped()),
        ("GET", f"{mgmt}/max_connections", None),
        ("PUT", f"{mgmt}/max_connections", wrapped()),
        ("DELETE", f"{mgmt}/max_connections", None),
    ):
        assert refused(api.ask(method, path, body, user=user), 401)
    assert names(api.get(mgmt, user="admin")) == names(api.get("/datastores/mariadb/versions/10.11/parameters"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, {"type": "integer", "min": 1, "max": 9, "min_size": 1, "max_size": 9}),
        ({"min_size": None, "max_size": None, "min": "0", "max": "7"}, {"min": 0, "max": 7, "min_size": 0, "max_size": 7}),
        ({"data_type": "boolean", "min_size": None, "max_size": None, "restart_required": 1}, {"restart_required": True}),
        ({"data_type": "float", "min_size": 0.5, "max_size": None}, {"type": "float", "min": 0.5}),
        ({"data_type": "string", "min_size": None, "restart_required": True}, {"type": "string", "max": 9}),
        ({"data_type": "list", "min_size": None, "max_size": None}, {"type": "list"}),
    ],
)
def test_an_administrator_adds_a_parameter_of_any_type(api, mgmt, given, told):
    made = api.post(mgmt, wrapped(**given), user="admin")
    assert made.status_code == 200, made.text
    assert {key: made.json[key] for key in told} == told
    assert api.get(f"{mgmt}/new_one", user="admin").json == made.json
    assert shown(api, "new_one").json["type"] == made.json["type"]
    assert "already" in refused(api.post(mgmt, wrapped(**given | {"name": "NEW_one"}), user="admin"), 400)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"data_type": "integer or so"}, "data_type"),
        ({"restart_required": 2}, "restart_required"),
        ({"restart_required": None}, "restart_required"),
        ({"max_size": None}, "both min_size and max_size"),
        ({"min_size": 10}, "less than"),
        ({"min_size": "x"}, "min_size"),
        ({"min_size": 0.5}, "whole number"),
        ({"max_size": 10**30}, "max_size"),
        ({"data_type": "boolean"}, "no min_size"),
        ({"name": "max_connections"}, "already"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(api, mgmt, given, words):
    assert words in refused(api.post(mgmt, wrapped(**given), user="admin"), 400)
    assert "new_one" not in names(api.get(mgmt, user="admin"))


def test_an_administrator_changes_and_removes_a_shipped_parameter_and_adds_it_again(api, mgmt):
    narrow = wrapped(name="max_connections", restart_required=1, min_size=20, max_size=30)
    changed = api.put(f"{mgmt}/MAX_connections", narrow, user="admin")
    assert changed.status_code == 200, changed.text
    assert shown(api, "max_connections").json == {
        "name": "max_connections",
        "datastore_version_id": api.version_id,
        "restart_required": True,
        "type": "integer",
        "min": 20,
        "max": 30,
    }
    assert api.delete(f"{mgmt}/max_connections", user="admin").status_code == 204
    assert shown(api, "max_connections").status_code == 404
    assert api.delete(f"{mgmt}/max_connections", user="admin").status_code == 404
    assert api.put(f"{mgmt}/max_connections", narrow, user="admin").status_code == 404
    assert api.post(mgmt, narrow, user="admin").status_code == 200
    assert shown(api, "max_connections").json["max"] == 30
    assert refused(api.put(f"{mgmt}/max_connections", wrapped(name="other"), user="admin"), 400)


def test_what_was_added_is_removed_for_good(api, mgmt):
    before = names(api.get(mgmt, user="admin"))
    assert api.post(mgmt, wrapped(), user="admin").status_code == 200
    assert api.delete(f"{mgmt}/new_one", user="admin").status_code == 204
    assert names(api.get(mgmt, user="admin")) == before
