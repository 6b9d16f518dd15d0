"""Change a module. Instances that have it keep what they have until it is applied again."""

from dataclasses import dataclass, field

from trove.core.callers import Caller
from trove.core.modules import Module, NewModule
from trove.operations.doors import Doors
from trove.operations.module.options import Options, check_rights, check_type, need_own, need_unapplied, place
from trove.operations.notifications.lifecycle import notified
from trove.store import datastores, modules
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateModule:
    """What is to be otherwise; None: as it is. `all_datastores` and `all_versions` make it one for all of them again."""

    name: str | None = None
    type: str | None = None
    contents: bytes | None = field(default=None, repr=False)
    options: Options = field(default_factory=Options)
    all_datastores: bool = False
    all_versions: bool = False


@notified("module.update", lambda module_id, _change: {"module_id": module_id})
def start(doors: Doors, caller: Caller, module_id: str, change: UpdateModule) -> Module:
    """Change it.

    Raises `NotFound` (module, type, datastore, version); `Forbidden` for what only administrators may change, and while
    instances have it, unless it is one for live updates; `InvalidInput` when there is one like it.
    """
    if change.type is not None:
        check_type(doors, change.type)
    return doors.database.run(_store, caller, module_id, change)


def _store(tx: Tx, caller: Caller, module_id: str, change: UpdateModule) -> Module:
    module = modules.hold(tx, module_id, project_id=None if caller.is_admin else caller.project_id)
    need_own(caller, module)
    wanted = _wanted(tx, caller, module, change)
    check_rights(caller, wanted, change.options.full_access)
    if not (module.live_update or wanted.live_update):
        deed = "changed: it is no module for live updates (live_update)"
        need_unapplied(module, modules.count_instances(tx, [module.id]).get(module.id, 0), deed)
    return modules.change(tx, module.id, wanted, change.contents)


def _wanted(tx: Tx, caller: Caller, module: Module, change: UpdateModule) -> NewModule:
    options = change.options
    project_id = module.project_id
    if options.all_tenants is not None:
        project_id = None if options.all_tenants else module.project_id or caller.project_id
    datastore_id, version_id = _place(tx, module, change)
    return NewModule(
        name=module.name if change.name is None else change.name,
        type=module.type if change.type is None else change.type,
        description=module.description if options.description is None else options.description,
        project_id=project_id,
        datastore_id=datastore_id,
        version_id=version_id,
        auto_apply=_either(options.auto_apply, module.auto_apply),
        visible=_either(options.visible, module.visible),
        live_update=_either(options.live_update, module.live_update),
        priority_apply=_either(options.priority_apply, module.priority_apply),
        apply_order=module.apply_order if options.apply_order is None else options.apply_order,
        is_admin=module.is_admin if options.full_access is None or not caller.is_admin else not options.full_access,
    )


def _place(tx: Tx, module: Module, change: UpdateModule) -> tuple[str | None, str | None]:
    """Return the ids of datastore and version; another datastore without a version means all of its versions."""
    options = change.options
    if change.all_datastores:
        return place(tx, None, options.version)
    datastore = module.datastore_id
    if options.datastore is not None:
        datastore = datastores.get(tx, options.datastore).id
    version = options.version
    if version is None and not change.all_versions and datastore == module.datastore_id:
        return datastore, module.version_id
    return place(tx, datastore, version)


def _either(wanted: bool | None, present: bool) -> bool:
    return present if wanted is None else wanted
