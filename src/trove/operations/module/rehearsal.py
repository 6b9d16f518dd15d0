"""How the crash test-kit has modules applied, and applied again; nothing else calls this."""

from trove.core.callers import Caller
from trove.core.modules import digest
from trove.operations.doors import Doors
from trove.operations.module import create, reapply
from trove.operations.module.options import Options
from trove.store import instance_modules, modules
from trove.store.session import Tx


def reapply_its_module(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Store a module of which the instance has older contents, and accept that it gets the present ones."""
    module_id = some_module(doors, caller)
    doors.database.run(_store, instance_id, module_id)
    reapply.start(doors, caller, module_id, reapply.Reapply())
    return module_id


def some_module(doors: Doors, caller: Caller) -> str:
    """Return the id of a module that any instance can have."""
    with doors.database.reading() as tx:
        found = modules.page(tx, project_id=caller.project_id, limit=1).items
    if found:
        return found[0].id
    wanted = create.CreateModule(
        name="rehearsal", type="ping", contents=b"message=rehearsal", options=Options(live_update=True)
    )
    return create.start(doors, caller, wanted).id


def _store(tx: Tx, instance_id: str, module_id: str) -> None:
    instance_modules.intend(tx, instance_id, [module_id])
    instance_modules.confirm(tx, instance_id, module_id, digest(b"message=before"))
