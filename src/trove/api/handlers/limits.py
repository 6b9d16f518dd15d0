"""Limits of the project."""

from trove.api.filters.ratelimit import RATE_STATE
from trove.api.request import Request
from trove.api.views import limits as views
from trove.core.json import JSON
from trove.operations.booking import quota_defaults
from trove.store import quotas


def index(request: Request) -> JSON:
    """Show quotas, then rates."""
    project_id = request.caller.project_id
    with request.doors.database.reading() as tx:
        found = quotas.limits_of(tx, project_id, quota_defaults(request.doors.settings.limits))
    state = request.environ.get(RATE_STATE)
    rates = views.rates(state.rows(request.caller)) if state else []
    return {"limits": [views.absolute(found), *rates]}
