"""The logs of an instance."""

from trove.api.handlers import logs
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import logs as bodies

_PATH = f"{INSTANCE}/log"

ROUTES = (
    Route("GET", _PATH, logs.index, "instance:guest_log_list", answer=bodies.LISTED, summary="List the logs of an instance."),
    Route(
        "POST",
        _PATH,
        logs.act,
        "instance:guest_log_action",
        200,
        bodies.ACT,
        answer=bodies.SHOWN,
        summary="Show a log of an instance; enable, disable, publish or discard it before.",
    ),
)
