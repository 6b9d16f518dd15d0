"""Configuration parameters of a datastore version, for tenants and for administrators."""

from trove.api.handlers import parameters
from trove.api.routes.route import VERSION, VERSION_BY_ID, Route
from trove.api.schemas import parameters as bodies

_RULE = "configuration-parameter"
_MGMT = f"/mgmt{VERSION_BY_ID}/parameters"
_LIST = "List what configuration groups of a datastore version may set."
_SHOW = "Show one parameter of a datastore version."

ROUTES = (
    Route("GET", f"{VERSION}/parameters", parameters.index, f"{_RULE}:index", answer=bodies.LISTED, summary=_LIST),
    Route("GET", f"{VERSION}/parameters/{{name}}", parameters.show, f"{_RULE}:show", answer=bodies.SHOWN, summary=_SHOW),
    Route(
        "GET",
        f"{VERSION_BY_ID}/parameters",
        parameters.index,
        f"{_RULE}:index_by_version",
        answer=bodies.LISTED,
        summary=_LIST,
    ),
    Route(
        "GET",
        f"{VERSION_BY_ID}/parameters/{{name}}",
        parameters.show,
        f"{_RULE}:show_by_version",
        answer=bodies.SHOWN,
        summary=_SHOW,
    ),
    Route(
        "GET",
        _MGMT,
        parameters.mgmt_index,
        "mgmt:parameter:index",
        answer=bodies.MANAGED_LIST,
        summary="List the parameters of a datastore version, shipped ones and others (administrators).",
    ),
    Route(
        "POST",
        _MGMT,
        parameters.mgmt_create,
        "mgmt:parameter:create",
        200,
        bodies.CREATE,
        answer=bodies.MANAGED,
        summary="Add a parameter to a datastore version (administrators).",
    ),
    Route(
        "GET",
        f"{_MGMT}/{{name}}",
        parameters.mgmt_show,
        "mgmt:parameter:show",
        answer=bodies.MANAGED,
        summary="Show one parameter of a datastore version (administrators).",
    ),
    Route(
        "PUT",
        f"{_MGMT}/{{name}}",
        parameters.mgmt_update,
        "mgmt:parameter:update",
        200,
        bodies.UPDATE,
        answer=bodies.MANAGED,
        summary="Change the type, the bounds or the need of a restart of a parameter (administrators).",
    ),
    Route(
        "DELETE",
        f"{_MGMT}/{{name}}",
        parameters.mgmt_delete,
        "mgmt:parameter:delete",
        204,
        summary="Take a parameter from a datastore version, also one that its engine ships (administrators).",
    ),
)
