"""Every list that comes in pages: all of it, each item once, whatever the size of a page and whatever is added meanwhile."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlparse

import pytest
from tests.http.bodies import SMALL, Things
from tests.support.http_api import Api

from trove.api.routes import ROUTES, Route
from trove.api.routes.route import INSTANCE

PAGED = [route for route in ROUTES if "links" in (route.answer or {}).get("properties", {})]


def _more(things: Things, what: str, new: Callable[[int], dict[str, Any]]) -> None:
    path = f"/instances/{things['instance_id']}/{what}"
    number = len(things.api.get(path, user=things.user).json[what])
    assert things.api.post(path, {what: [new(number)]}, user=things.user).status_code == 202


def _insert(things: Things) -> None:
    things.api.insert(project_id=things.project)


ONE_MORE: dict[str, Callable[[Things], Any]] = {
    "/instances": _insert,
    "/instances/detail": _insert,
    "/mgmt/instances": _insert,
    "/security-groups": _insert,
    "/operations": lambda things: things.api.post("/instances", {"instance": SMALL}, user=things.user),
    "/configurations": lambda things: things.make("/configurations", "configuration"),
    "/modules": lambda things: things.make("/modules", "module"),
    "/clusters": lambda things: things.make("/clusters", "cluster"),
    f"{INSTANCE}/databases": lambda things: _more(things, "databases", lambda n: {"name": f"a&b=%41 é{n}"}),
    f"{INSTANCE}/users": lambda things: _more(
        things, "users", lambda n: {"name": f"a&b=%41 é{n}", "password": "pw", "host": f"10.0.0.{n}"}
    ),
}
"""How one more item comes into each list."""
OF_BUSY_THINGS = {
    "/backups",
    f"{INSTANCE}/backups",
    f"{INSTANCE}/operations",
    "/configurations/{configuration_id}/instances",
    "/modules/{module_id}/instances",
    f"{INSTANCE}/modules",
}
"""Lists of what one thing has, which takes in no more while it is busy: the tests of their nouns page through them."""


def path_of(route: Route) -> str:
    return route.path


def test_every_list_is_tried() -> None:
    assert {route.path for route in PAGED} <= ONE_MORE.keys() | OF_BUSY_THINGS


BY_KEY = (
    "/databases",
    "/users",
    "/configurations",
    "/configurations/{configuration_id}/instances",
    "/modules",
    "/modules/{module_id}/instances",
)
BY_PLACE = [route for route in PAGED if not route.path.endswith(BY_KEY)]
"""Lists whose marker must be an item. The others go on after a name or id, whether or not it is still there."""
TRIED = [route for route in PAGED if route.path in ONE_MORE]


def ask(things: Things, path: str, **query: str) -> Any:
    result = things.api.get(path, user=things.user, params=query)
    assert result.status_code == 200, result.text
    return result.json


def key_of(route: Route) -> str:
    return route.answer["required"][0]


def names(route: Route, page: Any) -> list[str]:
    return [each.get("id") or f"{each['name']}@{each.get('host', '')}" for each in page[key_of(route)]]


@pytest.fixture
def things(roomy: Api, route: Route) -> Things:
    roomy.offer_everything()
    things = Things(roomy, "admin")
    path = things.address(route)
    while len(ask(things, path)[key_of(route)]) < 4:
        ONE_MORE[route.path](things)
    return things


@pytest.mark.parametrize("route", TRIED, ids=path_of)
def test_pages_of_one_have_all_of_it_in_order(things: Things, route: Route) -> None:
    path = things.address(route)
    whole = names(route, ask(things, path))
    page = ask(things, path, limit="1", unheard_of="a b&c") if route.path != "/operations" else ask(things, path, limit="1")
    found = names(route, page)
    while "links" in page:
        assert page[f"{key_of(route)}_links"] == page["links"]
        href = page["links"][0]["href"]
        assert href.startswith(f"http://falconframework.org/v1.0/p1{path}?")
        if route.path != "/operations":
            assert dict(parse_qsl(urlparse(href).query))["unheard_of"] == "a b&c"
        page = follow(things, page)
        found += names(route, page)
        assert len(found) <= len(whole)
    assert found == whole


def follow(things: Things, page: Any) -> Any:
    href = urlparse(page["links"][0]["href"])
    result = things.api.get(href.path, user=things.user, absolute=True, query_string=href.query)
    assert result.status_code == 200, result.text
    return result.json


@pytest.mark.parametrize("route", TRIED, ids=path_of)
def test_a_page_that_is_exactly_full_is_the_last(things: Things, route: Route) -> None:
    path = things.address(route)
    many = len(names(route, ask(things, path)))
    assert list(ask(things, path, limit=str(many))) == [key_of(route)]
    assert "links" in ask(things, path, limit=str(many - 1))
    assert len(names(route, ask(things, path, limit="0"))) == many


@pytest.mark.parametrize("route", TRIED, ids=path_of)
def test_what_is_added_meanwhile_moves_nothing(things: Things, route: Route) -> None:
    path = things.address(route)
    whole = names(route, ask(things, path))
    page = ask(things, path, limit="2")
    found = names(route, page)
    ONE_MORE[route.path](things)
    while "links" in page:
        page = follow(things, page)
        found += names(route, page)
    assert len(found) == len(set(found))
    assert [name for name in found if name in whole] == whole


@pytest.mark.parametrize("route", PAGED, ids=path_of)
@pytest.mark.parametrize("limit", ["-1", "x", "1.5", "1e3", "0x1", " 1", "9" * 19, "\u0661"])
def test_a_wrong_limit_is_named(long_lived: Any, route: Route, limit: str) -> None:
    things = Things(long_lived, "admin")
    result = long_lived.get(things.address(route), user="admin", params={"limit": limit})
    assert result.status_code == 400
    assert "limit" in result.json["badRequest"]["message"]


@pytest.mark.parametrize("route", BY_PLACE, ids=path_of)
@pytest.mark.parametrize("marker", ["11111111-2222-4333-8444-555555555555", "../x", "' OR 1=1", "-1"])
def test_an_unknown_marker_is_named(long_lived: Any, route: Route, marker: str) -> None:
    things = Things(long_lived, "admin")
    result = long_lived.get(things.address(route), user="admin", params={"marker": marker})
    assert result.status_code == 400, result.text
    assert "marker" in result.json["badRequest"]["message"]


def test_another_projects_item_is_no_marker(api: Any) -> None:
    theirs = api.insert(project_id="p2")
    result = api.get("/instances", params={"marker": theirs})
    assert result.status_code == 400
