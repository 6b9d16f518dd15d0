"""Flavors."""

from trove.api.handlers import flavors
from trove.api.routes.route import Route
from trove.api.schemas import flavors as bodies

ROUTES = (
    Route("GET", "/flavors", flavors.index, "flavor:index", answer=bodies.LIST, summary="List flavors."),
    Route("GET", "/flavors/{flavor_id}", flavors.show, "flavor:show", answer=bodies.SHOWN, summary="Show a flavor."),
)
