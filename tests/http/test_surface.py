"""What the service is like around its routes: versions, unknown paths, methods, formats, limits, flavors, datastores."""

import urllib.error
import urllib.request

import pytest
from tests.http.test_instances import error
from tests.support.http_api import PROJECT, basic, listening, serving_api

from trove.core.errors import CloudError, Unavailable
from trove.store import datastores


def test_versions_are_listed_without_credentials(api):
    result = api.get("/", absolute=True, user=None, headers={"Host": "db.example.test:8779"})
    assert result.json == {
        "versions": [
            {
                "id": "v1.0",
                "status": "CURRENT",
                "updated": "2012-08-01T00:00:00Z",
                "links": [{"rel": "self", "href": "http://db.example.test:8779/v1.0/"}],
            }
        ]
    }


@pytest.mark.parametrize("path", ["/v1.0", "/v1.0/"])
def test_the_version_shows_itself(api, path):
    assert api.get(path, absolute=True, user=None).json["version"]["id"] == "v1.0"


def test_public_endpoint_replaces_the_host(tmp_path):
    with serving_api(tmp_path, public_endpoint="https://db.example.test/") as api:
        assert api.get("/", absolute=True, user=None).json["versions"][0]["links"][0]["href"] == "https://db.example.test/v1.0/"
        href = api.get("/flavors/1").json["flavor"]["links"][0]["href"]
        assert href == f"https://db.example.test/v1.0/{PROJECT}/flavors/1"


def test_healthcheck(api):
    result = api.get("/healthcheck", absolute=True, user=None)
    assert (result.status_code, result.text) == (200, "OK")


@pytest.mark.parametrize("path", ["/v2.0/p1/instances", "/nothing", "/v1", "/v1.0x", "//", "/healthcheck/x"])
def test_unknown_roots(api, path):
    result = api.get(path, absolute=True)
    if path == "//":
        assert result.status_code in {200, 404}
    else:
        error(result, 404, "itemNotFound")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/nothing",
        "/instances/",
        "/instances//databases",
        "/flavors/1/",
        "/mgmt",
        "/mgmt/nothing",
        "/instances/x/y/z",
        "/%ff%fe",
        "/datastores/mariadb/versions/",
    ],
)
def test_unknown_paths(api, path):
    error(api.get(path), 404, "itemNotFound")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/instances", "/limits", "/flavors/1"])
def test_methods_that_a_path_does_not_have_are_not_found(api, method, path):
    result = api.ask(method, path)
    assert result.status_code == 404
    if method != "HEAD":
        error(result, 404, "itemNotFound")


def test_the_accept_header_may_name_the_version(api):
    accept = "application/vnd.openstack.trove+json;version=1.0"
    result = api.get(f"/{PROJECT}/limits", absolute=True, headers={"Accept": accept})
    assert result.json["limits"][0]["verb"] == "ABSOLUTE"
    unknown = api.get(f"/{PROJECT}/limits", absolute=True, headers={"Accept": accept.replace("1.0", "9.9")})
    error(unknown, 406, "notAcceptable")
    assert api.get("/limits", headers={"Accept": "text/plain"}).headers["content-type"] == "application/json"


def test_every_answer_has_a_request_id(api):
    ids = {api.get("/flavors").headers["x-openstack-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert api.get("/nothing").headers["x-openstack-request-id"].startswith("req-")


def test_limits_show_the_quotas(api):
    assert api.get("/limits").json == {
        "limits": [{"verb": "ABSOLUTE", "max_instances": 10, "max_volumes": 1000, "max_backups": 50, "max_ram": -1}]
    }


def test_flavors_are_asked_of_the_cloud_once(api):
    flavors = api.get("/flavors").json["flavors"]
    assert flavors[0] == {
        "id": 1,
        "str_id": "1",
        "name": "db.tiny",
        "ram": 256,
        "vcpus": 1,
        "disk": 0,
        "ephemeral": 0,
        "links": flavors[0]["links"],
    }
    assert api.get("/flavors/3").json["flavor"]["name"] == "db.medium"
    error(api.get("/flavors/99"), 404, "itemNotFound")


def test_a_cloud_that_fails_is_unavailable(api):
    api.doors.cloud.order_fault("flavors", CloudError("nova is down"))
    assert "nova is down" in error(api.get("/flavors"), 503, "serviceUnavailable")
    assert api.get("/flavors").status_code == 200


def test_datastores(api):
    with api.doors.database.transaction() as tx:
        datastores.put_version(tx, "mariadb", "9.0", manager="mariadb", active=False)
        datastores.put_datastore(tx, "empty")
    (found,) = api.get("/datastores").json["datastores"]
    (version,) = found["versions"]
    assert found["name"] == "mariadb"
    assert found["default_version"] == version["id"] == api.version_id
    assert set(version) == {"id", "name", "version", "links"}
    assert api.get("/datastores/mariadb").json["datastore"] == found
    assert api.get(f"/datastores/{found['id']}").json["datastore"] == found
    alone = {**version, "datastore": found["id"]}
    assert api.get("/datastores/mariadb/versions").json == {"versions": [alone]}
    for path in (f"mariadb/versions/{version['id']}", "mariadb/versions/10.11", f"versions/{version['id']}"):
        assert api.get(f"/datastores/{path}").json == {"version": alone}
    assert len(api.get("/datastores", user="admin").json["datastores"]) == 2
    assert {each["active"] for each in api.get("/datastores/mariadb/versions", user="admin").json["versions"]} == {True, False}
    assert len(api.get(f"/datastores/mariadb/versions/{version['id']}/flavors").json["flavors"]) == 5
    types = api.get(f"/datastores/mariadb/versions/{version['id']}/volume-types").json["volume_types"]
    assert set(types[0]) == {"id", "name", "is_public", "description"}
    for path in ("ghost", "ghost/versions", "mariadb/versions/ghost", "versions/ghost", "ghost/versions/10.11/flavors"):
        error(api.get(f"/datastores/{path}"), 404, "itemNotFound")


def test_an_unexpected_failure_shows_a_reference_and_no_more(api, monkeypatch, caplog):
    monkeypatch.setattr("trove.api.handlers.flavors.view", lambda *_: 1 / 0)
    message = error(api.get("/flavors/1"), 500, "instanceFault")
    reference = message.rsplit(" ", 1)[1]
    assert reference in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "division" not in message


def test_state_database_gone_is_unavailable(api, monkeypatch):
    def gone():
        raise Unavailable("The state database cannot be reached.")

    monkeypatch.setattr(api.doors.database, "reading", gone)
    result = api.get("/instances")
    error(result, 503, "serviceUnavailable")
    assert int(result.headers["retry-after"]) >= 1
    assert api.get("/healthcheck", absolute=True, user=None).status_code == 503


def test_the_same_over_the_network(api):
    with listening(api.app) as port:
        base = f"http://127.0.0.1:{port}/v1.0/{PROJECT}"
        status, body = ask(f"{base}/flavors/1")
        assert status == 200
        assert b"db.tiny" in body
        assert ask(f"{base}/instances/%2e%2e")[0] == 404
        assert ask(f"{base}/instances", b"x" * (1024 * 1024 + 1))[0] == 413
        assert ask(f"{base}/instances", b"{}")[0] == 400
        assert ask(f"{base}/instances", iter([b'{"instance":', b"{}}"]))[0] == 400
        assert ask(f"{base}/instances", iter([b" " * 1024 * 1024, b"{}"]))[0] == 413
        made = ask(f"{base}/instances", b'{"instance": {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}}')
        assert made[0] == 200, made


def ask(url, body=None):
    """Return status and body; None while nobody listens."""
    headers = {"Authorization": basic("member"), "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (urllib.error.URLError, ConnectionError):
        return None
