"""Limits."""

from trove.api.handlers import limits
from trove.api.routes.route import Route
from trove.api.schemas import limits as bodies

ROUTES = (
    Route(
        "GET",
        "/limits",
        limits.index,
        "limits:index",
        answer=bodies.LIST,
        summary="Show the project's quotas, then the rates that requests are held to.",
    ),
)
