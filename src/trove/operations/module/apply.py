"""Apply modules to a running instance. What is noted first is that it is to have them, so none is there unknown to anybody."""

from collections.abc import Sequence

from trove.core.callers import Caller
from trove.core.json import JSON
from trove.core.modules import Module, ModuleResult, ModuleStatus
from trove.operations.doors import Doors
from trove.operations.module.applying import fitting, sent
from trove.operations.module.guests import guest_of, need_idle
from trove.operations.notifications.lifecycle import notified
from trove.operations.sight import instance_of
from trove.store import instance_modules
from trove.store.session import Tx


@notified("module.apply", lambda instance_id, module_ids: {"instance_id": instance_id, "module_ids": list(module_ids)})
def start(doors: Doors, caller: Caller, instance_id: str, module_ids: Sequence[str]) -> tuple[tuple[Module, ModuleResult], ...]:
    """Apply them in their order and return how it went with each. One that fails keeps none of the others back.

    Raises `NotFound` (instance, module), `InvalidInput` for a module of another datastore, `NotReady` naming the status,
    `Unavailable` when the guest does not answer: then the modules are shown as not confirmed. May run twice.
    """
    wanted, payload = doors.database.run(_intend, caller, instance_id, module_ids)
    results = guest_of(doors, instance_id, request_id=caller.request_id).module_apply(payload)
    asked = {module.id for module in wanted}
    by_id = {result.id: result for result in results if result.id in asked}
    doors.database.run(_confirm, instance_id, by_id)
    return tuple((module, by_id[module.id]) for module in wanted if module.id in by_id)


def _intend(
    tx: Tx, caller: Caller, instance_id: str, module_ids: Sequence[str]
) -> tuple[tuple[Module, ...], list[dict[str, JSON]]]:
    instance = instance_of(tx, caller, instance_id)
    need_idle(instance)
    wanted = fitting(tx, caller, module_ids, project_id=instance.project_id, version=instance.datastore_version)
    instance_modules.intend(tx, instance.id, [module.id for module in wanted])
    return wanted, [sent(tx, module) for module in wanted]


def _confirm(tx: Tx, instance_id: str, results: dict[str, ModuleResult]) -> None:
    for module_id, result in results.items():
        md5 = result.md5 if result.status is ModuleStatus.OK else None
        instance_modules.confirm(tx, instance_id, module_id, md5)
