"""The OpenAPI 3.1 document of the whole HTTP surface, made from the same routes and schemas that check requests."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn, get_type_hints

import orjson
from oslo_policy import policy

from trove import __version__
from trove.api import faults, formats
from trove.api.policies import list_rules
from trove.api.routes import GUEST_PATH, ROUTES, Route
from trove.api.schemas.faults import FAULT
from trove.api.schemas.scalars import QUERY_FLAG, QUERY_LIMIT, QUERY_UUID, STRING, UUID_PATTERN, Schema, answer, listed

PATH = "/openapi.json"
"""Where the document is, below the version."""

MEANINGS: Mapping[int, str] = {
    400: "Something in the request is wrong, or the engine would refuse it; the message names each field and its rule.",
    401: "No or wrong credentials; in some `/mgmt` routes, no administrator.",
    403: "The policy or the project forbids it.",
    404: "There is no such thing, or it belongs to another project.",
    408: "The body did not arrive in time.",
    409: "It does not fit what is there.",
    413: "A quota or rate limit is reached, or the body is too large; `Retry-After` says when waiting helps.",
    415: "The body is neither JSON nor XML.",
    422: "The state of the resource does not allow it now; the message names the state.",
    501: "The datastore or the cloud cannot do this.",
    503: "The bus, the state database, the cloud or the guest agent does not answer now; try again after `Retry-After`.",
}

PARAMETERS: Mapping[str, str] = {
    "project_id": "The project that the credentials are for.",
    "user": "A user as `name` or `name@host`; without a host, `%` is meant.",
    "datastore": "Id or name of a datastore.",
    "version": "Id or name of a datastore version.",
}

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_XML = {"$ref": "#/components/schemas/Xml"}
_IN_QUERY: Mapping[str, Schema] = {
    QUERY_LIMIT["pattern"]: {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    QUERY_FLAG["pattern"]: {"type": "boolean"},
    QUERY_UUID["pattern"]: {"type": "string", "pattern": UUID_PATTERN},
}
"""What clients should rather know of a parameter than the form of its text."""

_LINK = answer(rel=STRING, href=STRING)
_VERSION = answer(id=STRING, status=STRING, updated=STRING, links=listed(_LINK))
_EXTENSION = answer(
    name=STRING, alias=STRING, description=STRING, namespace=STRING, updated=STRING, links={"type": "array", "items": {}}
)


@cache
def serialized() -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(document())


def document(routes: Sequence[Route] = ROUTES) -> dict[str, Any]:
    """Return the document."""
    rules = {rule.name: rule for rule in list_rules()}
    named = Counter(_name(route) for route in routes)
    by_method = Counter((_name(route), route.method) for route in routes)
    paths: dict[str, Any] = dict(_outside_tables())
    for route in routes:
        below = paths.setdefault(f"/v1.0/{{project_id}}{route.path}", {"parameters": _in_path(route.path)})
        name = _name(route)
        if by_method[name, route.method] > 1:
            name += re.sub(r"\W+", "_", route.path).rstrip("_")
        elif named[name] > 1:
            name += f"_{route.method.lower()}"
        below[route.method.lower()] = _operation(route, name, rules)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trove",
            "version": "1.0",
            "description": f"Database as a Service: the API v1.0 of OpenStack Trove, as trove {__version__} speaks it.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"basic": []}],
        "paths": paths,
        "components": _components(),
    }


def noun(route: Route) -> str:
    """Return what the route is about, which is how its handler's file is called."""
    return route.handler.__module__.rpartition(".")[2]


def codes_of_faults(route: Route) -> list[int]:
    """Return the codes of the faults that a route may answer with."""
    codes = {400, 401, 403, 413, 503}
    if "{" in route.path:
        codes |= {404, 422, 501}
    if route.query is not None:
        codes |= {404}
    if route.schema is not None:
        codes |= {408, 415}
    if route.method != "GET":
        codes |= {404, 409, 422, 501}
    return sorted(codes)


def always_refuses(route: Route) -> bool:
    """Tell whether the route exists only to say that it can do nothing."""
    return get_type_hints(route.handler)["return"] is NoReturn


def _name(route: Route) -> str:
    return f"{noun(route)}_{route.handler.__name__}"


def _operation(route: Route, name: str, rules: Mapping[str, policy.RuleDefault]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": [noun(route)],
        "summary": summary(route),
        "description": _description(route, rules),
        "responses": _responses(route),
    }
    if route.query is not None:
        operation["parameters"] = [
            _in_query(each, schema, route.query) for each, schema in route.query.get("properties", {}).items()
        ]
    if route.schema is not None:
        operation["requestBody"] = {"required": not route.optional, "content": _content(route.schema)}
    return operation


def summary(route: Route) -> str:
    """Return what the route does, in one sentence."""
    return route.summary or (route.handler.__doc__ or "").strip().partition("\n")[0]


def _description(route: Route, rules: Mapping[str, policy.RuleDefault]) -> str:
    if route.rule is None:
        text = "The policy rule depends on what the body asks for."
    else:
        default = rules[route.rule].check_str if route.rule in rules else ""
        text = f"Policy rule `{route.rule}`, by default {f'`{default}`' if default else 'open to all'}."
    return text + (" May wait for the guest agent." if GUEST_PATH.match(f"/p{route.path}") else "")


def _responses(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not always_refuses(route):
        success: dict[str, Any] = {
            "description": {200: "Done.", 202: "Accepted.", 204: "Done; there is nothing to say."}.get(route.status, "Done."),
            "headers": {"X-Openstack-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        }
        if route.method != "GET":
            success["headers"]["X-Trove-Operation-Id"] = {"$ref": "#/components/headers/OperationId"}
        if route.answer is not None:
            success["content"] = _content(route.answer)
        found[str(route.status)] = success
    return found | _faults(*codes_of_faults(route))


def _content(schema: Schema) -> dict[str, Any]:
    return {faults.JSON_TYPE: {"schema": modern(schema)}, formats.XML_TYPE: {"schema": _XML}}


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARAMETERS.get(name, f"The {name.replace('_', ' ')}."),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in ("project_id", *_PLACEHOLDER.findall(path))
    ]


def _in_query(name: str, schema: Schema, query: Schema) -> dict[str, Any]:
    shown = _IN_QUERY.get(schema.get("pattern", ""), {key: schema[key] for key in schema if key != "description"})
    parameter = {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": modern(shown)}
    return parameter | ({"description": schema["description"]} if "description" in schema else {})


def modern(schema: Any) -> Any:
    """Return a schema of draft 4 in the words of 2020-12, which OpenAPI 3.1 speaks."""
    if isinstance(schema, list):
        return [modern(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value if key in {"enum", "default", "example"} else modern(value) for key, value in schema.items()}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if found.get(exclusive) is True:
            found[exclusive] = found.pop(bound)
        elif found.get(exclusive) is False:
            del found[exclusive]
    return found


def _outside_tables() -> dict[str, Any]:
    """Return the paths that are in no table of routes: filters and apps around the innermost one answer them."""
    versions, version = answer(versions=listed(_VERSION)), answer(version=_VERSION)
    extensions, extension = answer(extensions=listed(_EXTENSION)), answer(extension=_EXTENSION)
    alias = {"name": "alias", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    missing = _faults(404)
    refused = _faults(401, 403, 413, 503)
    text = {"text/plain": {"schema": STRING}}
    health = {
        "200": {"description": "This process can read the state database.", "content": text},
        "503": {"description": "It cannot, or it should get no requests.", "content": text},
    }
    return {
        "/": _public("list_versions", "List the versions of the API.", _answers(versions)),
        "/healthcheck": _public("healthcheck", "Tell whether this process can serve.", health),
        "/v1.0/": _public("show_version", "Show this version.", _answers(version)),
        f"/v1.0{PATH}": _public("show_openapi", "Show this document.", _answers({"type": "object"}, xml=False)),
        "/v1.0/extensions": _public("list_extensions", "List what goes beyond the core of the API.", _answers(extensions)),
        "/v1.0/extensions/{alias}": {
            "parameters": [alias],
            **_public("show_extension", "Show an extension.", _answers(extension) | missing),
        },
        "/v1.0/{project_id}/extensions": {
            "parameters": _in_path(""),
            **_public(
                "list_project_extensions", "List them below a project, too.", _answers(extensions) | refused, security=True
            ),
        },
        "/v1.0/{project_id}/extensions/{alias}": {
            "parameters": [*_in_path(""), alias],
            **_public(
                "show_project_extension",
                "Show one below a project, too.",
                _answers(extension) | refused | missing,
                security=True,
            ),
        },
    }


def _public(name: str, summary: str, responses: Mapping[str, Any], *, security: bool = False) -> dict[str, Any]:
    operation = {"operationId": name, "tags": ["versions"], "summary": summary, "responses": responses}
    return {"get": operation if security else operation | {"security": []}}


def _faults(*codes: int) -> dict[str, Any]:
    return {str(code): {"$ref": f"#/components/responses/{faults.KEYS[code]}"} for code in codes}


def _answers(schema: Schema, *, xml: bool = True) -> dict[str, Any]:
    content = _content(schema) if xml else {faults.JSON_TYPE: {"schema": schema}}
    return {"200": {"description": "Done.", "content": content}}


def _components() -> dict[str, Any]:
    responses = {
        faults.KEYS[code]: {
            "description": meaning,
            "content": {
                faults.JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Fault"}},
                formats.XML_TYPE: {"schema": _XML},
            },
        }
        for code, meaning in MEANINGS.items()
    }
    return {
        "schemas": {
            "Fault": FAULT,
            "Xml": {"type": "string", "description": "The same document as in JSON, by the mapping that doc/api.md describes."},
        },
        "responses": responses,
        "headers": {
            "RequestId": {"description": "Stands in the logs of all processes that worked on the request.", "schema": STRING},
            "OperationId": {"description": "The operation that the request started, if any.", "schema": STRING},
        },
        "securitySchemes": {
            "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token of Keystone."},
            "basic": {"type": "http", "scheme": "basic", "description": "Where the operator chose `auth_strategy = basic`."},
        },
    }
