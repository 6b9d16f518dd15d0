"""The superuser of an instance's database server."""

from trove.api.handlers import root
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import root as bodies

_ROOT = "instance:extension:root"

ROUTES = (
    Route(
        "GET",
        f"{INSTANCE}/root",
        root.show,
        f"{_ROOT}:index",
        answer=bodies.SHOWN,
        summary="Tell whether the superuser was ever enabled.",
    ),
    Route(
        "POST",
        f"{INSTANCE}/root",
        root.enable,
        f"{_ROOT}:create",
        200,
        bodies.ENABLE,
        optional=True,
        answer=bodies.ENABLED,
        summary="Enable the superuser and show its password, given or made.",
    ),
    Route("DELETE", f"{INSTANCE}/root", root.disable, f"{_ROOT}:delete", 204, summary="Disable the superuser."),
)
