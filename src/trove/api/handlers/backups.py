"""Backups: create, take in from elsewhere, list, show, delete."""

from collections.abc import Mapping
from typing import Any

from trove.api import query
from trove.api.request import Request
from trove.api.views import backups as views
from trove.core.errors import InvalidInput
from trove.core.ids import is_id
from trove.core.json import JSON
from trove.operations.backup import adopt as adopt_backup
from trove.operations.backup import create as create_backup
from trove.operations.backup import delete as delete_backup
from trove.operations.sight import instance_of
from trove.store import backups, datastores

MOST_AT_ONCE = 1000
"""A page may be as large as asked for, within reason: the operators' page size is for who asks for none."""


def create(request: Request) -> JSON:
    """Accept a backup of an instance, or take in one that was made elsewhere, and return it."""
    wanted: Mapping[str, Any] = request.body["backup"]
    if wanted.get("restore_from"):
        return {"backup": views.backup(_adopt(request, wanted))}
    if not wanted.get("instance"):
        raise InvalidInput("backup['instance'] is required, unless restore_from is given.")
    made = create_backup.start(
        request.doors,
        request.caller,
        create_backup.CreateBackup(
            name=wanted["name"],
            instance_id=wanted["instance"].lower(),
            description=wanted.get("description") or None,
            parent_id=(wanted.get("parent_id") or "").lower() or None,
            incremental=bool(wanted.get("incremental")),
            container=wanted.get("swift_container") or None,
            storage_driver=wanted.get("storage_driver") or None,
        ),
    )
    return {"backup": views.backup(made)}


def index(request: Request) -> JSON:
    """List the project's backups, newest first; filters narrow the list, and administrators may widen it."""
    with request.doors.database.reading() as tx:
        wanted = request.query.get("datastore")
        datastore_id = datastores.get(tx, wanted).id if wanted else None
    return _page(request, _project(request), instance_id=_lower(request.query.get("instance_id")), datastore_id=datastore_id)


def of_instance(request: Request) -> JSON:
    """List the backups of an instance, newest first."""
    instance_id = request.instance_id()
    with request.doors.database.reading() as tx:
        instance_of(tx, request.caller, instance_id)
    return _page(request, request.visible_project, instance_id=instance_id)


def show(request: Request) -> JSON:
    """Show a backup."""
    backup_id = request.id("backup_id", "Backup")
    with request.doors.database.reading() as tx:
        return {"backup": views.backup(backups.get(tx, backup_id, project_id=request.visible_project))}


def delete(request: Request) -> None:
    """Accept the deletion of a backup and of all that build on it."""
    delete_backup.start(request.doors, request.caller, request.id("backup_id", "Backup"))


def _adopt(request: Request, wanted: Mapping[str, Any]) -> Any:
    create_backup.check_driver(wanted.get("storage_driver") or None)
    source = wanted["restore_from"]
    return adopt_backup.start(
        request.doors,
        request.caller,
        adopt_backup.AdoptBackup(
            name=wanted["name"],
            description=wanted.get("description") or None,
            location=source["remote_location"],
            datastore_version_id=source["local_datastore_version_id"].lower(),
            size_gib=float(source["size"]),
        ),
    )


def _project(request: Request) -> str | None:
    """Return the project whose backups are asked for, None for all of them."""
    named = request.query.get("project_id") or None
    everywhere = query.flag(request.query, "all_projects")
    if everywhere or named not in {None, request.caller.project_id}:
        request.policy.enforce("backup:index:all_projects", request.caller)
    return named or (None if everywhere else request.caller.project_id)


def _page(request: Request, project_id: str | None, *, instance_id: str | None = None, datastore_id: str | None = None) -> JSON:
    size = request.settings.backups_page_size
    limit = query.limit(request.query, MOST_AT_ONCE) if request.query.get("limit", "").strip("0") else size
    marker, offset = _position(query.marker(request.query))
    with request.doors.database.reading() as tx:
        page = backups.page(
            tx,
            project_id=project_id,
            instance_id=instance_id,
            datastore_id=datastore_id,
            limit=limit,
            marker=marker,
            offset=offset,
        )
    return request.links.page("backups", [views.backup(item) for item in page.items], page.next_marker, limit)


def _position(marker: str | None) -> tuple[str | None, int]:
    """Return the backup after which a page begins, or, as older clients count, after how many; ours are ids."""
    if marker is None:
        return None, 0
    if is_id(marker):
        return marker.lower(), 0
    if marker.isascii() and marker.isdigit() and len(marker) <= 9:
        return None, int(marker)
    raise InvalidInput(f"The query parameter marker must be the id of a backup, or a number, not {marker[:40]!r}.")


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None
