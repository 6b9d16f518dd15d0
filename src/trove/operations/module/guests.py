"""The guest of an instance whose modules are to be changed or seen now."""

from trove.bus.guest import GuestCaller
from trove.core.callers import Caller
from trove.core.errors import NotReady
from trove.core.instances import Instance
from trove.core.modules import Applied, ModuleResult
from trove.core.status import shown_status
from trove.operations.doors import Doors
from trove.operations.sight import instance_of
from trove.store import instance_modules

READY = frozenset({"ACTIVE", "RESTART_REQUIRED"})


def guest_of(doors: Doors, instance_id: str, *, request_id: str | None) -> GuestCaller:
    """Return what calls the guest of an instance."""
    return GuestCaller(doors.bus, instance_id, timeout_s=doors.settings.guest_call_timeout_s, request_id=request_id or None)


def need_idle(instance: Instance) -> None:
    """Raise `NotReady` naming the status while something is being done to the instance, or its server does not run."""
    shown = shown_status(instance.task, instance.server_status)
    if shown not in READY:
        raise NotReady(f"The modules of instance {instance.id} cannot be changed now: its status is {shown}.")


def stored(doors: Doors, caller: Caller, instance_id: str) -> tuple[Applied, ...]:
    """Return the modules of an instance that the caller sees, as they are stored. Raises `NotFound`."""
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
        return instance_modules.of_instance(tx, instance.id, project_id=None if caller.is_admin else caller.project_id)


def reported(doors: Doors, caller: Caller, instance_id: str, *, include_contents: bool) -> tuple[ModuleResult, ...]:
    """Return what the guest of an instance says of all its modules. Raises `NotFound`, `Unavailable`."""
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
    return guest_of(doors, instance.id, request_id=caller.request_id).module_list(include_contents=include_contents)
