"""What only a guest agent knows of its instance, for administrators (contract 13.4): these requests wait for it."""

from trove.api.handlers.mgmt_instances import as_administrator
from trove.api.request import Request
from trove.core.json import JSON
from trove.operations.instance import inspect


def rpc_ping(request: Request) -> None:
    """Answer when the guest agent has answered."""
    inspect.ping(request.doors, as_administrator(request), request.instance_id())


def diagnostics(request: Request) -> JSON:
    """Show figures of the database server's process; sizes in KiB."""
    return {"diagnostics": inspect.diagnostics(request.doors, as_administrator(request), request.instance_id())}


def hwinfo(request: Request) -> JSON:
    """Show the guest's memory in KiB and its number of processors."""
    return {"hwinfo": inspect.hardware(request.doors, as_administrator(request), request.instance_id())}
