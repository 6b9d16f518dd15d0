"""Holds every answer in the tests against what its route promises, so that the OpenAPI document cannot lie."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

from falcon import testing
from jsonschema import Draft4Validator
from tests.support.schemas import strict

from trove.api import openapi
from trove.api.routes import ROUTES, Route
from trove.api.schemas.faults import FAULT

_FAULT = Draft4Validator(FAULT)


def check(method: str, path: str, result: testing.Result) -> None:
    """Fail when the answer to a request for `path`, as it was sent, is not what the document says."""
    if not re.match(r"/v1\.0/[^/]+/[^/]", path) or result.headers.get("content-type", "").endswith("xml") or method == "HEAD":
        return
    what = f"{method} {path}: {result.status_code} {result.text[:2000]}"
    if result.status_code >= 400:
        _valid(_FAULT, result.json, what)
    route = _route(method, path)
    if route is None:
        assert result.status_code in {401, 403, 404, 413, 503} or path.endswith("/extensions") or "/extensions/" in path, what
        return
    if result.status_code >= 400:
        allowed = {*openapi.codes_of_faults(route), 500}
        assert result.status_code in allowed, f"{what}: not one of the faults of this route, {sorted(allowed)}"
        return
    assert result.status_code == route.status, f"{what}: documented is {route.status}"
    if result.content:
        assert route.answer is not None, f"{what}: a body, but {route.method} {route.path} has no schema of an answer"
        _valid(_validator(route), result.json, what)
    else:
        assert route.answer is None, f"{what}: no body, but {route.method} {route.path} has a schema of an answer"


def schema_of(method: str, path: str) -> dict[str, Any] | None:
    """Return the schema of the answer to a request for `path`, which may end with `.json` or `.xml`."""
    route = _route(method, path)
    return route.answer if route else None


def _valid(validator: Any, document: Any, what: str) -> None:
    errors = [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in validator.iter_errors(document)]
    assert not errors, f"{what}: not as documented: {errors[:5]}"


@cache
def _validator_of(number: int) -> Any:
    return Draft4Validator(strict(ROUTES[number].answer))


def _validator(route: Route) -> Any:
    return _validator_of(next(number for number, each in enumerate(ROUTES) if each is route))


@cache
def _patterns() -> Sequence[tuple[re.Pattern[str], Route]]:
    """Return what matches each route's paths, those with fewer placeholders first, as the router prefers them."""
    ordered = sorted(ROUTES, key=lambda route: [part.startswith("{") for part in route.path.split("/")])
    return [(re.compile(r"/v1\.0/[^/]+" + re.sub(r"\{\w+\}", "[^/]+", route.path)), route) for route in ordered]


def _route(method: str, path: str) -> Route | None:
    path = re.sub(r"\.(json|xml)$", "", path)
    for shown in (path, unquote(path)):
        for pattern, route in _patterns():
            if route.method == method and pattern.fullmatch(shown):
                return route
    return None
