"""The superuser of an instance."""

from trove.api.request import Request
from trove.api.views.users import superuser
from trove.core.json import JSON
from trove.operations.root import disable as disable_root
from trove.operations.root import enable as enable_root
from trove.operations.root import show as show_root


def show(request: Request) -> JSON:
    """Tell whether it is enabled."""
    return {"rootEnabled": show_root.start(request.doors, request.caller, request.instance_id())}


def enable(request: Request) -> JSON:
    """Enable it and return its password, given or made."""
    password = (request.body or {}).get("password")
    return {"user": superuser(enable_root.start(request.doors, request.caller, request.instance_id(), password))}


def disable(request: Request) -> None:
    """Disable it."""
    disable_root.start(request.doors, request.caller, request.instance_id())
