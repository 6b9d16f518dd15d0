"""A user who asks too often, as the user sees it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.http.test_instances import error
from tests.support.http_api import PROJECT, USERS, serving_api

RATES = {"GET": 3, "POST": 1, "PUT": 1, "PATCH": 1, "DELETE": 1, "MGMT_POST": 2}


@pytest.fixture
def api(tmp_path: Path):
    with serving_api(tmp_path, rates=RATES, rate_storage=f"file://{tmp_path}/rates") as found:
        yield found


def test_limits_show_what_is_left_of_each_rate(api):
    absolute, *rates = api.get("/limits").json["limits"]
    assert absolute["verb"] == "ABSOLUTE"
    now = datetime.now(UTC)
    for rate in rates:
        available = datetime.strptime(rate.pop("nextAvailable"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert abs((available - now).total_seconds()) < 5
    every = {"uri": "*", "regex": ".*", "unit": "MINUTE"}
    assert rates == [
        {"verb": "GET", "value": 3, "remaining": 2, **every},
        {"verb": "POST", "value": 1, "remaining": 1, **every},
        {"verb": "PUT", "value": 1, "remaining": 1, **every},
        {"verb": "PATCH", "value": 1, "remaining": 1, **every},
        {"verb": "DELETE", "value": 1, "remaining": 1, **every},
        {"verb": "POST", "uri": "*/mgmt/*", "regex": "^/v1.0/[^/]+/mgmt/", "unit": "MINUTE", "value": 2, "remaining": 2},
    ]
    api.delete("/instances/none")
    rates = {rate["verb"]: rate for rate in api.get("/limits").json["limits"][1:6]}
    assert (rates["GET"]["remaining"], rates["DELETE"]["remaining"], rates["PUT"]["remaining"]) == (1, 0, 1)
    assert rates["DELETE"]["nextAvailable"] > rates["PUT"]["nextAvailable"]


def test_what_is_beyond_a_rate_is_refused_with_the_time_to_wait(api):
    assert [api.get("/flavors").status_code for _ in range(3)] == [200, 200, 200]
    refused = api.get("/flavors")
    assert refused.status_code == 413
    fault = refused.json["overLimit"]
    assert set(fault) == {"code", "message", "details", "retryAfter"}
    assert fault["code"] == 413
    assert "3 GET requests a minute" in fault["message"]
    assert fault["details"] == "GET * rate"
    assert refused.headers["Retry-After"] == fault["retryAfter"]
    assert 1 <= int(fault["retryAfter"]) <= 120


def test_head_counts_as_get_and_patch_by_itself(api):
    assert [api.ask("HEAD", "/flavors").status_code == 413 for _ in range(4)] == [False, False, False, True]
    assert api.get("/flavors").status_code == 413
    assert [api.ask("PATCH", "/instances/none", {}).status_code == 413 for _ in range(2)] == [False, True]
    assert api.put("/instances/none", {}).status_code != 413


def test_management_posts_have_a_rate_of_their_own(api):
    assert [api.post("/mgmt/nothing", {}, user="admin").status_code == 413 for _ in range(3)] == [False, False, True]
    assert api.post("/nothing", {}, user="admin").status_code != 413
    assert api.post("/nothing", {}, user="admin").status_code == 413


def test_users_of_one_project_do_not_use_up_each_others_rate(api):
    assert USERS["reader"]["project"] == USERS["member"]["project"] == PROJECT
    assert [api.get("/flavors").status_code for _ in range(4)][-1] == 413
    assert api.get("/flavors", user="reader").status_code == 200


def test_processes_that_share_the_file_count_together(api, tmp_path):
    assert [api.get("/flavors").status_code for _ in range(2)] == [200, 200]
    (tmp_path / "other").mkdir()
    with serving_api(tmp_path / "other", rates=RATES, rate_storage=api.settings.rate_storage) as other:
        assert [other.get("/flavors").status_code for _ in range(2)] == [200, 413]
    assert api.get("/flavors").status_code == 413


def test_who_is_refused_for_lack_of_rights_has_used_nothing_of_others(api):
    for _ in range(5):
        error(api.get("/flavors", user=None), 401, "unauthorized")
    assert api.get("/flavors").status_code == 200


def test_a_storage_that_is_away_changes_nothing_for_users(tmp_path):
    with serving_api(tmp_path, rates=RATES, rate_storage="redis://127.0.0.1:1") as api:
        assert [api.get("/flavors").status_code for _ in range(10)] == [200] * 10
        assert api.get("/limits").json["limits"][1]["remaining"] == 3
