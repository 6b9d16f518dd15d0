"""Instances and their actions."""

from trove.api.handlers import instance_actions, instances
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import instance_views as views
from trove.api.schemas import instances as bodies

_ALL = "/instances"
_CHANGE = "Change the name and, of all else, one thing: attach or detach a group, detach a replica, upgrade, or reopen ports."

ROUTES = (
    Route(
        "GET",
        _ALL,
        instances.index,
        "instance:index",
        query=bodies.LIST,
        answer=views.PAGE,
        summary="List the project's instances, newest first.",
    ),
    Route(
        "POST",
        _ALL,
        instances.create,
        "instance:create",
        200,
        bodies.CREATE,
        answer=views.CREATED,
        summary="Create an instance, or one to three replicas of one; of several replicas the last is shown.",
    ),
    Route(
        "GET",
        f"{_ALL}/detail",
        instances.detail,
        "instance:detail",
        query=bodies.LIST,
        answer=views.DETAILED_PAGE,
        summary="List the project's instances with details, newest first.",
    ),
    Route("GET", INSTANCE, instances.show, "instance:show", answer=views.SHOWN, summary="Show an instance."),
    Route("PUT", INSTANCE, instances.update, "instance:update", 202, bodies.UPDATE, summary=_CHANGE),
    Route("PATCH", INSTANCE, instances.update, "instance:update", 202, bodies.UPDATE, summary=_CHANGE),
    Route(
        "DELETE",
        INSTANCE,
        instances.delete,
        "instance:delete",
        202,
        summary="Delete an instance; one that has replicas is refused.",
    ),
    Route(
        "POST",
        f"{INSTANCE}/action",
        instance_actions.action,
        None,
        202,
        bodies.ACTION,
        summary="Restart, resize, promote, eject, rejoin or reset an instance: exactly one of them.",
    ),
)
