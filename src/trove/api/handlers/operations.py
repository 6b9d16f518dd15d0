"""Operations: what the service is doing or has done, an extension of this Trove."""

from collections.abc import Mapping

from trove.api import query
from trove.api.request import Request
from trove.api.views.operations import operation as view
from trove.core.errors import InvalidInput
from trove.core.ids import is_id
from trove.core.json import JSON
from trove.core.operations import OperationState
from trove.operations.catalogue import KINDS
from trove.operations.operation import cancel as cancel_operation
from trove.operations.sight import instance_of
from trove.store import operations

FILTERS = ("kind", "limit", "marker", "state")

ACTION_RULES: Mapping[str, str] = {"cancel": "operation:cancel"}


def index(request: Request) -> JSON:
    """List the project's operations, newest first; `resource_id`, `state` and `kind` narrow the list."""
    query.allow(request.query, *FILTERS, "all_projects", "project_id", "resource_id")
    resource_id = request.query.get("resource_id") or None
    if resource_id is not None and not is_id(resource_id):
        raise InvalidInput(f"The query parameter resource_id must be an id, not {resource_id[:40]!r}.")
    return _page(request, _project(request), resource_id and resource_id.lower())


def of_instance(request: Request) -> JSON:
    """List the operations on an instance, newest first."""
    query.allow(request.query, *FILTERS)
    instance_id = request.instance_id()
    with request.doors.database.reading() as tx:
        instance = instance_of(tx, request.caller, instance_id)
    return _page(request, instance.project_id, instance.id)


def show(request: Request) -> JSON:
    """Show an operation."""
    operation_id = request.id("operation_id", "Operation")
    with request.doors.database.reading() as tx:
        found = operations.get(tx, operation_id, project_id=request.visible_project)
    return {"operation": view(found, is_admin=request.caller.is_admin)}


def action(request: Request) -> None:
    """Ask an operation to stop and undo what it did: `{"cancel": {}}`."""
    names = list(request.body)
    if len(names) != 1 or names[0] not in ACTION_RULES:
        raise InvalidInput(f"The body must name exactly one action of: {', '.join(sorted(ACTION_RULES))}.")
    request.policy.enforce(ACTION_RULES[names[0]], request.caller)
    cancel_operation.start(request.doors, request.caller, request.id("operation_id", "Operation"))


def _project(request: Request) -> str | None:
    """Return the project whose operations are asked for, None for all of them."""
    named = request.query.get("project_id") or None
    everywhere = query.flag(request.query, "all_projects")
    if everywhere or named not in {None, request.caller.project_id}:
        request.policy.enforce("operation:index:all_projects", request.caller)
    return named or (None if everywhere else request.caller.project_id)


def _page(request: Request, project_id: str | None, resource_id: str | None) -> JSON:
    limit = query.limit(request.query, request.settings.operations_page_size)
    state = query.choice({"state": request.query.get("state", "").upper()}, "state", OperationState)
    with request.doors.database.reading() as tx:
        page = operations.page(
            tx,
            project_id=project_id,
            resource_id=resource_id,
            state=OperationState(state) if state else None,
            kind=query.choice(request.query, "kind", KINDS),
            limit=limit,
            marker=query.marker(request.query),
        )
    views = [view(item, is_admin=request.caller.is_admin) for item in page.items]
    return request.links.page("operations", views, page.next_marker, limit)
