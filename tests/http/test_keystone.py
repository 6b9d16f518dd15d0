"""The Keystone pipeline, against a small stand-in that validates tokens as Keystone's API v3 does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.http.test_instances import error
from tests.support.http_api import PROJECT, oslo_conf, serving_api

TOKENS = {"good": (PROJECT, "member"), "stranger": ("p2", "member"), "boss": (PROJECT, "admin"), "unscoped": (None, None)}


def token(project, role, url=""):
    endpoints = [
        {"id": face, "interface": face, "region": "R", "region_id": "R", "url": url} for face in ("public", "admin", "internal")
    ]
    body = {
        "methods": ["password"],
        "user": {"id": "u1", "name": "kim", "domain": {"id": "default", "name": "Default"}},
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "audit_ids": ["a"],
    }
    if project:
        body |= {
            "project": {"id": project, "name": project, "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": role, "name": role}],
            "catalog": [{"type": "identity", "id": "i", "name": "keystone", "endpoints": endpoints}],
        }
    return {"token": body}


class StandIn(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(201, token("service", "service", self._url()), {"X-Subject-Token": "service-token"})

    def do_GET(self):
        url = self._url()
        version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{url}/v3/"}], "media-types": []}
        if self.path.rstrip("/") in {"", "/v3"}:
            document = {"version": version} if "v3" in self.path else {"versions": {"values": [version]}}
            return self._send(200 if "v3" in self.path else 300, document)
        known = TOKENS.get(self.headers.get("X-Subject-Token"))
        if known is None:
            return self._send(404, {"error": {"code": 404, "message": "no such token", "title": "Not Found"}})
        return self._send(200, token(*known))

    def _url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def _send(self, status, document, headers=()):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def keystone():
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


CONFIG = """
[keystone_authtoken]
auth_type = password
auth_url = {url}
www_authenticate_uri = {url}
username = trove
password = pw
project_name = service
user_domain_name = Default
project_domain_name = Default
service_token_roles_required = true
[oslo_middleware]
enable_proxy_headers_parsing = true
[cors]
allowed_origin = https://dashboard.example.test
"""


@pytest.fixture
def guarded(tmp_path, keystone):
    config = tmp_path / "trove.conf"
    config.write_text(CONFIG.format(url=keystone))
    with serving_api(tmp_path, conf=oslo_conf(config), auth="keystone") as api:
        yield api


def ask(api, token_id, path="/instances", **options):
    headers = {"X-Auth-Token": token_id} if token_id else {}
    return api.get(path, user=None, headers=headers, **options)


def test_a_token_lets_its_project_in(guarded):
    assert ask(guarded, "good").json == {"instances": []}
    assert "tenant_id" in ask(guarded, "boss", f"/instances/{guarded.insert(project_id='p2')}").json["instance"]


def test_tokens_of_others(guarded):
    error(ask(guarded, "stranger"), 403, "forbidden")
    error(ask(guarded, "unscoped"), 403, "forbidden")
    foreign = guarded.insert(project_id="p2")
    error(ask(guarded, "good", f"/instances/{foreign}"), 404, "itemNotFound")


@pytest.mark.parametrize("token_id", [None, "forged"])
def test_without_a_token_keystone_is_named(guarded, token_id):
    result = ask(guarded, token_id)
    error(result, 401, "unauthorized")
    assert result.headers["www-authenticate"].startswith('Keystone uri="http')
    assert result.headers["x-openstack-request-id"].startswith("req-")


def test_basic_credentials_are_no_tokens(guarded):
    error(guarded.get("/instances"), 401, "unauthorized")


def test_versions_need_no_token(guarded):
    assert guarded.get("/v1.0/", absolute=True, user=None).status_code == 200


def test_a_proxy_in_front_and_a_dashboard_beside(guarded):
    headers = {"X-Auth-Token": "good", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "db.example.test"}
    result = guarded.get("/flavors/1", user=None, headers={**headers, "Origin": "https://dashboard.example.test"})
    assert result.json["flavor"]["links"][0]["href"].startswith("https://db.example.test/v1.0/")
    assert result.headers["access-control-allow-origin"] == "https://dashboard.example.test"
