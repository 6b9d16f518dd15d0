"""The TLS of an instance."""

from trove.api.handlers import tls
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import tls as bodies

_PATH = f"{INSTANCE}/ssl"

ROUTES = (
    Route(
        "GET",
        _PATH,
        tls.show,
        "instance:show",
        query=bodies.SHOW_QUERY,
        answer=bodies.SHOWN,
        summary="Show whether TLS is enabled on an instance, and how.",
    ),
    Route(
        "POST",
        _PATH,
        tls.change,
        "instance:update",
        200,
        bodies.CHANGE,
        answer=bodies.CHANGED,
        summary="Enable, disable or roll back the TLS of an instance.",
    ),
)
