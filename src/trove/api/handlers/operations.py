"""Operations: what the service is doing or has done, an extension of this Trove."""

from trove.api import query
from trove.api.request import Request
from trove.api.views.operations import operation as view
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.core.operations import OperationState
from trove.operations.sight import instance_of
from trove.store import operations


def index(request: Request) -> JSON:
    """List the project's operations, newest first; `state`, `kind` and `resource_id` narrow the list."""
    return _page(request, request.caller.project_id, request.query.get("resource_id") or None)


def of_instance(request: Request) -> JSON:
    """List the operations on an instance, newest first."""
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


def _page(request: Request, project_id: str, resource_id: str | None) -> JSON:
    limit = query.limit(request.query, request.settings.operations_page_size)
    state = request.query.get("state", "").upper()
    if state and state not in set(OperationState):
        raise InvalidInput(f"The query parameter state must be one of {', '.join(OperationState)}, not {state[:40]!r}.")
    with request.doors.database.reading() as tx:
        page = operations.page(
            tx,
            project_id=project_id,
            resource_id=resource_id,
            state=OperationState(state) if state else None,
            kind=request.query.get("kind") or None,
            limit=limit,
            marker=query.marker(request.query),
        )
    views = [view(item, is_admin=request.caller.is_admin) for item in page.items]
    return request.links.page("operations", views, page.next_marker, limit)
