"""The logs of an instance."""

from trove.api.request import Request
from trove.api.views import logs as views
from trove.core.json import JSON
from trove.operations.log import act as act_on_log
from trove.operations.log import index as list_logs


def index(request: Request) -> JSON:
    """List the logs that the caller may see."""
    found = list_logs.start(request.doors, request.caller, request.instance_id())
    return {"logs": [views.log(each) for each in found]}


def act(request: Request) -> JSON:
    """Show a log, after it was switched, published or discarded if that is asked for."""
    body = request.body
    deeds = act_on_log.Deeds(**{name: bool(body.get(name)) for name in ("enable", "disable", "publish", "discard")})
    shown = act_on_log.start(request.doors, request.caller, request.instance_id(), body["name"], deeds)
    return {"log": views.log(shown)}
