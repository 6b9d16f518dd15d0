"""Databases of an instance."""

from trove.api.handlers import databases
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import databases as bodies
from trove.api.schemas.scalars import paged

_DB = "instance:extension:database"

_ALL = f"{INSTANCE}/databases"
_ONE = f"{_ALL}/{{name}}"

ROUTES = (
    Route("GET", _ALL, databases.index, f"{_DB}:index", query=paged(), answer=bodies.PAGE, summary="List databases by name."),
    Route(
        "POST",
        _ALL,
        databases.create,
        f"{_DB}:create",
        202,
        bodies.CREATE,
        summary="Create databases; `database` for a single one is what openstacksdk sends.",
    ),
    Route(
        "GET",
        _ONE,
        databases.show,
        f"{_DB}:show",
        summary="Refuse: a single database cannot be shown, as in OpenStack Trove.",
    ),
    Route("DELETE", _ONE, databases.delete, f"{_DB}:delete", 202, summary="Drop a database."),
)
