"""Hand-picked abuses, tried on every route there is: none gets through, and none makes the service fail."""

import json
import logging
import re
from urllib.parse import quote

import pytest
from falcon import testing
from tests.http.bodies import Things
from tests.http.test_instances import error
from tests.support.http_api import PROJECT, basic

from trove.api.routes import ROUTES

WITH_BODY = [route for route in ROUTES if route.schema is not None]
WITH_PLACE = [route for route in ROUTES if "{" in route.path]
WITH_QUERY = [route for route in ROUTES if route.query is not None]
MIB = 1024 * 1024

TEXTS = {
    "traversal": "../../../../etc/passwd",
    "traversal, encoded": "..%2f..%2fetc%2fpasswd",
    "CR LF": "a\r\nX-Evil: 1\r\n\r\n<html>",
    "SQL": "a'; DROP TABLE instances; --",
    "SQL wildcards": "%_%' OR '1'='1",
    "shell": "a$(touch /tmp/pwned)`id`;|&&>x",
    "template": "{{7*7}}${jndi:ldap://x}%(x)s%s%n",
    "right to left": "\u202eetxt.exe",
    "combining": "e" + "\u0301" * 100,
    "astral": "\U0001f986" * 20,
    "no character": "a\ufffe\uffff",
    "controls": "a\x01\x1b[31m\x7f",
    "blank": " \t ",
    "long": "x" * 100_000,
    "empty": "",
}
NUMBERS = [2**31, 2**63, 2**64, -(2**63), -1, 10**400, 1e308, -1e-308, 1.5, True, "9" * 40, None, [], {}]


def name_of(route):
    return f"{route.method} {route.path}"


def leaves(document, kinds, path=()):
    """Yield the way to each value of these types."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, kinds, (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from leaves(value, kinds, (*path, number))
    elif isinstance(document, kinds):
        yield path


def changed(document, path, value):
    copy = json.loads(json.dumps(document))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def harmless(result, caplog):
    assert result.status_code < 500 or result.status_code == 501, result.text
    assert "x-evil" not in result.headers
    assert "Traceback" not in result.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
@pytest.mark.parametrize("user", ["member", "admin"])
def test_no_text_in_any_field_does_harm(long_lived, route, user, caplog):
    things = Things(long_lived, user)
    body = things.body(route)
    for path in leaves(body, str):
        for text in TEXTS.values():
            harmless(long_lived.ask(route.method, things.address(route), changed(body, path, text), user=user), caplog)
        for unstorable in (b"\\u0000", b"\\ud800"):
            raw = json.dumps(changed(body, path, "@@")).encode().replace(b"@@", b"a" + unstorable)
            result = long_lived.ask(route.method, things.address(route), raw=raw, user=user)
            assert result.status_code in {400, 401, 404}, result.text
    assert long_lived.get("/instances").status_code == 200


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
def test_no_number_in_any_field_does_harm(long_lived, route, caplog):
    things = Things(long_lived, "admin")
    body = things.body(route)
    for path in leaves(body, (int, str, type(None))):
        for number in NUMBERS:
            harmless(long_lived.ask(route.method, things.address(route), changed(body, path, number), user="admin"), caplog)


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
def test_a_key_twice_is_refused_wherever_it_stands(long_lived, route):
    things = Things(long_lived, "admin")
    raw = json.dumps(things.body(route)).encode()
    for found in re.finditer(rb'("[^"]+"): ', raw):
        doubled = raw[: found.start()] + found[1] + b": 1, " + raw[found.start() :]
        error(long_lived.ask(route.method, things.address(route), raw=doubled, user="admin"), 400, "badRequest")


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
def test_xml_bombs_do_not_go_off(long_lived, route):
    things = Things(long_lived, "admin")
    laughs = '<!DOCTYPE x [<!ENTITY a "haha">' + "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for raw, code in (
        (f"{laughs}]><x>&i;</x>".encode(), 400),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', 400),
        (b"<x>" * 100_000 + b"</x>" * 100_000, 400),
        (b"<x>" + b"x" * 10 * MIB + b"</x>", 413),
    ):
        headers = {"Content-Type": "application/xml"}
        result = long_lived.ask(route.method, things.address(route), raw=raw, user="admin", headers=headers)
        error(result, code, "badRequest" if code == 400 else "overLimit")


@pytest.mark.parametrize("route", WITH_PLACE, ids=name_of)
def test_no_path_does_harm(long_lived, route, caplog):
    for user in ("member", "admin"):
        things = Things(long_lived, user)
        names = re.findall(r"\{(\w+)\}", route.path)
        body = things.body(route)
        for name in names:
            for text in (*TEXTS.values(), "..", ".", "%2e%2e", "\x00", "0" * 36, "-1"):
                if text in {"", TEXTS["long"]}:
                    continue
                path = route.path.format_map({each: quote(text if each == name else things[each], safe="") for each in names})
                harmless(long_lived.ask(route.method, path, body, user=user), caplog)


@pytest.mark.parametrize("route", WITH_PLACE, ids=name_of)
def test_an_empty_name_is_nothing(long_lived, route):
    things = Things(long_lived, "admin")
    for name in re.findall(r"\{(\w+)\}", route.path):
        path = route.path.replace(f"{{{name}}}", "").format_map(things)
        error(long_lived.ask(route.method, path, things.body(route), user="admin"), 404, "itemNotFound")


@pytest.mark.parametrize("route", WITH_QUERY, ids=name_of)
def test_no_query_does_harm(long_lived, route, caplog):
    things = Things(long_lived, "admin")
    path = things.address(route)
    for name in (*route.query["properties"], "unheard_of"):
        for value in (*TEXTS.values(), "-1", "1e3", "0x10", "9" * 40, str(2**63), "\u0663", "True", "maybe"):
            if value != TEXTS["long"]:
                harmless(long_lived.ask(route.method, path, user="admin", query_string=f"{name}={quote(value)}"), caplog)


def wrong_of(schema):
    pattern = schema.get("pattern", "")
    return [text for text in ("-1", "x y", "1.5", "maybe") if pattern and not re.search(pattern, text)]


@pytest.mark.parametrize("route", WITH_QUERY, ids=name_of)
def test_a_wrong_parameter_is_named_and_an_unknown_one_ignored(long_lived, route):
    things = Things(long_lived, "admin")
    path = things.address(route)
    for name, schema in route.query["properties"].items():
        for value in wrong_of(schema):
            result = long_lived.ask(route.method, path, user="admin", query_string=f"{name}={quote(value)}")
            assert name in error(result, 400, "badRequest")


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "\x00", "x" * 20_000, "\xff\xfe", "\u202e".encode().decode("latin-1")]
)
@pytest.mark.parametrize("name", ["ACCEPT", "X_OPENSTACK_REQUEST_ID", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "HOST", "ORIGIN"])
def test_no_header_does_harm(long_lived, name, value, caplog):
    """Also those that no good web server would let through to us."""
    environ = testing.create_environ(f"/v1.0/{PROJECT}/flavors/1", headers={"Authorization": basic("member")})
    started = []
    body = b"".join(long_lived.app({**environ, f"HTTP_{name}": value}, lambda *args: started.append(args)))
    status, headers = started[-1][:2]
    assert status[0] in "24", body
    assert all("\n" not in text and "\r" not in text and "\x00" not in text for header in headers for text in header)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
