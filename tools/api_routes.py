"""The tables of doc/api.md: which routes the API has, and which of Trove's contract it does not have yet, from the code."""

import re
from collections.abc import Iterator
from typing import NoReturn, get_type_hints

from trove.api.handlers.instances import NOT_YET, NOT_YET_ACTIONS, NOT_YET_UPDATED
from trove.api.routes import ROUTES, Route

CONTRACT = """
GET /flavors
GET /flavors/{id}
GET /limits
GET /datastores
GET /datastores/{id}
DELETE /datastores/{id}
GET /datastores/{id}/versions
GET /datastores/{id}/versions/{id}
GET /datastores/versions/{id}
GET /datastores/{id}/versions/{id}/flavors
GET /datastores/{id}/versions/{id}/volume-types
GET /datastores/{id}/versions/{id}/parameters
GET /datastores/{id}/versions/{id}/parameters/{name}
GET /datastores/versions/{id}/parameters
GET /datastores/versions/{id}/parameters/{name}
GET /instances
POST /instances
GET /instances/detail
GET /instances/{id}
PUT /instances/{id}
PATCH /instances/{id}
DELETE /instances/{id}
POST /instances/{id}/action
GET /instances/{id}/backups
GET /instances/{id}/configuration
GET /instances/{id}/log
POST /instances/{id}/log
GET /instances/{id}/ssl
POST /instances/{id}/ssl
GET /instances/{id}/modules
POST /instances/{id}/modules
DELETE /instances/{id}/modules/{id}
GET /instances/{id}/databases
POST /instances/{id}/databases
GET /instances/{id}/databases/{name}
DELETE /instances/{id}/databases/{name}
GET /instances/{id}/users
POST /instances/{id}/users
PUT /instances/{id}/users
GET /instances/{id}/users/{name}
PUT /instances/{id}/users/{name}
DELETE /instances/{id}/users/{name}
GET /instances/{id}/users/{name}/databases
PUT /instances/{id}/users/{name}/databases
DELETE /instances/{id}/users/{name}/databases/{name}
GET /instances/{id}/root
POST /instances/{id}/root
DELETE /instances/{id}/root
GET /clusters
POST /clusters
GET /clusters/{id}
POST /clusters/{id}
DELETE /clusters/{id}
GET /clusters/{id}/instances/{id}
GET /clusters/{id}/root
POST /clusters/{id}/root
GET /backups
POST /backups
GET /backups/{id}
DELETE /backups/{id}
GET /backup_strategies
POST /backup_strategies
DELETE /backup_strategies
GET /configurations
POST /configurations
GET /configurations/{id}
PUT /configurations/{id}
PATCH /configurations/{id}
DELETE /configurations/{id}
GET /configurations/{id}/instances
GET /modules
POST /modules
GET /modules/{id}
PUT /modules/{id}
DELETE /modules/{id}
GET /modules/{id}/instances
PUT /modules/{id}/instances
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
GET /mgmt/quotas/{id}
PUT /mgmt/quotas/{id}
GET /mgmt/datastore-versions
POST /mgmt/datastore-versions
GET /mgmt/datastore-versions/{id}
PATCH /mgmt/datastore-versions/{id}
DELETE /mgmt/datastore-versions/{id}
GET /mgmt/datastores/versions/{id}/parameters
POST /mgmt/datastores/versions/{id}/parameters
GET /mgmt/datastores/versions/{id}/parameters/{name}
PUT /mgmt/datastores/versions/{id}/parameters/{name}
DELETE /mgmt/datastores/versions/{id}/parameters/{name}
"""
"""What Trove's API v1.0 has below `/v1.0/{project_id}`."""


def routes_text() -> str:
    """Return the tables of the routes there are, of the routes still missing, and of what known routes still refuse."""
    missing = ["### Routes that are missing", "", "They answer 404.", "", *_missing()]
    refused = ["### Parts that are refused", "", "They are known, and answer 501.", "", *_refused()]
    return "\n".join(["", *_present(), "", *missing, "", *refused, ""])


def _present() -> Iterator[str]:
    yield "| Method and path | Answer | Body | Policy rule | What it does |"
    yield "| --- | --- | --- | --- | --- |"
    for route in ROUTES:
        cells = (f"`{route.method} {route.path}`", _answer(route), _body(route), _rule(route), _summary(route))
        yield f"| {' | '.join(cells)} |"


def _missing() -> Iterator[str]:
    have = {(route.method, _shape(route.path)) for route in ROUTES}
    by_path: dict[str, list[str]] = {}
    for line in CONTRACT.split("\n"):
        method, _, path = line.partition(" ")
        if path and (method, _shape(path)) not in have:
            by_path.setdefault(path, []).append(method)
    yield "| Path | Methods |"
    yield "| --- | --- |"
    for path, methods in by_path.items():
        yield f"| `{path}` | {', '.join(methods)} |"


def _refused() -> Iterator[str]:
    yield "| Request | Field or action | What it would do |"
    yield "| --- | --- | --- |"
    for request, parts in (
        ("POST /instances", NOT_YET),
        ("PUT, PATCH /instances/{instance_id}", NOT_YET_UPDATED),
        ("POST /instances/{instance_id}/action", NOT_YET_ACTIONS),
    ):
        for name, deed in parts.items():
            yield f"| `{request}` | `{name}` | {deed} |"


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _answer(route: Route) -> str:
    return "501" if get_type_hints(route.handler)["return"] is NoReturn else str(route.status)


def _body(route: Route) -> str:
    return "" if route.schema is None else "may be left out" if route.optional else "JSON"


def _rule(route: Route) -> str:
    return "that of the action" if route.rule is None else f"`{route.rule}`"


def _summary(route: Route) -> str:
    return (route.handler.__doc__ or "").strip().split("\n")[0]
