"""Modules, and what instances have of them."""

from trove.api.handlers import modules
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import modules as bodies

_ALL = "/modules"
_ONE = f"{_ALL}/{{module_id}}"
_ON_INSTANCE = f"{INSTANCE}/modules"

ROUTES = (
    Route(
        "GET",
        _ALL,
        modules.index,
        "module:index",
        query=bodies.LIST_QUERY,
        answer=bodies.LISTED,
        summary="List modules by id; administrators see those of all projects, and hidden ones.",
    ),
    Route("POST", _ALL, modules.create, "module:create", 200, bodies.CREATE, answer=bodies.SHOWN, summary="Create a module."),
    Route("GET", _ONE, modules.show, "module:show", answer=bodies.SHOWN, summary="Show a module without its contents."),
    Route(
        "PUT",
        _ONE,
        modules.update,
        "module:update",
        200,
        bodies.UPDATE,
        answer=bodies.SHOWN,
        summary="Change a module; while instances have it, only one for live updates.",
    ),
    Route("DELETE", _ONE, modules.delete, "module:delete", 200, summary="Delete a module that no instance has."),
    Route(
        "GET",
        f"{_ONE}/instances",
        modules.instances,
        "module:instances",
        query=bodies.INSTANCES_QUERY,
        answer=bodies.INSTANCES,
        summary="List the instances that have a module, or count them by the contents that they have.",
    ),
    Route(
        "PUT",
        f"{_ONE}/instances",
        modules.reapply,
        "module:reapply",
        202,
        bodies.REAPPLY,
        summary="Apply a module again to the instances that have other contents of it, in batches.",
    ),
    Route(
        "GET",
        _ON_INSTANCE,
        modules.on_instance,
        "instance:module_list",
        query=bodies.ON_INSTANCE_QUERY,
        answer=bodies.ON_INSTANCE,
        summary="List the modules of an instance; with from_guest or include_contents its guest agent is asked.",
    ),
    Route(
        "POST",
        _ON_INSTANCE,
        modules.apply,
        "instance:module_apply",
        200,
        bodies.APPLY,
        answer=bodies.ON_INSTANCE,
        summary="Apply modules to an instance and return how it went with each.",
    ),
    Route(
        "DELETE",
        f"{_ON_INSTANCE}/{{module_id}}",
        modules.remove,
        "instance:module_remove",
        200,
        summary="Remove a module from an instance.",
    ),
)
