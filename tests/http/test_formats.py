"""The same conversation in XML: by Accept, by Content-Type, by the suffix of the path; faults and filters' refusals too."""

import http.client
import json
import re
from urllib.parse import urlparse

import pytest
from falcon import testing
from jsonschema import Draft4Validator
from tests.http.bodies import Things
from tests.http.test_instances import SMALL, UNKNOWN, error
from tests.support import answers
from tests.support.http_api import PROJECT, basic, listening
from tests.support.schemas import strict

from trove.api import xml
from trove.api.routes import ROUTES
from trove.api.schemas.faults import FAULT

XML = {"Accept": "application/xml"}
SENT = {"Content-Type": "application/xml"}


def xml_of(result, schema=None):
    assert result.headers["content-type"] == "application/xml", result.text
    assert int(result.headers["content-length"]) == len(result.content)
    return xml.read(result.content, schema)


def shown(api, path, **options):
    return xml_of(api.get(path, **options), answers.schema_of("GET", f"/v1.0/{PROJECT}{path}"))


def fault_in_xml(result, code, key):
    assert result.status_code == code, result.text
    found = xml_of(result, FAULT)
    assert found[key]["code"] == code
    return found[key]["message"]


@pytest.mark.parametrize(
    "accept",
    [
        "application/xml",
        "text/xml",
        "application/vnd.openstack.trove+xml",
        "application/vnd.openstack.trove+xml;version=1.0",
        "application/json;q=0.5, application/xml",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ],
)
def test_who_prefers_xml_gets_it(api, accept):
    plain = api.get("/datastores").json
    assert shown(api, "/datastores", headers={"Accept": accept}) == plain


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/xml, application/json",
        "application/xml;q=0.1, */*",
        "application/xml;q=0",
        "image/png",
        "application/xml;q=x",
        "xml",
        "application/vnd.openstack.trove+json",
    ],
)
def test_everybody_else_gets_json(api, accept):
    result = api.get("/flavors", headers={"Accept": accept})
    assert result.headers["content-type"] == "application/json"
    assert result.json["flavors"]


def test_an_instance_is_made_and_shown_in_xml(api):
    body = xml.write({"instance": {**SMALL, "databases": [{"name": "shop"}], "flavorRef": 2}})
    answered = api.ask("POST", "/instances", raw=body, headers={**SENT, **XML})
    made = xml_of(answered, answers.schema_of("POST", f"/v1.0/{PROJECT}/instances"))["instance"]
    plain = api.get(f"/instances/{made['id']}").json
    assert plain["instance"]["name"] == SMALL["name"]
    assert shown(api, f"/instances/{made['id']}", headers=XML) == plain
    assert shown(api, "/instances", headers=XML) == api.get("/instances").json


def test_a_request_as_older_clients_wrote_it(api):
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<instance xmlns="{xml.NAMESPACE}" name="orders" flavorRef="2">\n'
        '  <volume size="2"/>\n  <databases>\n    <database name="shop" character_set="utf8"/>\n  </databases>\n'
        '  <users>\n    <user name="app" password="pw">\n      <databases><database name="shop"/></databases>\n'
        "    </user>\n  </users>\n</instance>\n"
    )
    result = api.ask("POST", "/instances", raw=body.encode(), headers=SENT)
    assert result.json["instance"]["volume"] == {"size": 2}


def test_actions_and_accounts_in_xml(api):
    instance_id = api.active()
    guest = api.guests[instance_id]
    assert (
        api.ask(
            "POST", f"/instances/{instance_id}/databases", raw=b'<databases><database name="shop"/></databases>', headers=SENT
        ).status_code
        == 202
    )
    users = b'<users><user><name>1</name><password>2</password><databases><database name="shop"/></databases></user></users>'
    assert api.ask("POST", f"/instances/{instance_id}/users", raw=users, headers=SENT).status_code == 202
    assert guest.users["1", "%"]["password"] == "2"
    assert api.ask("POST", f"/instances/{instance_id}/action", raw=b"<restart/>", headers=SENT).status_code == 202


@pytest.mark.parametrize("unstorable", ["\\u0000", "\\ud800"])
def test_escapes_bring_nothing_in_that_cannot_be_stored(api, unstorable):
    raw = f'<instance xmlns:j="{xml.HINTS}"><name j:escaped="true">a{unstorable}</name></instance>'
    message = error(api.ask("POST", "/instances", raw=raw.encode(), headers=SENT), 400, "badRequest")
    assert "cannot be stored" in message


def test_faults_are_in_xml_wherever_they_come_from(api):
    assert UNKNOWN in fault_in_xml(api.get(f"/instances/{UNKNOWN}", headers=XML), 404, "itemNotFound")
    fault_in_xml(api.get("/nothing", headers=XML), 404, "itemNotFound")
    fault_in_xml(api.get("/nothing", absolute=True, headers=XML), 404, "itemNotFound")
    fault_in_xml(api.get("/instances", user=None, headers=XML), 401, "unauthorized")
    fault_in_xml(api.get("/instances", project="p2", headers=XML), 403, "forbidden")
    fault_in_xml(api.post("/instances", {}, headers=XML), 400, "badRequest")
    fault_in_xml(api.ask("POST", "/instances", raw=b"x" * 2**21, headers=XML), 413, "overLimit")
    wrong = api.ask("POST", "/instances", raw=b"<instance><name></name></instance>", headers={**SENT, **XML})
    assert "instance['name']" in fault_in_xml(wrong, 400, "badRequest")
    error(api.ask("POST", "/instances", raw=b"<instance>", headers=SENT), 400, "badRequest")


def test_the_gateway_refuses_in_xml_too(api):
    with listening(api.app, client_body_timeout=0.3) as port:
        sent = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            sent.putrequest("POST", f"/v1.0/{PROJECT}/instances")
            for name, value in {**XML, "Content-Length": "10", "Authorization": basic("member")}.items():
                sent.putheader(name, value)
            sent.endheaders(b"half")
            answer = sent.getresponse()
            assert (answer.status, answer.headers["content-type"]) == (408, "application/xml")
            assert xml.read(answer.read(), FAULT)["requestTimeout"]["code"] == 408
        finally:
            sent.close()


def test_versions_are_shown_in_xml_and_the_openapi_document_never_is(api):
    assert xml_of(api.get("/", absolute=True, user=None, headers=XML)) == api.get("/", absolute=True, user=None).json
    result = api.get("/v1.0/openapi.json", absolute=True, user=None, headers=XML)
    assert result.headers["content-type"] == "application/json"
    assert result.json["openapi"] == "3.1.0"


@pytest.mark.parametrize("suffix", [".json", ".xml"])
def test_the_suffix_of_a_path_chooses_the_format(api, suffix):
    ids = [api.insert(name) for name in ("a", "b")]
    for path in ("/instances", "/instances/detail", f"/instances/{ids[0]}", "/flavors/1", "/limits", "/datastores"):
        result = api.get(path + suffix, headers={} if suffix == ".xml" else XML)
        assert result.status_code == 200, path
        assert result.headers["content-type"] == f"application/{suffix[1:]}"
    page = shown(api, "/instances.xml", params={"limit": "1"})
    href = urlparse(page["instances_links"][0]["href"])
    assert href.path == f"/v1.0/{PROJECT}/instances.xml"
    assert shown(api, "/instances.xml", query_string=href.query)["instances"][0]["id"] in ids


@pytest.mark.parametrize("name", ["a.b", "a.json", "a.xml", "10.1.2.3", "a.json@10.1.2.3", "a.b.xml"])
def test_names_with_dots_keep_their_tails(api, name):
    instance_id = api.active()
    user, _, host = name.partition("@")
    for path in (name, name.replace(".", "%2e")):
        made = {"users": [{"name": user, "password": "pw", **({"host": host} if host else {})}]}
        assert api.post(f"/instances/{instance_id}/users", made).status_code == 202
        assert api.get(f"/instances/{instance_id}/users/{path}").json["user"]["name"] == user
        assert api.get(f"/instances/{instance_id}/users/{path}/databases.json").json == {"databases": []}
        assert api.delete(f"/instances/{instance_id}/users/{path}").status_code == 202
        assert api.post(f"/instances/{instance_id}/databases", {"databases": [{"name": "x.xml"}]}).status_code == 202
        assert api.delete(f"/instances/{instance_id}/databases/x.xml").status_code == 202
    assert api.guests[instance_id].users == api.guests[instance_id].databases == {}


def test_a_suffix_is_cut_off_every_path_that_ends_with_a_word_or_an_id():
    from trove.api.formats import _SUFFIXED

    for route in ROUTES:
        path = f"/v1.0/p1{route.path}".replace("{instance_id}", UNKNOWN)
        if not path.endswith("}"):
            assert _SUFFIXED.fullmatch(f"{path}.xml".replace("{", "").replace("}", ""))
            assert not _SUFFIXED.fullmatch(path.replace("{", "").replace("}", ""))


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH"])
def test_methods_that_a_path_does_not_have_are_not_found(api, method):
    for path in ("/instances", "/nothing", "/flavors/1"):
        result = api.ask(method, path)
        assert result.status_code == 404, (method, path, result.text)
        if method == "HEAD":
            assert result.content == b""
        else:
            error(result, 404, "itemNotFound")


@pytest.mark.parametrize("method", ["FOO", "PROPFIND", "CONNECT", "get"])
def test_methods_that_do_not_exist_are_not_found(api, method):
    environ = testing.create_environ(f"/v1.0/{PROJECT}/instances", headers={"Authorization": basic("member")})
    started = []
    body = api.app({**environ, "REQUEST_METHOD": method}, lambda *args: started.append(args))
    assert started[-1][0] == "404 Not Found"
    assert json.loads(b"".join(body))["itemNotFound"]["code"] == 404


@pytest.mark.parametrize("route", [route for route in ROUTES if route.answer], ids=lambda route: f"{route.method} {route.path}")
def test_every_answer_says_the_same_in_xml(long_lived, route):
    things = Things(long_lived, "admin")
    path, body = things.address(route), things.body(route)
    result = long_lived.ask(route.method, path, body, user="admin", headers=XML)
    found = xml_of(result, FAULT if result.status_code >= 400 else route.answer)
    if result.status_code >= 400:
        assert next(iter(found.values()))["code"] == result.status_code
        return
    assert not list(Draft4Validator(strict(route.answer)).iter_errors(found))
    if route.method == "GET" and "rates" not in path:
        assert without_times(found) == without_times(long_lived.get(path, user="admin").json)


def without_times(document):
    return re.sub(r"\d\d:\d\d:\d\d", "", json.dumps(document))
