"""Backup strategies: in which container backups are kept when the request for one names none."""

from trove.api.request import Request
from trove.api.views.backups import strategy as view
from trove.core.backups import BackupStrategy
from trove.core.errors import Forbidden
from trove.core.json import JSON
from trove.operations.sight import instance_of
from trove.store import backup_strategies


def create(request: Request) -> JSON:
    """Store the strategy for an instance, or for the whole project, instead of the one that there is."""
    wanted = request.body["backup_strategy"]
    instance_id = (wanted.get("instance_id") or "").lower() or None
    strategy = BackupStrategy(
        project_id=request.caller.project_id, instance_id=instance_id, container=wanted["swift_container"]
    )
    if instance_id is not None:
        with request.doors.database.reading() as tx:
            instance_of(tx, request.caller, instance_id)
    request.doors.database.run(backup_strategies.put, strategy)
    return {"backup_strategy": view(strategy)}


def index(request: Request) -> JSON:
    """List the project's strategies; `instance_id` narrows the list, and administrators may name another project."""
    with request.doors.database.reading() as tx:
        found = backup_strategies.all(tx, project_id=_project(request), instance_id=_instance(request))
    return {"backup_strategies": [view(each) for each in found]}


def delete(request: Request) -> None:
    """Remove the strategy for `instance_id`, or that for the whole project. Removing nothing is fine."""
    request.doors.database.run(backup_strategies.remove, _project(request), _instance(request))


def _project(request: Request) -> str:
    named = request.query.get("project_id") or request.caller.project_id
    if named != request.caller.project_id and not request.caller.is_admin:
        raise Forbidden(f"Backup strategies of project {named[:64]} are not yours to see or to change.")
    return named


def _instance(request: Request) -> str | None:
    return (request.query.get("instance_id") or "").lower() or None
