"""Backup strategies: which container backups go to, chosen once."""

import pytest
from tests.support.http_api import OTHER_PROJECT, PROJECT

PATH = "/backup_strategies"
UNKNOWN = "c0ffee00-0000-4000-8000-000000000000"


def error(answer, key):
    return answer.json[key]["message"]


def put(api, container, instance_id=None, **options):
    body = {"swift_container": container} | ({"instance_id": instance_id} if instance_id else {})
    return api.post(PATH, {"backup_strategy": body}, **options)


def listed(api, query="", **options):
    answer = api.get(PATH + query, **options)
    assert answer.status_code == 200, answer.text
    return [(each["instance_id"], each["swift_container"]) for each in answer.json["backup_strategies"]]


def test_a_strategy_is_stored_replaced_listed_and_deleted(api):
    orders = api.active()
    answer = put(api, "weekly", orders)
    assert answer.status_code == 202
    assert answer.json == {
        "backup_strategy": {"project_id": PROJECT, "instance_id": orders, "backend": "swift", "swift_container": "weekly"}
    }
    assert put(api, "all").json["backup_strategy"]["instance_id"] == ""
    put(api, "daily", orders)
    assert listed(api) == [("", "all"), (orders, "daily")]
    assert listed(api, f"?instance_id={orders}") == [(orders, "daily")]
    assert api.delete(f"{PATH}?instance_id={orders}").status_code == 202
    assert listed(api) == [("", "all")]
    for _ in range(2):
        assert api.delete(PATH).status_code == 202
    assert listed(api) == []


def test_those_of_others_are_for_administrators(api):
    put(api, "theirs", user="stranger")
    theirs = f"?project_id={OTHER_PROJECT}"
    assert listed(api) == []
    for answer in (api.get(PATH + theirs), api.delete(PATH + theirs)):
        assert answer.status_code == 403
        assert OTHER_PROJECT in error(answer, "forbidden")
    assert listed(api, theirs, user="admin") == [("", "theirs")]
    assert api.delete(PATH + theirs, user="admin").status_code == 202
    assert listed(api, user="stranger") == []
    assert put(api, "x", user="reader").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instance_id": UNKNOWN},
        {"swift_container": ""},
        {"swift_container": "a b"},
        {"swift_container": None},
        {"swift_container": "c", "instance_id": "x"},
        {"swift_container": "c", "backend": "swift"},
    ],
)
def test_other_keys_and_bad_values_are_refused(api, body):
    assert api.post(PATH, {"backup_strategy": body}).status_code == 400
    assert listed(api) == []


def test_an_instance_must_be_there(api):
    orders = api.active()
    assert put(api, "c", UNKNOWN).status_code == 404
    assert put(api, "c", orders, user="stranger").status_code == 404
    assert listed(api) == []
