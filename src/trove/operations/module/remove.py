"""Remove a module from an instance."""

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.operations.module.guests import guest_of, need_idle
from trove.operations.notifications.lifecycle import notified
from trove.operations.sight import instance_of
from trove.store import instance_modules


@notified("module.remove", lambda instance_id, module_id: {"instance_id": instance_id, "module_id": module_id})
def start(doors: Doors, caller: Caller, instance_id: str, module_id: str) -> None:
    """Have the guest take it away, and forget it then.

    Raises `NotFound` (instance, or the module on it), `NotReady` naming the status, `Unavailable` when the guest does not
    answer: then it can be removed again.
    """
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
        found = instance_modules.one(tx, instance.id, module_id, project_id=None if caller.is_admin else caller.project_id)
    need_idle(instance)
    guest_of(doors, instance.id, request_id=caller.request_id).module_remove(found.module.id)
    doors.database.run(instance_modules.forget, instance.id, found.module.id, seen=found.updated)
