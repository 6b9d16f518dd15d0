"""Create a module."""

from dataclasses import dataclass, field

from trove.core.callers import Caller
from trove.core.modules import DEFAULT_ORDER, Module, NewModule
from trove.operations.doors import Doors
from trove.operations.module.options import Options, check_rights, check_type, place
from trove.operations.notifications.lifecycle import notified
from trove.store import modules
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateModule:
    """What was asked for."""

    name: str
    type: str
    contents: bytes = field(repr=False)
    options: Options = field(default_factory=Options)


@notified("module.create", lambda request: {"name": request.name}, resulting=lambda module: {"module_id": module.id})
def start(doors: Doors, caller: Caller, request: CreateModule) -> Module:
    """Store the module.

    Raises `NotFound` (type, datastore, version), `Forbidden` for what only administrators may do, `InvalidInput` when there is
    one like it.
    """
    check_type(doors, request.type)
    return doors.database.run(_store, caller, request)


def _store(tx: Tx, caller: Caller, request: CreateModule) -> Module:
    options = request.options
    datastore_id, version_id = place(tx, options.datastore, options.version)
    new = NewModule(
        name=request.name,
        type=request.type,
        description=options.description,
        project_id=None if options.all_tenants else caller.project_id,
        datastore_id=datastore_id,
        version_id=version_id,
        auto_apply=bool(options.auto_apply),
        visible=options.visible is not False,
        live_update=bool(options.live_update),
        priority_apply=bool(options.priority_apply),
        apply_order=DEFAULT_ORDER if options.apply_order is None else options.apply_order,
        is_admin=caller.is_admin and not options.full_access,
    )
    check_rights(caller, new, options.full_access)
    return modules.insert(tx, new, request.contents)
