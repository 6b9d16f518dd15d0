"""Users of an instance and what they may reach."""

from trove.api.handlers import users
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import databases as database_bodies
from trove.api.schemas import users as bodies
from trove.api.schemas.scalars import paged

_ALL = f"{INSTANCE}/users"
_ONE = f"{_ALL}/{{user}}"
_OF_ONE = f"{_ONE}/databases"
_USER = "instance:extension:user"
_ACCESS = "instance:extension:user_access"

ROUTES = (
    Route(
        "GET", _ALL, users.index, f"{_USER}:index", query=paged(), answer=bodies.PAGE, summary="List users by name and host."
    ),
    Route("POST", _ALL, users.create, f"{_USER}:create", 202, bodies.CREATE, summary="Create users."),
    Route(
        "PUT",
        _ALL,
        users.change_passwords,
        f"{_USER}:update_all",
        202,
        bodies.CHANGE_PASSWORDS,
        summary="Change passwords of several users.",
    ),
    Route("GET", _ONE, users.show, f"{_USER}:show", answer=bodies.SHOWN, summary="Show a user."),
    Route(
        "POST",
        _ONE,
        users.create_named,
        f"{_USER}:create",
        202,
        bodies.CREATE_NAMED,
        summary="Create the one user that the path names, as openstacksdk asks for it.",
    ),
    Route("PUT", _ONE, users.update, f"{_USER}:update", 202, bodies.UPDATE, summary="Change a user's name, host or password."),
    Route("DELETE", _ONE, users.delete, f"{_USER}:delete", 202, summary="Drop a user."),
    Route(
        "GET",
        _OF_ONE,
        users.access,
        f"{_ACCESS}:index",
        answer=database_bodies.NAMES,
        summary="List the databases that a user may use.",
    ),
    Route(
        "PUT",
        _OF_ONE,
        users.grant,
        f"{_ACCESS}:update",
        202,
        database_bodies.GRANT,
        summary="Let a user use databases.",
    ),
    Route(
        "DELETE",
        f"{_OF_ONE}/{{database}}",
        users.revoke,
        f"{_ACCESS}:delete",
        202,
        summary="Take a user's access to a database away.",
    ),
)
