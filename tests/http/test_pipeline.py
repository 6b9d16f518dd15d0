"""The filters around the app, each by what it does to a request that passes the whole pipeline of api-paste.ini."""

import configparser
import http.client
import json
import logging
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from oslo_config import cfg
from tests.http.test_instances import error
from tests.support.http_api import PASSWORD, PASTE_FILE, PROJECT, listening, oslo_conf, serving_api

from trove.api.app import load
from trove.cmd import profiling

CONTRACT = (
    "cors request_id http_proxy_to_wsgi faultwrapper osprofiler authtoken authorization contextwrapper ratelimit extensions"
)


def configured(tmp_path: Path, text: str) -> cfg.ConfigOpts:
    (tmp_path / "trove.conf").write_text(text)
    return oslo_conf(tmp_path / "trove.conf")


def test_the_ini_file_has_the_names_that_operators_know():
    ini = configparser.RawConfigParser()
    ini.read(PASTE_FILE)
    assert ini["pipeline:troveapi"]["pipeline"].split() == [*CONTRACT.split(), "troveapp"]
    assert {f"filter:{name}" for name in (*CONTRACT.split(), "debug")} <= set(ini.sections())
    assert {"composite:trove", "app:versions", "app:healthcheck", "app:troveapp"} <= set(ini.sections())


# cors


def test_browsers_of_an_allowed_origin_may_use_the_api_and_others_not(tmp_path):
    with serving_api(tmp_path, conf=configured(tmp_path, "[cors]\nallowed_origin = https://horizon.example\n")) as api:
        asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "X-Auth-Token"}
        # By a real server: the library's answer has no Content-Type, which the test client would not let pass.
        with listening(api.app) as port, closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("OPTIONS", f"/v1.0/{PROJECT}/instances", headers={"Origin": "https://horizon.example", **asked})
            allowed = connection.getresponse()
            allowed.read()
        assert allowed.status == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://horizon.example"
        assert allowed.headers["Access-Control-Allow-Methods"] == "PATCH"
        assert allowed.headers["Access-Control-Allow-Headers"] == "X-Auth-Token"
        found = api.get("/instances", headers={"Origin": "https://horizon.example"})
        assert found.status_code == 200
        assert found.headers["Access-Control-Allow-Origin"] == "https://horizon.example"
        assert "X-Trove-Operation-Id" in found.headers["Access-Control-Expose-Headers"]
        # A browser shows its user an error only with these headers on it.
        refused = api.get("/instances", user=None, headers={"Origin": "https://horizon.example"})
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == "https://horizon.example"
        for origin in ("https://evil.example", "https://horizon.example.evil.example"):
            assert "Access-Control-Allow-Origin" not in api.get("/instances", headers={"Origin": origin}).headers


def test_without_cors_no_origin_is_allowed(tmp_path):
    with serving_api(tmp_path) as api:
        assert "Access-Control-Allow-Origin" not in api.get("/instances", headers={"Origin": "https://horizon.example"}).headers


# http_proxy_to_wsgi

PROXIED = "[oslo_middleware]\nenable_proxy_headers_parsing = true\n"
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "db.example:443", "X-Forwarded-Prefix": "/database"}


def links_of(api, headers) -> set[str]:
    """Return what the links of the versions, of one version and of a resource begin with."""
    (listed,) = api.get("/", absolute=True, user=None, headers=headers).json["versions"]
    one = api.get("/v1.0", absolute=True, user=None, headers=headers).json["version"]
    flavor = api.get("/flavors/2", headers=headers).json["flavor"]
    return {
        listed["links"][0]["href"].removesuffix("/v1.0/"),
        one["links"][0]["href"].removesuffix("/v1.0/"),
        flavor["links"][0]["href"].removesuffix(f"/v1.0/{PROJECT}/flavors/2"),
        flavor["links"][1]["href"].removesuffix("/flavors/2"),
    }


def test_links_follow_a_proxy_that_is_trusted(tmp_path):
    with serving_api(tmp_path, conf=configured(tmp_path, PROXIED)) as api:
        assert links_of(api, FORWARDED) == {"https://db.example:443/database"}
        assert links_of(api, {"Forwarded": "proto=https;host=db.example;for=192.0.2.1"}) == {"https://db.example"}
        assert links_of(api, {"Host": "plain.example"}) == {"http://plain.example"}


def test_links_do_not_follow_a_proxy_that_is_not(tmp_path):
    with serving_api(tmp_path) as api:
        assert links_of(api, {**FORWARDED, "Host": "db.inside:8779"}) == {"http://db.inside:8779"}


def test_the_public_endpoint_wins_over_all_of_that(tmp_path):
    with serving_api(tmp_path, conf=configured(tmp_path, PROXIED), public_endpoint="https://public.example/trove/") as api:
        assert links_of(api, FORWARDED) == {"https://public.example/trove"}


# request_id, faultwrapper


@pytest.mark.parametrize("path", ["/", "/v1.0", "/v1.0/extensions", f"/v1.0/{PROJECT}/instances", f"/v1.0/{PROJECT}/nothing"])
def test_every_answer_has_a_request_id(tmp_path, path):
    with serving_api(tmp_path) as api:
        assert api.get(path, absolute=True).headers["X-Openstack-Request-Id"].startswith("req-")


# extensions


def test_extensions_are_listed_with_and_without_a_project(tmp_path):
    with serving_api(tmp_path) as api:
        found = api.get("/extensions")
        listed = found.json["extensions"]
        assert {each["alias"] for each in listed} == {"Account", "Mgmt", "MYSQL", "OPERATIONS", "SecurityGroup"}
        for each in listed:
            assert set(each) == {"name", "alias", "description", "namespace", "updated", "links"}
            assert each["links"] == []
            assert api.get(f"/extensions/{each['alias']}").json == {"extension": each}
            assert api.get(f"/v1.0/extensions/{each['alias']}", absolute=True, user=None).json == {"extension": each}
        assert api.get("/v1.0/extensions", absolute=True, user=None).json == found.json
        assert api.ask("HEAD", "/extensions").text == ""


def test_an_extension_that_is_not_there_is_404(tmp_path):
    with serving_api(tmp_path) as api:
        for path in ("/extensions/Ghost", "/extensions/", "/extensions/Mgmt/more", "/extensionsx"):
            error(api.get(path), 404, "itemNotFound")
            error(
                api.get(f"/v1.0{path}", absolute=True),
                *((404, "itemNotFound") if path != "/extensionsx" else (403, "forbidden")),
            )
        error(api.post("/extensions", {}), 404, "itemNotFound")
        error(api.get("/extensions", user=None), 401, "unauthorized")


# osprofiler


def test_requests_that_are_signed_for_it_are_profiled(tmp_path, monkeypatch):
    from osprofiler import _utils, notifier

    conf = configured(tmp_path, "[profiler]\nenabled = true\nhmac_keys = wanted\nconnection_string = file://\n")
    noted = []
    monkeypatch.setattr(notifier, "notify", noted.append)
    try:
        monkeypatch.setattr("osprofiler.initializer.init_from_conf", lambda **_: None)
        keys = profiling.start(conf, "trove-api", "host")
        assert keys == "wanted"
        with serving_api(tmp_path, conf=conf, profiler_keys=keys) as api:
            assert api.get("/flavors").status_code == 200
            assert noted == []
            data = {"base_id": "b", "parent_id": "p"}
            for key, expected in (("other", 0), ("wanted", 2)):
                packed, signature = _utils.signed_pack({**data, "hmac_key": key}, key)
                headers = {"X-Trace-Info": packed.decode(), "X-Trace-HMAC": signature}
                assert api.get("/flavors", headers=headers).status_code == 200
                assert len(noted) == expected
            assert [each["name"] for each in noted] == ["wsgi-start", "wsgi-stop"]
            assert PASSWORD not in repr(noted)
    finally:
        monkeypatch.undo()


def test_profiling_is_off_unless_it_is_wanted(tmp_path):
    assert profiling.start(oslo_conf(), "trove-api", "host") is None


def test_profiling_that_is_wanted_but_not_installed_is_told(tmp_path, monkeypatch, caplog):
    def nothing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(profiling, "import_module", nothing)
    assert profiling.start(configured(tmp_path, "[profiler]\nenabled = true\n"), "trove-api", "host") is None
    assert "osprofiler is not installed" in caplog.text


# debug


def test_debug_logs_requests_and_answers_without_what_is_secret(tmp_path, caplog):
    paste = tmp_path / "api-paste.ini"
    shutil.copyfile(PASTE_FILE, paste)
    paste.write_text(paste.read_text().replace("pipeline = cors", "pipeline = debug cors"))
    with serving_api(tmp_path) as api:
        api.app = load(api.doors, api.settings, paste)
        body = {"users": [{"name": "kim-the-user", "password": "kims-secret", "databases": [], "host": "%"}]}
        instance_id = api.active()
        with caplog.at_level(logging.INFO, logger="trove.api.filters.debug"):
            answer = api.post(
                f"/instances/{instance_id}/users", body, headers={"X-Auth-Token": "a-token", "X-Subject-Token": "another"}
            )
            assert answer.status_code == 202, answer.text
            root = api.post(f"/instances/{instance_id}/root").json["user"]["password"]
            api.get("/flavors", params={"password": "in-the-query", "limit": "1"})
            # What the app reads is what was sent.
            assert api.guests[instance_id].users[("kim-the-user", "%")]["password"] == "kims-secret"
        text = "\n".join(record.getMessage() for record in caplog.records if record.name == "trove.api.filters.debug")
        for secret in (
            "kims-secret",
            "a-token",
            "another",
            "in-the-query",
            root,
            PASSWORD,
            api.doors.database.__repr__() + "x",
        ):
            assert secret not in text
        assert f"POST '/v1.0/{PROJECT}/instances/{instance_id}/users'" in text
        assert json.dumps({"users": [{"name": "str", "password": "str", "databases": [], "host": "str"}]}) in text
        assert "'202 Accepted'" in text
        assert "'limit': '1'" in text


def test_debug_leaves_large_and_odd_bodies_alone(tmp_path, caplog):
    paste = tmp_path / "api-paste.ini"
    paste.write_text(PASTE_FILE.read_text().replace("pipeline = cors", "pipeline = debug cors"))
    with serving_api(tmp_path, max_body_bytes=100) as api:
        api.app = load(api.doors, api.settings, paste)
        with caplog.at_level(logging.INFO, logger="trove.api.filters.debug"):
            assert api.post("/instances", raw=b" " * 101).status_code == 413
            assert api.post("/instances", raw=b'{"instance').status_code == 400
            assert api.get("/nothing").status_code == 404
        assert "not looked into" in caplog.text
        assert "not JSON" in caplog.text
