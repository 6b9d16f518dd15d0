"""What the table of routes promises: to the gateway, and to those who read its OpenAPI document."""

import re
from typing import Any, get_type_hints

import pytest

from trove.api import openapi
from trove.api.handlers import databases, mgmt_guests, root, users
from trove.api.routes import GUEST_PATH, ROUTES, Route
from trove.api.routes.route import INSTANCE

ASKING = (f"{INSTANCE}/modules", f"{INSTANCE}/log", f"{INSTANCE}/ssl", "/clusters/{cluster_id}/root")
"""Of nouns whose other routes ask nobody, or that wait for an operation that asks them."""
ASK_GUESTS = {databases.__name__, mgmt_guests.__name__, root.__name__, users.__name__}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("version", ["/v1.0", ""])
def test_what_waits_for_guests_is_told_by_its_path(route: Route, version: str) -> None:
    path = f"{version}/p1" + re.sub(r"\{\w+\}", "users", route.path)
    assert bool(GUEST_PATH.match(path)) == asks_a_guest(route)
    if not route.path.endswith("}"):
        assert bool(GUEST_PATH.match(f"{path}.xml")) == asks_a_guest(route)


def asks_a_guest(route: Route) -> bool:
    return route.handler.__module__ in ASK_GUESTS or route.path.startswith(ASKING)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_says_all_that_clients_need_to_know(route: Route) -> None:
    assert route.summary.endswith("."), "a sentence for the API reference"
    if openapi.always_refuses(route):
        return
    if route.answer is None:
        assert route.method != "GET" or route.status == 204, "a GET answers with something"
        assert returns(route) is type(None), "no schema of the answer"
    else:
        assert returns(route) is not type(None), "a schema of an answer that does not come"
        assert route.status != 204


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if "links" in (route.answer or {}).get("properties", {})], ids=lambda route: route.path
)
def test_a_list_with_pages_takes_a_limit_and_a_marker(route: Route) -> None:
    assert route.query is not None
    assert {"limit", "marker"} <= set(route.query["properties"])
    (key,) = route.answer["required"]
    assert set(route.answer["properties"]) == {key, "links", f"{key}_links"}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.query], ids=lambda route: f"{route.method} {route.path}")
def test_query_parameters_are_text(route: Route) -> None:
    assert all(each.get("type") == "string" or "enum" in each for each in route.query["properties"].values())


def test_no_two_routes_are_the_same() -> None:
    shapes = [(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES]
    assert len(shapes) == len(set(shapes))


def returns(route: Route) -> Any:
    return get_type_hints(route.handler)["return"]
