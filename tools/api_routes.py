"""The reference in doc/api.md: every route as the OpenAPI document has it, and which of the contract's routes are missing."""

import re
from collections.abc import Iterator
from typing import Any

from trove.api import openapi
from trove.api.faults import KEYS
from trove.api.routes import ROUTES, Route
from trove.api.schemas.scalars import DESCRIPTIONS

CONTRACT = """
GET /flavors
GET /flavors/{id}
GET /limits
GET /datastores
GET DELETE /datastores/{id}
GET /datastores/{id}/versions
GET /datastores/{id}/versions/{id}
GET /datastores/versions/{id}
GET /datastores/{id}/versions/{id}/flavors
GET /datastores/{id}/versions/{id}/volume-types
GET /datastores/{id}/versions/{id}/parameters
GET /datastores/{id}/versions/{id}/parameters/{name}
GET /datastores/versions/{id}/parameters
GET /datastores/versions/{id}/parameters/{name}
GET POST /instances
GET /instances/detail
GET PUT PATCH DELETE /instances/{id}
POST /instances/{id}/action
GET /instances/{id}/backups
GET /instances/{id}/configuration
GET POST /instances/{id}/log
GET POST /instances/{id}/ssl
GET POST /instances/{id}/modules
DELETE /instances/{id}/modules/{id}
GET POST /instances/{id}/databases
GET DELETE /instances/{id}/databases/{name}
GET POST PUT /instances/{id}/users
GET PUT DELETE /instances/{id}/users/{name}
GET PUT /instances/{id}/users/{name}/databases
DELETE /instances/{id}/users/{name}/databases/{name}
GET POST DELETE /instances/{id}/root
GET POST /clusters
GET POST DELETE /clusters/{id}
GET /clusters/{id}/instances/{id}
GET POST /clusters/{id}/root
GET POST /backups
GET DELETE /backups/{id}
GET POST DELETE /backup_strategies
GET POST /configurations
GET PUT PATCH DELETE /configurations/{id}
GET /configurations/{id}/instances
GET POST /modules
GET PUT DELETE /modules/{id}
GET PUT /modules/{id}/instances
GET /mgmt/instances
GET /mgmt/instances/{id}
GET /mgmt/instances/{id}/root
GET /mgmt/instances/{id}/diagnostics
GET /mgmt/instances/{id}/hwinfo
GET /mgmt/instances/{id}/rpc_ping
POST /mgmt/instances/{id}/action
POST /mgmt/instances/{id}/upgrade
GET /mgmt/clusters
GET /mgmt/clusters/{id}
POST /mgmt/clusters/{id}/action
GET PUT /mgmt/quotas/{id}
GET POST /mgmt/datastore-versions
GET PATCH DELETE /mgmt/datastore-versions/{id}
GET POST /mgmt/datastores/versions/{id}/parameters
GET PUT DELETE /mgmt/datastores/versions/{id}/parameters/{name}
GET /mgmt/accounts
GET /mgmt/accounts/{id}
GET /mgmt/hosts
GET /mgmt/hosts/{name}
POST /mgmt/hosts/{name}/instances/action
GET /mgmt/storage
GET /security-groups
GET /security-groups/{id}
POST /security-group-rules
DELETE /security-group-rules/{id}
"""
"""What Trove's API v1.0 has below `/v1.0/{project_id}`, with the routes of Liberty that clients still send."""

JSON_TYPE = "application/json"
LONGEST_ENUM = 12


def routes_text() -> str:
    """Return an overview of all routes, their reference by noun, and what is missing."""
    return "\n".join(["", *_overview(), *_nouns(), *_missing()])


def missing_routes() -> dict[str, list[str]]:
    """Return the methods of the contract that no route has, by path."""
    have = {(route.method, _shape(route.path)) for route in ROUTES}
    found: dict[str, list[str]] = {}
    for line in CONTRACT.strip().split("\n"):
        *methods, path = line.split()
        absent = [method for method in methods if (method, _shape(path)) not in have]
        if absent:
            found[path] = absent
    return found


def _overview() -> Iterator[str]:
    yield "| Method and path | Answer | What it does |"
    yield "| --- | --- | --- |"
    for route in _by_noun():
        code = "501" if openapi.always_refuses(route) else str(route.status)
        yield f"| [`{route.method} {route.path}`](#{_anchor(route)}) | {code} | {_cell(openapi.summary(route))} |"
    yield ""


def _by_noun() -> list[Route]:
    return sorted(ROUTES, key=openapi.noun)


def _nouns() -> Iterator[str]:
    document = openapi.document()
    noun = ""
    for route in _by_noun():
        if openapi.noun(route) != noun:
            noun = openapi.noun(route)
            yield f"## {noun.replace('_', ' ').capitalize()}"
            yield ""
        operation = document["paths"][f"/v1.0/{{project_id}}{route.path}"][route.method.lower()]
        yield from _route(route, operation)


def _route(route: Route, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {route.method} {route.path}"
    yield ""
    yield f"{openapi.summary(route)} {operation['description']}"
    yield ""
    if operation.get("parameters"):
        yield from _table("Query parameter", [(f"`{each['name']}`", *_parameter(each)) for each in operation["parameters"]])
    if route.schema is not None:
        yield from _table("Field of the body" + (" (may be left out)" if route.optional else ""), list(_fields(route.schema)))
    if route.answer is not None:
        yield from _table(f"Field of the answer {route.status}", list(_fields(route.answer)))
    elif not openapi.always_refuses(route):
        yield f"Answers {route.status} without a body."
        yield ""
    yield f"Faults: {', '.join(f'{code} `{KEYS[code]}`' for code in openapi.codes_of_faults(route))}."
    yield ""


def _table(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield f"| {title} | Type | Rules |"
        yield "| --- | --- | --- |"
        yield from (f"| {' | '.join(row)} |" for row in rows)
        yield ""


def _parameter(parameter: dict[str, Any]) -> tuple[str, str]:
    schema = parameter["schema"]
    rules = [parameter["description"]] if "description" in parameter else []
    return _type(schema), _cell(" ".join([*rules, _rules(schema)]).strip())


def _fields(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, str, str]]:
    required = set(schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        path = f"{place}.{name}" if place else name
        rules = "; ".join(part for part in ("required" if name in required else "", _rules(inner)) if part)
        yield f"`{path}`", _type(inner), _cell(rules)
        yield from _inside(inner, path)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        yield f"`{place}.*`" if place else "`*`", _type(others), _cell(_rules(others))
        yield from _inside(others, f"{place}.*" if place else "*")


def _inside(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """Yield what is below a field; what hangs on every resource in the same way is told once, at the top of the page."""
    if path.endswith("links"):
        return
    yield from _fields(schema, path)
    items = schema.get("items")
    if isinstance(items, dict):
        if "properties" not in items:
            yield f"`{path}[]`", _type(items), _cell(_rules(items))
        yield from _inside(items, f"{path}[]")


def _type(schema: dict[str, Any]) -> str:
    kinds = schema.get("type")
    if kinds is None:
        values = schema.get("enum", ())
        names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
        kinds = sorted({names.get(type(value), "any") for value in values}) or "any"
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _rules(schema: dict[str, Any]) -> str:
    found = []
    enum = [value for value in schema.get("enum", ()) if value not in {None, ""}]
    if enum:
        shown = ", ".join(f"`{value}`" for value in enum[:LONGEST_ENUM])
        found.append(f"one of {shown}{', …' if len(enum) > LONGEST_ENUM else ''}")
    for low, high, unit in (
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "keys"),
        ("minimum", "maximum", ""),
    ):
        if low in schema or high in schema:
            found.append(_range(schema.get(low), schema.get(high), unit))
    pattern = schema.get("pattern")
    if pattern:
        found.append(_pattern(pattern))
    if schema.get("uniqueItems"):
        found.append("no item twice")
    if schema.get("additionalProperties") is False and "properties" in schema:
        found.append("no other keys")
    return "; ".join(found)


def _pattern(pattern: str) -> str:
    meaning = DESCRIPTIONS.get(pattern, "")
    if meaning.startswith("is not "):
        return meaning.removeprefix("is not ")
    return meaning or f"of the form `{pattern}`"


def _range(low: Any, high: Any, unit: str) -> str:
    bounds = f"{low} to {high}" if None not in (low, high) else f"at least {low}" if high is None else f"at most {high}"
    return f"{bounds} {unit}".strip()


def _missing() -> Iterator[str]:
    missing = missing_routes()
    if missing:
        yield "## Routes that are missing"
        yield ""
        yield "OpenStack Trove has them; here they answer 404."
        yield ""
        yield "| Path | Methods |"
        yield "| --- | --- |"
        yield from (f"| `{path}` | {', '.join(methods)} |" for path, methods in missing.items())
        yield ""


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _anchor(route: Route) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", f"{route.method} {route.path}".lower()).replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
