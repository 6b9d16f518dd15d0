"""Configuration groups."""

from trove.api.handlers import configurations
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import configurations as bodies

_ALL = "/configurations"
_ONE = f"{_ALL}/{{configuration_id}}"

ROUTES = (
    Route(
        "GET",
        _ALL,
        configurations.index,
        "configuration:index",
        query=bodies.PAGE,
        answer=bodies.LISTED,
        summary="List configuration groups; administrators see those of all projects.",
    ),
    Route(
        "POST",
        _ALL,
        configurations.create,
        "configuration:create",
        200,
        bodies.CREATE,
        answer=bodies.SHOWN,
        summary="Create a configuration group for a datastore version.",
    ),
    Route(
        "GET",
        _ONE,
        configurations.show,
        "configuration:show",
        answer=bodies.SHOWN,
        summary="Show a configuration group with its values; those that look like passwords are masked.",
    ),
    Route(
        "PATCH",
        _ONE,
        configurations.edit,
        "configuration:edit",
        200,
        bodies.EDIT,
        summary="Change some values of a configuration group, also on the instances that it is attached to.",
    ),
    Route(
        "PUT",
        _ONE,
        configurations.update,
        "configuration:update",
        202,
        bodies.UPDATE,
        summary="Replace the values of a configuration group, also on the instances that it is attached to.",
    ),
    Route(
        "DELETE",
        _ONE,
        configurations.delete,
        "configuration:delete",
        202,
        summary="Delete a configuration group that is attached nowhere.",
    ),
    Route(
        "GET",
        f"{_ONE}/instances",
        configurations.instances,
        "configuration:instances",
        query=bodies.PAGE,
        answer=bodies.INSTANCES,
        summary="List the instances that a configuration group is attached to.",
    ),
    Route(
        "GET",
        f"{INSTANCE}/configuration",
        configurations.template,
        "instance:configuration",
        answer=bodies.TEMPLATE,
        summary="Show the default configuration of an instance: its datastore's template for its flavor.",
    ),
)
