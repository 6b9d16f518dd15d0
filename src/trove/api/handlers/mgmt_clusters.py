"""Clusters as administrators see them: all projects', deleted ones too."""

from trove.api import query
from trove.api.handlers.clusters import cluster_id, loaded_members
from trove.api.handlers.mgmt_instances import as_administrator
from trove.api.request import Request
from trove.api.views import clusters as views
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.operations.cluster import reset_status
from trove.store import clusters


def index(request: Request) -> JSON:
    """List the clusters of all projects, newest first; `deleted` narrows the list."""
    with request.doors.database.reading() as tx:
        found = clusters.of_all_projects(tx, deleted=_deleted(request))
    return {"clusters": [views.management(views.summary(each, request.links), each) for each in found]}


def show(request: Request) -> JSON:
    """Show a cluster of any project, also a deleted one."""
    with request.doors.database.reading() as tx:
        found = clusters.get(tx, cluster_id(request), deleted=_deleted(request))
        return {"cluster": views.management(views.detail(found, loaded_members(tx, found), request.links), found)}


def action(request: Request) -> None:
    """Free a cluster from a task that hangs."""
    if list(request.body) != ["reset-task"]:
        raise InvalidInput("The body must name exactly one action of: reset-task.")
    reset_status.start(request.doors, as_administrator(request), cluster_id(request))


def _deleted(request: Request) -> bool | None:
    return query.flag(request.query, "deleted") if request.query.get("deleted") else None
