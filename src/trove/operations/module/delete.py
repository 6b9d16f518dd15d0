"""Delete a module that no instance has."""

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.operations.module.options import need_own, need_unapplied
from trove.operations.notifications.lifecycle import notified
from trove.store import modules
from trove.store.session import Tx


@notified("module.delete", lambda module_id: {"module_id": module_id})
def start(doors: Doors, caller: Caller, module_id: str) -> None:
    """Delete it. Raises `NotFound`; `Forbidden` for what only administrators may delete, and while instances have it."""
    doors.database.run(_delete, caller, module_id)


def _delete(tx: Tx, caller: Caller, module_id: str) -> None:
    module = modules.hold(tx, module_id, project_id=None if caller.is_admin else caller.project_id)
    need_own(caller, module)
    count = modules.count_instances(tx, [module.id]).get(module.id, 0)
    need_unapplied(module, count, "deleted: remove it there first")
    modules.mark_deleted(tx, module.id)
