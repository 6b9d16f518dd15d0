"""The actions of instances: one in a body."""

from collections.abc import Callable, Mapping
from typing import Any

from trove.api.handlers.instance_bodies import volume
from trove.api.request import Request
from trove.core.errors import InvalidInput
from trove.operations.instance import eject, promote, rejoin, reset_status, resize_flavor, resize_volume, restart
from trove.operations.sight import instance_of

RULES: Mapping[str, str] = {
    "restart": "instance:restart",
    "reset_status": "instance:reset_status",
    "resize": "instance:resize_volume",
    "promote_to_replica_source": "instance:promote_to_replica_source",
    "eject_replica_source": "instance:eject_replica_source",
    "rejoin": "instance:rejoin",
    "reset_password": "instance:update",
}


def action(request: Request) -> None:
    """Accept the one action that the body names."""
    names = list(request.body)
    if len(names) != 1 or names[0] not in RULES:
        known = ", ".join(sorted(RULES))
        raise InvalidInput(f"The body must name exactly one action of: {known}.")
    name, argument = names[0], request.body[names[0]]
    request.policy.enforce(_rule(name, argument), request.caller)
    instance_id = request.instance_id()
    with request.doors.database.reading() as tx:
        instance_of(tx, request.caller, instance_id)
    if name == "reset_password":
        raise InvalidInput(
            "reset_password: Trove keeps no password that it could reset. Set a user's with PUT …/users, the superuser's with "
            "POST …/root."
        )
    if name == "resize":
        _resize(request, instance_id, argument)
    elif name == "rejoin":
        rebuild = bool(argument.get("rebuild"))
        rejoin.start(request.doors, request.caller, instance_id, str(argument["source"]).lower(), rebuild=rebuild)
    else:
        _STARTS[name](request.doors, request.caller, instance_id)


_STARTS: Mapping[str, Callable[..., None]] = {
    "restart": restart.start,
    "reset_status": reset_status.start,
    "promote_to_replica_source": promote.start,
    "eject_replica_source": eject.start,
}


def _resize(request: Request, instance_id: str, wanted: Mapping[str, Any]) -> None:
    if len(wanted) != 1:
        raise InvalidInput("resize: give either a volume or a flavorRef; one is changed in one request.")
    if "volume" in wanted:
        size, _ = volume(wanted["volume"])
        assert size is not None
        resize_volume.start(request.doors, request.caller, instance_id, size)
    else:
        resize_flavor.start(request.doors, request.caller, instance_id, str(wanted["flavorRef"]))


def _rule(name: str, argument: Any) -> str:
    if name == "reset_status" and argument and "force_delete" in argument:
        return "instance:force_delete"
    if name == "resize" and "volume" not in argument:
        return "instance:resize_flavor"
    return RULES[name]
