"""Whatever a client sends, the answer is a clear 4xx in the contract's shape: never a 5xx, a stack trace or a hang."""

import json
import logging
import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.http.test_instances import SMALL, UNKNOWN, error
from tests.support.http_api import PROJECT

from trove.api.routes import ROUTES

MIB = 1024 * 1024
WITH_BODY = [route for route in ROUTES if route.schema is not None]
NAMES = [f"{route.method} {route.path}" for route in WITH_BODY]


def address(route, instance_id):
    known = {"instance_id": instance_id, "user": "app", "name": "shop", "database": "shop", "project": PROJECT}
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], UNKNOWN), route.path)


RAW = {
    "nothing": (b"", 400),
    "spaces": (b"  \n ", 400),
    "text": (b"hello", 400),
    "half": (b'{"instance": {"name": "x"', 400),
    "two documents": (b"{} {}", 400),
    "null": (b"null", 400),
    "number": (b"12", 400),
    "NaN": (b'{"instance": NaN}', 400),
    "infinity": (b'{"instance": {"name": "a", "volume": Infinity}}', 400),
    "latin-1": ('{"instance": {"name": "é"}}'.encode("latin-1"), 400),
    "utf-16": ('{"instance": {}}'.encode("utf-16"), 400),
    "BOM": (b"\xef\xbb\xbf{}", 400),
    "NUL": (b'{"instance": {"name": "a\\u0000b"}, "database": {"name": "a\\u0000b"}, "password": "\\u0000"}', 400),
    "raw NUL": (b'{"instance": "\x00"}', 400),
    "lone surrogate": (b'{"instance": {"name": "a\\ud800"}, "password": "\\ud800"}', 400),
    "surrogate key": (b'{"\\ud800": 1}', 400),
    "same key twice": (b'{"instance": {"name": "a", "name": "b"}}', 400),
    "same top key twice": (b'{"restart": {}, "restart": {}}', 400),
    "deep arrays": (b"[" * 100_000 + b"]" * 100_000, 400),
    "deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
    "quite deep": (b'{"instance":' * 30 + b"1" + b"}" * 30, 400),
    "long number": (b'{"instance": ' + b"9" * 10_000 + b"}", 400),
    "too large": (b'{"instance": "' + b"x" * MIB + b'"}', 413),
    "10 MB": (b"x" * 10 * MIB, 413),
}


@pytest.fixture(scope="module")
def instance_id(long_lived):
    return long_lived.active(version_id=long_lived.offer_everything()[0])


@pytest.mark.parametrize("route", WITH_BODY, ids=NAMES)
@pytest.mark.parametrize("case", RAW)
def test_bodies_that_are_no_json(long_lived, instance_id, route, case, caplog):
    api = long_lived
    caplog.set_level(logging.WARNING)
    raw, code = RAW[case]
    if route.optional and case in {"nothing", "spaces", "null"}:
        return
    api.guests[instance_id].calls.clear()
    result = api.ask(route.method, address(route, instance_id), raw=raw, user="admin")
    error(result, code, "badRequest" if code == 400 else "overLimit")
    assert api.guests[instance_id].calls == []
    assert not caplog.records


@pytest.mark.parametrize("route", WITH_BODY, ids=NAMES)
def test_no_body_at_all(long_lived, instance_id, route):
    if not route.optional:
        error(long_lived.ask(route.method, address(route, instance_id), user="admin"), 400, "badRequest")


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/x-www-form-urlencoded", "image/png; x=y"])
def test_other_content_types(api, content_type):
    result = api.post("/instances", {"instance": SMALL}, headers={"Content-Type": content_type})
    error(result, 415, "badMediaType")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.openstack.trove+json"]
)
def test_content_types_of_json(api, content_type):
    assert api.post("/instances", {"instance": SMALL}, headers={"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "-- "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": 5}, "name"),
        ({"name": ["a"]}, "name"),
        ({"flavorRef": None}, "flavorRef"),
        ({"flavorRef": ""}, "flavorRef"),
        ({"flavorRef": []}, "flavorRef"),
        ({"flavorRef": True}, "flavorRef"),
        ({"flavorRef": -1}, "flavorRef"),
        ({"flavorRef": "x" * 256}, "flavorRef"),
        ({"flavorRef": "ghost"}, "ghost"),
        ({"volume": None}, "volume"),
        ({"volume": {}}, "size"),
        ({"volume": {"size": 0}}, "size"),
        ({"volume": {"size": -1}}, "size"),
        ({"volume": {"size": 1.5}}, "size"),
        ({"volume": {"size": "1.5"}}, "size"),
        ({"volume": {"size": ""}}, "size"),
        ({"volume": {"size": "9" * 41}}, "size"),
        ({"volume": {"size": None}}, "size"),
        ({"volume": {"size": True}}, "size"),
        ({"volume": {"size": 1, "type": 5}}, "type"),
        ({"volume": {"size": 1, "type": "ghost"}}, "ghost"),
        ({"volume": "1"}, "volume"),
        ({"datastore": "mariadb"}, "datastore"),
        ({"datastore": {"type": 1}}, "type"),
        ({"datastore": {"version": "x" * 256}}, "version"),
        ({"databases": "shop"}, "databases"),
        ({"databases": [{"name": "shop"}, {"name": "shop"}]}, "shop"),
        ({"databases": [{"name": "mysql"}]}, "mysql"),
        ({"databases": [{}]}, "name"),
        ({"databases": [5]}, "databases"),
        ({"databases": [{"name": "shop", "character_set": "klingon"}]}, "klingon"),
        ({"users": [{"name": "app"}]}, "password"),
        ({"users": [{"name": "root", "password": "pw"}]}, "root"),
        ({"users": [{"name": "app", "password": "pw"}, {"name": "app", "password": "pw"}]}, "app"),
        ({"users": [{"name": "app", "password": "pw", "databases": [{"name": "ghost"}]}]}, "ghost"),
        ({"users": [{"name": "app", "password": "pw", "host": "nowhere"}]}, "nowhere"),
        ({"users": {}}, "users"),
        ({"nics": [{}]}, "nics"),
        ({"nics": [{"network_id": "x"}]}, "network_id"),
        ({"nics": [{"network_id": UNKNOWN, "colour": 1}]}, "nics"),
        ({"nics": [{"network_id": UNKNOWN}, {"network_id": UNKNOWN}]}, "nics"),
        ({"nics": [{"network_id": UNKNOWN, "ip_address": "10.0.0.1"}]}, "ip_address"),
        ({"nics": [{"subnet_id": UNKNOWN, "ip_address": "10.0.0.999"}]}, "ip_address"),
        ({"nics": [{"subnet_id": UNKNOWN, "ip_address": "::1"}]}, "ip_address"),
        ({"access": {"is_public": "yes"}}, "is_public"),
        ({"access": {"allowed_cidrs": ["10.0.0.0/33"]}}, "allowed_cidrs"),
        ({"access": {"allowed_cidrs": ["300.0.0.0/8"]}}, "allowed_cidrs"),
        ({"access": {"allowed_cidrs": ["10.0.0.0/8", "10.0.0.0/8"]}}, "allowed_cidrs"),
        ({"access": {"unknown": 1}}, "access"),
        ({"restorePoint": {"backupRef": "x"}}, "backupRef"),
        ({"restorePoint": {}}, "backupRef"),
        ({"replica_of": "x"}, "replica_of"),
        ({"replica_count": 4}, "replica_count"),
        ({"replica_count": 0}, "replica_count"),
        ({"modules": [{}]}, "modules"),
        ({"locality": "here"}, "locality"),
        ({"region_name": "Mars"}, "Mars"),
        ({"availability_zone": 5}, "availability_zone"),
    ],
)
def test_creations_that_are_refused_by_name(api, change, names):
    message = error(api.post("/instances", {"instance": {**SMALL, **change}}), 400, "badRequest")
    assert names in message
    assert api.get("/instances").json == {"instances": []}
    assert api.announcer.announced == []


@pytest.mark.parametrize("missing", ["name", "flavorRef", "volume"])
def test_creations_with_something_missing(api, missing):
    body = {key: value for key, value in SMALL.items() if key != missing}
    assert api.post("/instances", {"instance": body}).status_code == 400


def test_all_that_is_wrong_is_said_at_once(api):
    message = error(api.post("/instances", {"instance": {"name": "", "volume": {"size": 0}}}), 400, "badRequest")
    assert message == (
        "Validation error: instance['name'] '' is too short (at least 1); "
        "instance['name'] '' needs at least one letter or digit; instance['volume']['size'] 0 is less than the minimum of 1."
    )


def test_unknown_datastore_and_version(api):
    error(api.post("/instances", {"instance": {**SMALL, "datastore": {"type": "ghost"}}}), 404, "itemNotFound")
    result = api.post("/instances", {"instance": {**SMALL, "datastore": {"version": "ghost"}}})
    assert result.status_code in {400, 404}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAME = (
    st.sampled_from(["shop", "app", "", "mysql", "root", "%", "a/b", "ключ", "x" * 300, "\x00", "\ud800", "..", "\n", "'\"`;"])
    | JSON
)
ACCOUNT = st.fixed_dictionaries(
    {},
    optional={
        "name": NAME,
        "password": NAME,
        "host": NAME,
        "databases": JSON | st.lists(st.fixed_dictionaries({"name": NAME})),
        "collate": NAME,
        "character_set": NAME,
    },
)
ACCOUNTS = st.lists(ACCOUNT, max_size=3) | ACCOUNT | JSON
INSTANCE = st.fixed_dictionaries(
    {"name": NAME, "flavorRef": st.sampled_from([2, "2", 10**30, "http://x/2"]) | JSON},
    optional={
        "volume": st.fixed_dictionaries({"size": st.integers() | st.sampled_from(["1", "9" * 40])}, optional={"type": NAME})
        | JSON,
        "databases": ACCOUNTS,
        "users": ACCOUNTS,
        "datastore": st.dictionaries(st.sampled_from(["type", "version", "version_number"]), NAME),
        "nics": JSON,
        "access": JSON,
        "region_name": NAME,
        "availability_zone": NAME,
        "flavor": JSON,
        "replica_of": JSON,
        "configuration": JSON,
        "modules": JSON,
        "locality": JSON,
        "restorePoint": JSON,
        "replica_count": JSON,
    },
)
BODY = st.one_of(
    JSON,
    st.fixed_dictionaries({"instance": INSTANCE | JSON}),
    st.fixed_dictionaries({"databases": ACCOUNTS}),
    st.fixed_dictionaries({"database": ACCOUNT | JSON}),
    st.fixed_dictionaries({"users": ACCOUNTS}),
    st.fixed_dictionaries({"user": ACCOUNT | JSON}),
    st.fixed_dictionaries({"password": NAME}),
    st.dictionaries(st.sampled_from(["restart", "reset_status", "resize", "explode", "reset_password"]), JSON, max_size=2),
)


@pytest.mark.parametrize("route", WITH_BODY, ids=NAMES)
def test_no_body_whatever_makes_the_service_fail(long_lived, instance_id, route):
    api = long_lived

    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    @given(body=BODY)
    def fuzz(body):
        result = api.ask(route.method, address(route, instance_id), raw=json.dumps(body).encode(), user="admin")
        assert result.status_code < 500 or result.status_code == 501, (body, result.text)
        if result.status_code >= 400:
            (fault,) = result.json.values()
            assert fault["code"] == result.status_code

    fuzz()


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_no_bytes_whatever_make_the_service_fail(long_lived, instance_id, raw):
    api = long_lived
    assert api.ask("POST", f"/instances/{instance_id}/users", raw=raw).status_code == 400


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="?#"), max_size=30),
    query=st.text(st.characters(codec="ascii", exclude_characters="#"), max_size=30),
)
def test_no_path_or_query_whatever_makes_the_service_fail(long_lived, instance_id, path, query):
    api = long_lived
    for start in ("/instances", f"/instances/{instance_id}/users", "/operations", "/datastores"):
        result = api.get(f"{start}/{quote(path)}", query_string=quote(query, safe="&=%+"))
        assert result.status_code < 500 or result.status_code == 501, result.text
