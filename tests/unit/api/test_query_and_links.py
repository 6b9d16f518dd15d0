from urllib.parse import parse_qsl, urlparse

import pytest

from trove.api import query
from trove.api.handlers.databases import name_marker, quoted
from trove.api.links import Links, base_url
from trove.api.schemas.scalars import QUERY_FLAG, QUERY_UUID, paged
from trove.api.schemas.validation import Validator
from trove.core.errors import InvalidInput


@pytest.mark.parametrize(("given", "effective"), [("", 20), ("0", 20), ("5", 5), ("20", 20), ("21", 20), ("999999999", 20)])
def test_limit(given, effective):
    assert query.limit({"limit": given}, 20) == effective


@pytest.mark.parametrize("given", ["-1", "x", "1e3", " 1", "+1", "0x10", "9" * 40])
def test_wrong_limit(given):
    with pytest.raises(InvalidInput, match="limit"):
        query.limit({"limit": given}, 20)


def test_the_last_of_a_repeated_parameter_counts():
    assert query.parse("a=1&a=2&b=") == {"a": "2", "b": ""}


@pytest.mark.parametrize("text", ["a=%00", "%00=a", "&".join(f"a{n}=1" for n in range(101))])
def test_wrong_queries(text):
    with pytest.raises(InvalidInput):
        query.parse(text)


@pytest.mark.parametrize("marker", ["plain", "50%", "a&b=c", "zoë", "a b", "x@%"])
def test_name_markers_survive_a_client_that_decodes_once_and_one_that_does_not_encode(marker):
    links = Links("http://h", "p", "/p/instances/i/users", {"limit": "2", "x": "y z"})
    url = urlparse(links.next(quoted(marker), 2)[0]["href"])
    found = dict(parse_qsl(url.query))
    assert found["x"] == "y z"
    assert name_marker(found) == marker
    assert name_marker(query.parse(f"marker={found['marker']}")) == marker


def test_a_name_that_looks_encoded_survives_a_client_that_encodes():
    links = Links("http://h", "p", "/p/instances/i/users", {})
    assert name_marker(query.parse(urlparse(links.next(quoted("a%41"), 2)[0]["href"]).query)) == "a%41"


@pytest.mark.parametrize(
    ("environ", "public", "base"),
    [
        ({"wsgi.url_scheme": "https", "HTTP_HOST": "h:1", "SCRIPT_NAME": "/v1.0"}, None, "https://h:1"),
        ({"wsgi.url_scheme": "http", "HTTP_HOST": "h", "SCRIPT_NAME": "/database/v1.0"}, None, "http://h/database"),
        ({"wsgi.url_scheme": "http", "SERVER_NAME": "n", "SERVER_PORT": "8779"}, None, "http://n:8779"),
        ({"wsgi.url_scheme": "http", "SERVER_NAME": "n", "SERVER_PORT": "80"}, None, "http://n"),
        ({"HTTP_HOST": "h"}, "https://public/db/", "https://public/db"),
        ({"HTTP_HOST": "h"}, "https://public/v1.0", "https://public"),
    ],
)
def test_base_url(environ, public, base):
    assert base_url(environ, public) == base


FLAGS = Validator(paged(deep=QUERY_FLAG, owner=QUERY_UUID))


@pytest.mark.parametrize(
    "given",
    [{"deep": text} for text in ("", "true", "True", "TRUE", "false", "False", "0", "1", "yes", "No")]
    + [
        {"limit": "0"},
        {"limit": ""},
        {"marker": "any@%"},
        {"owner": ""},
        {"owner": "A1111111-2222-4333-8444-555555555555"},
        {"x": "\x7f"},
    ],
)
def test_what_clients_send_is_taken(given):
    FLAGS.check_query(given)
    query.flag(given, "deep")
    query.limit(given, 20)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"deep": "maybe"}, "query parameter deep 'maybe' is not true or false"),
        ({"deep": "01"}, "deep"),
        ({"limit": "-1"}, "query parameter limit '-1' is not a whole number of 0 or more"),
        ({"limit": "1\n"}, "limit"),
        ({"owner": "me"}, "query parameter owner 'me' is not a UUID"),
        ({"owner": "me", "limit": "x"}, "owner.*limit|limit.*owner"),
    ],
)
def test_what_makes_no_sense_is_named(given, says):
    with pytest.raises(InvalidInput, match=says):
        FLAGS.check_query(given)


def test_a_page_has_its_link_twice_and_the_last_has_none():
    links = Links("https://h/db", "p", "/p/instances.xml", {"include_clustered": "False", "marker": "old", "limit": "9"})
    page = links.page("instances", [1], "m&x", 1)
    assert page["links"] == page["instances_links"]
    href = page["links"][0]["href"]
    assert href == "https://h/db/v1.0/p/instances.xml?include_clustered=False&marker=m%26x&limit=1"
    assert links.page("instances", [1], None, 1) == {"instances": [1]}
