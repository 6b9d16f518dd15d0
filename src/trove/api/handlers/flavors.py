"""Flavors."""

from trove.api.request import Request
from trove.api.views.flavors import flavor as view
from trove.core.json import JSON


def index(request: Request) -> JSON:
    """List flavors, by memory."""
    return {"flavors": [view(each, request.links) for each in request.flavors.all()]}


def show(request: Request) -> JSON:
    """Show a flavor."""
    return {"flavor": view(request.flavors.one(request.path["flavor_id"]), request.links)}
