"""Wrong requests over the network: each gets a clear 4xx in the contract's shape, never a 500, and changes nothing."""

import http.client
import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.stack import Reply, Stack

UNKNOWN = "00000000-0000-4000-8000-000000000000"
GOOD: dict[str, Any] = {
    "name": "good",
    "flavorRef": "1",
    "volume": {"size": 1},
    "datastore": {"type": "mariadb"},
    "databases": [{"name": "shop"}],
    "users": [{"name": "alice", "password": "secret", "databases": [{"name": "shop"}]}],
}
FAULTS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflict",
    413: "overLimit",
    422: "unprocessableEntity",
    501: "notImplemented",
}

CREATES: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("no name", {"name": None}, (400,)),
    ("empty name", {"name": ""}, (400,)),
    ("name of blanks", {"name": "   "}, (400,)),
    ("name too long", {"name": "n" * 256}, (400,)),
    ("name is a number", {"name": 7}, (400,)),
    ("name is a list", {"name": ["x"]}, (400,)),
    ("unknown flavor", {"flavorRef": "nope"}, (400,)),
    ("flavor is an object", {"flavorRef": {}}, (400,)),
    ("flavor is huge", {"flavorRef": "9" * 300}, (400,)),
    ("no volume", {"volume": None}, (400,)),
    ("volume without size", {"volume": {}}, (400,)),
    ("volume of zero", {"volume": {"size": 0}}, (400,)),
    ("negative volume", {"volume": {"size": -1}}, (400,)),
    ("volume of words", {"volume": {"size": "big"}}, (400,)),
    ("fractional volume", {"volume": {"size": 1.5}}, (400,)),
    ("volume too large", {"volume": {"size": 10_000}}, (413,)),
    ("volume absurdly large", {"volume": {"size": 10**30}}, (400, 413)),
    ("unknown volume type", {"volume": {"size": 1, "type": "gold"}}, (400,)),
    ("unknown datastore", {"datastore": {"type": "oracle"}}, (404,)),
    ("unknown version", {"datastore": {"type": "mariadb", "version": "0.1"}}, (400, 404)),
    ("datastore is a word", {"datastore": "mariadb"}, (400,)),
    ("databases are an object", {"databases": {"name": "x"}}, (400,)),
    ("database without name", {"databases": [{}]}, (400,)),
    ("database twice", {"databases": [{"name": "shop"}, {"name": "shop"}]}, (400,)),
    ("reserved database", {"databases": [{"name": "mysql"}]}, (400,)),
    ("database name too long", {"databases": [{"name": "d" * 65}]}, (400,)),
    ("database name with a slash", {"databases": [{"name": "a/b"}]}, (400,)),
    ("unknown character set", {"databases": [{"name": "x", "character_set": "klingon"}]}, (400,)),
    (
        "collation of another character set",
        {"databases": [{"name": "x", "character_set": "latin1", "collate": "utf8mb4_bin"}]},
        (400,),
    ),
    ("user without password", {"users": [{"name": "bob"}]}, (400,)),
    ("user without name", {"users": [{"password": "secret"}]}, (400,)),
    ("user twice", {"users": [{"name": "bob", "password": "x1"}, {"name": "bob", "password": "x2"}]}, (400,)),
    ("reserved user", {"users": [{"name": "root", "password": "secret"}]}, (400,)),
    ("user name too long", {"users": [{"name": "u" * 200, "password": "secret"}]}, (400,)),
    (
        "user of a database that is not there",
        {"users": [{"name": "bob", "password": "x", "databases": [{"name": "nope"}]}]},
        (400,),
    ),
    ("host that is none", {"users": [{"name": "bob", "password": "secret", "host": "not a host"}]}, (400,)),
    ("two nics", {"nics": [{"net-id": "a"}, {"net-id": "b"}]}, (400,)),
    ("nic with a port", {"nics": [{"port-id": "x"}]}, (400,)),
    ("cidr that is none", {"access": {"is_public": True, "allowed_cidrs": ["300.0.0.0/8"]}}, (400,)),
    ("replica count without a source", {"replica_count": 2}, (400, 501)),
    ("replica of nothing", {"replica_of": UNKNOWN}, (400, 404, 501)),
    ("locality that is none", {"locality": "sideways"}, (400,)),
]


def refused(reply: Reply, *expected: int) -> None:
    assert reply.status in expected, f"{reply.status}: {reply.text}"
    name = FAULTS[reply.status]
    assert set(reply.body) == {name}, reply.text
    assert reply.body[name]["code"] == reply.status
    message = reply.body[name]["message"]
    assert message
    assert "Traceback" not in message
    assert 'File "' not in message


@pytest.mark.parametrize(("change", "expected"), [(case[1], case[2]) for case in CREATES], ids=[case[0] for case in CREATES])
def test_a_create_with_something_wrong_is_refused(shared: Stack, change: dict[str, Any], expected: tuple[int, ...]) -> None:
    wanted = {name: value for name, value in (GOOD | change).items() if value is not None}
    refused(shared.request("POST", "/instances", {"instance": wanted}), *expected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"instance": null}',
        b'{"instance": []}',
        b"\xff\xfe",
        b'{"instance": ' + b"[" * 5000,
    ],
    ids=["empty", "cut", "list", "null", "text", "bare", "null inside", "list inside", "not utf-8", "deep"],
)
def test_a_body_that_is_no_request_is_refused(shared: Stack, body: bytes) -> None:
    refused(shared.request("POST", "/instances", body), 400)


def test_a_body_of_ten_megabytes_is_refused_without_being_read_into_the_log(shared: Stack) -> None:
    try:
        reply = shared.request("POST", "/instances", json.dumps({"instance": GOOD | {"name": "x" * 10_000_000}}).encode())
    except (OSError, http.client.HTTPException):
        reply = None  # It may hang up on whoever goes on sending.
    if reply is not None:
        refused(reply, 400, 413)
    assert (shared.root / "log" / "trove-api.log").stat().st_size < 5_000_000


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream"])
def test_another_content_type_is_415(shared: Stack, content_type: str) -> None:
    assert shared.request("POST", "/instances", {"instance": GOOD}, headers={"Content-Type": content_type}).status == 415


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("PUT", "", {"instance": {"name": "new"}}),
        ("PATCH", "", {"instance": {"name": "new"}}),
        ("POST", "/action", {"restart": {}}),
        ("GET", "/databases", None),
        ("POST", "/databases", {"databases": [{"name": "x"}]}),
        ("DELETE", "/databases/x", None),
        ("GET", "/users", None),
        ("POST", "/users", {"users": [{"name": "bob", "password": "secret"}]}),
        ("GET", "/users/bob", None),
        ("DELETE", "/users/bob", None),
        ("GET", "/users/bob/databases", None),
        ("PUT", "/users/bob/databases", {"databases": [{"name": "x"}]}),
        ("DELETE", "/users/bob/databases/x", None),
        ("GET", "/root", None),
        ("POST", "/root", None),
        ("DELETE", "/root", None),
    ],
)
def test_unknown_instances_and_those_of_other_projects_are_not_found(
    shared: Stack, theirs: str, method: str, path: str, body: Any
) -> None:
    refused(shared.request(method, f"/instances/{UNKNOWN}{path}", body), 404)
    refused(shared.request(method, f"/instances/{theirs}{path}", body, user="demo"), 404)


@pytest.mark.parametrize("instance_id", ["x", "..%2f..", "%00", "a" * 3000, "%ff", "'%20OR%201=1"])
def test_ids_that_are_none_are_not_found(shared: Stack, instance_id: str) -> None:
    reply = shared.request("GET", f"/instances/{instance_id}")
    assert reply.status in {400, 404, 414}, reply.text


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "limit=1e9", f"marker={UNKNOWN}x", "include_clustered=perhaps"])
def test_list_parameters_that_are_wrong_are_refused(shared: Stack, query: str) -> None:
    reply = shared.request("GET", f"/instances?{query}")
    assert reply.status in {200, 400}, reply.text
    assert reply.status == 400 or not query.startswith("limit=")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dance": {}},
        {"restart": "now"},
        {"resize": {}},
        {"resize": {"volume": {"size": "x"}}},
        [],
        None,
        {"restart": {}, "resize": {}},
    ],
)
def test_actions_that_are_none_are_refused(shared: Stack, theirs: str, body: Any) -> None:
    reply = shared.request("POST", f"/instances/{theirs}/action", body)
    refused(reply, 400, 501)


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/databases", {"databases": []}, (202, 400)),
        ("POST", "/databases", {"databases": [{"name": "mysql"}]}, (400,)),
        ("POST", "/databases", {"databases": [{"name": "shop"}]}, (400,)),
        ("DELETE", "/databases/nope", None, (404,)),
        ("DELETE", "/databases/mysql", None, (400, 404)),
        ("GET", "/databases/shop", None, (501,)),
        ("POST", "/users", {"users": [{"name": "alice", "password": "x"}]}, (400,)),
        ("POST", "/users", {"users": [{"name": "root", "password": "x"}]}, (400,)),
        ("PUT", "/users/nobody", {"user": {"password": "x"}}, (404,)),
        ("PUT", "/users/alice", {"user": {}}, (400,)),
        ("DELETE", "/users/nobody", None, (404,)),
        ("PUT", "/users/alice/databases", {"databases": [{"name": "nope"}]}, (400, 404)),
        ("DELETE", "/users/alice/databases/nope", None, (404,)),
        ("DELETE", "/root", None, (404,)),
    ],
)
def test_accounts_that_cannot_be_are_refused(
    shared: Stack, theirs: str, method: str, path: str, body: Any, expected: tuple[int, ...]
) -> None:
    reply = shared.request(method, f"/instances/{theirs}{path}", body)
    assert reply.status in expected, reply.text


@pytest.mark.parametrize("name", ["o'brien", "back`tick", "per%cent", "ünïcode", 'quo"te', "n" * 64])
def test_a_name_is_refused_by_the_engines_rules_or_works_in_earnest(shared: Stack, theirs: str, name: str) -> None:
    password = "p'\"`%\\ $x;é"
    wanted = {"name": name, "password": password, "databases": [{"name": "shop"}]}
    reply = shared.request("POST", f"/instances/{theirs}/users", {"users": [wanted]})
    if reply.status != 202:
        refused(reply, 400)
        return
    shown = shared.show(theirs)
    assert shown is not None
    shared.connect(shown, user=name, password=password).close()
    assert name in [user.name for user in shared.client().users.list(theirs)]
    assert shared.request("DELETE", f"/instances/{theirs}/users/{quote(name, safe='')}").status == 202
    assert name not in [user.name for user in shared.client().users.list(theirs)]


def test_without_the_right_password_nothing_is_told(shared: Stack) -> None:
    for authorization in ("", "Basic x", "Basic YWRtaW46d3Jvbmc=", "Bearer abc"):
        reply = shared.request("GET", "/instances", headers={"Authorization": authorization})
        assert reply.status == 401
        assert "mariadb" not in reply.text


def test_another_projects_url_is_forbidden(shared: Stack) -> None:
    environ = shared.environment("demo")
    project = shared.project("admin")
    original = environ["OS_ENDPOINT"]
    environ["OS_ENDPOINT"] = original.rpartition("/")[0] + "/" + project
    try:
        refused(shared.request("GET", "/instances", user="demo"), 403)
    finally:
        environ["OS_ENDPOINT"] = original


@pytest.fixture(scope="module")
def theirs(shared: Stack) -> Any:
    """Return an instance of the admin's project, which `demo` must not see."""
    instance_id = shared.create("theirs")
    shared.await_healthy(instance_id)
    yield instance_id
    shared.delete(instance_id)
    shared.await_gone(instance_id)
