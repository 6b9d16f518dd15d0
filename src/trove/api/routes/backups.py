"""Backups."""

from trove.api.handlers import backups
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import backups as schemas

_ONE = "/backups/{backup_id}"

ROUTES = (
    Route(
        "GET",
        "/backups",
        backups.index,
        "backup:index",
        query=schemas.LIST_QUERY,
        answer=schemas.PAGE,
        summary="List the project's backups, newest first.",
    ),
    Route(
        "POST",
        "/backups",
        backups.create,
        "backup:create",
        202,
        schemas.CREATE,
        answer=schemas.SHOWN,
        summary="Back an instance up, or take in a backup that was made elsewhere.",
    ),
    Route("GET", _ONE, backups.show, "backup:show", answer=schemas.SHOWN, summary="Show a backup."),
    Route("DELETE", _ONE, backups.delete, "backup:delete", 202, summary="Delete a backup and all that build on it."),
    Route(
        "GET",
        f"{INSTANCE}/backups",
        backups.of_instance,
        "instance:backups",
        query=schemas.OF_INSTANCE_QUERY,
        answer=schemas.PAGE,
        summary="List the backups of an instance, newest first.",
    ),
)
