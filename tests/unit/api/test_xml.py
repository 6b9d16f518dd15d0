"""XML says the same as JSON, in every request and every answer, and nothing dangerous is read."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.schemas import values

from trove.api import xml
from trove.api.routes import ROUTES
from trove.core.errors import InvalidInput

REQUESTS = {f"{route.method} {route.path}": route.schema for route in ROUTES if route.schema}
ANSWERS = {f"{route.method} {route.path}": route.answer for route in ROUTES if route.answer}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
CALM = settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def same(document, schema):
    raw = xml.write(document, schema)
    found = xml.read(raw, schema)
    assert json.dumps(found, sort_keys=True) == json.dumps(document, sort_keys=True), raw.decode()


@settings(max_examples=300, deadline=None, database=None)
@given(document=DOCUMENT)
def test_any_document_survives_without_a_schema(document):
    same(document, None)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_survives(name):
    schema = REQUESTS[name]

    @CALM
    @given(document=values(schema))
    def survive(document):
        same(document, schema)

    survive()


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_survives(name):
    schema = ANSWERS[name]

    @CALM
    @given(document=values(schema))
    def survive(document):
        same(document, schema)

    survive()


def test_what_an_instance_looks_like():
    schema = {
        "type": "object",
        "properties": {
            "instance": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "flavorRef": {"type": ["string", "integer"]},
                    "volume": {"type": "object", "properties": {"size": {"type": "integer"}}},
                    "users": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                    "configuration": {"type": ["string", "null"]},
                },
            }
        },
    }
    document = {
        "instance": {"name": "a<b", "flavorRef": 2, "volume": {"size": 1}, "users": [{"name": "app"}], "configuration": None}
    }
    text = xml.write(document, schema).decode()
    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<instance xmlns="{xml.NAMESPACE}" xmlns:j="{xml.HINTS}" xmlns:xsi="{xml.XSI}">'
        '<name>a&lt;b</name><flavorRef j:type="integer">2</flavorRef><volume><size>1</size></volume>'
        '<users><user><name>app</name></user></users><configuration xsi:nil="true" /></instance>'
    )
    assert xml.read(text.encode(), schema) == document
    older = (
        f'<instance xmlns="{xml.NAMESPACE}" name="a&lt;b" flavorRef="2">\n'
        '  <volume size="1"/>\n  <users><user name="app"/></users>\n</instance>'
    )
    assert xml.read(older.encode(), schema) == {
        "instance": {"name": "a<b", "flavorRef": "2", "volume": {"size": 1}, "users": [{"name": "app"}]}
    }


def test_a_page_has_its_links_behind_its_items():
    page = {"users": [{"name": "a"}], "links": [{"rel": "next", "href": "h"}]}
    listed = {"type": "array", "items": {"type": "object"}}
    schema = {"type": "object", "properties": {"users": listed, "links": listed}}
    text = xml.write(page, schema).decode()
    assert "<user><name>a</name></user><links><link><rel>next</rel><href>h</href></link></links></users>" in text
    assert xml.read(text.encode(), schema) == page


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("databases", "database"),
        ("backup_strategies", "backup_strategy"),
        ("addresses", "address"),
        ("allowed_cidrs", "allowed_cidr"),
        ("ip", "item"),
        ("indexes", "index"),
        ("s", "item"),
    ],
)
def test_items_are_named_by_the_singular(plural, one):
    assert xml.singular(plural) == one


LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">' for n in range(1, 10))
    + "]><instance><name>&lol9;</name></instance>"
)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (LAUGHS, "document type"),
        ('<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><instance><name>&f;</name></instance>', "document type"),
        ('<!DOCTYPE instance SYSTEM "http://127.0.0.1:1/x.dtd"><instance/>', "document type"),
        ("<instance><name>&unknown;</name></instance>", "not XML"),
        ("<a>" * 100_000 + "</a>" * 100_000, "nested"),
        ("<a>" * 50, "nested"),
        ("<instance>", "not XML"),
        ("", "not XML"),
        ("{}", "not XML"),
        ("<instance><name>a</name><name>b</name></instance>", "'name' twice"),
        ('<instance name="a"><name>b</name></instance>', "'name' twice"),
        ("<instance><users>text<user/></users></instance>", "elements only"),
        ("<instance><users><database/></users></instance>", "'user' only"),
        ("<instance><name><b>x</b></name></instance>", None),
        ('<instance xmlns="http://elsewhere/"/>', "namespace"),
        ('<?xml version="1.0" encoding="klingon"?><instance/>', "not XML"),
        (f'<instance xmlns:j="{xml.HINTS}"><name j:type="float">1</name></instance>', "float"),
        (f'<instance xmlns:j="{xml.HINTS}"><name j:escaped="true">\\u12</name></instance>', "escapes"),
        ("<instance>\x00</instance>", "not XML"),
        ("<instance>&#0;</instance>", "not XML"),
    ],
)
def test_what_is_refused(raw, says):
    schema = REQUESTS["POST /instances"]
    if says is None:
        assert xml.read(raw.encode(), schema) == {"instance": {"name": {"b": "x"}}}  # for the schema to refuse
        return
    with pytest.raises(InvalidInput, match=says):
        xml.read(raw.encode(), schema)
