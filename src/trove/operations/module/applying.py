"""What applying modules to new and to running instances have in common: which fit, and how they travel to the guest."""

import base64
import logging
from collections.abc import Iterable, Mapping, Sequence

from trove.core.callers import Caller
from trove.core.datastores import DatastoreVersion
from trove.core.errors import GuestError, InvalidInput, NotFound
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.modules import Module, in_turn, read_digest
from trove.operations.guest_jobs import Errand, run_job
from trove.operations.work import Work
from trove.store import instance_modules, instances, modules, operations
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

MODULES = "modules"
"""Argument of the creation of an instance that is to have modules: their ids."""

WAITING_FOR = "the guest agent to apply the modules"
_ERRAND = Errand(tag=MODULES)


def fitting(
    tx: Tx, caller: Caller, module_ids: Sequence[str], *, project_id: str, version: DatastoreVersion
) -> tuple[Module, ...]:
    """Return the modules with these ids in the order in which they are applied; keep them from being deleted until `tx` ends.

    Raises `NotFound`; `InvalidInput` for one that is for another datastore or version, or is named twice.
    """
    found = []
    for number, module_id in enumerate(module_ids):
        if module_id in module_ids[:number]:
            raise InvalidInput(f"modules[{number}]: {module_id} is given twice")
        module = modules.hold(tx, module_id, project_id=None if caller.is_admin else caller.project_id)
        if module.project_id not in {None, project_id}:
            raise NotFound(f"Module {module_id} was not found.")
        if module.datastore_id not in {None, version.datastore_id} or module.version_id not in {None, version.id}:
            raise InvalidInput(
                f"modules[{number}]: module {module.id} is for {module.datastore_name} {module.version_name or ''}".rstrip()
                + f", and the instance has {version.datastore_name} {version.name}."
            )
        found.append(module)
    return in_turn(found)


def intend_first(tx: Tx, caller: Caller, instance: Instance, module_ids: Sequence[str]) -> dict[str, JSON]:
    """Note what modules a new instance is to have, those that every such instance gets with them.

    Returns arguments for the operation that builds it; without any module none. Raises what `fitting` does.
    """
    project_id, version = instance.project_id, instance.datastore_version
    wanted = fitting(tx, caller, module_ids, project_id=project_id, version=version)
    given = {module.id for module in wanted}
    others = [module for module in modules.automatic(tx, project_id=project_id, version=version) if module.id not in given]
    ids = [module.id for module in (*wanted, *others)]
    instance_modules.intend(tx, instance.id, ids)
    return {MODULES: list(ids)} if ids else {}


def apply_first_modules(work: Work) -> None:
    """Have the guest of a new instance apply its modules, and keep what it reports. One that fails ends the creation."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        payload = [
            sent(tx, each.module) for each in instance_modules.of_instance(tx, instance.id, project_id=None) if each.md5 is None
        ]
    if not payload:
        return
    told = run_job(work, "apply_modules", {"modules": list(payload)}, waiting_for=WAITING_FOR, errand=_ERRAND)
    work.doors.database.run(_confirm, work, instance.id, _applied(told).items())


def apply_modules_again(work: Work) -> None:
    """Have the guest of a server that was made anew apply the modules of its instance.

    One that fails does not fail the operation: the instance serves, and its modules are shown as not confirmed.
    """
    with work.doors.database.reading() as tx:
        instance_id = work.operation.resource_id
        payload = [sent(tx, each.module) for each in instance_modules.of_instance(tx, instance_id, project_id=None)]
    if not payload:
        return
    try:
        applied = _applied(run_job(work, "apply_modules", {"modules": list(payload)}, waiting_for=WAITING_FOR, errand=_ERRAND))
    except GuestError as error:
        LOG.warning("The modules of instance %s are not there again: %s", instance_id, error)
        applied = {str(each["id"]): None for each in payload}
    work.doors.database.run(_confirm, work, instance_id, applied.items())


def disown_first_modules(work: Work) -> None:
    """Note that the server of a new instance, which is taken down, has its modules not."""
    instance_id = work.operation.resource_id
    with work.doors.database.reading() as tx:
        ids = [each.module.id for each in instance_modules.of_instance(tx, instance_id, project_id=None)]
    work.doors.database.run(_confirm, work, instance_id, [(module_id, None) for module_id in ids])


def sent(tx: Tx, module: Module) -> dict[str, JSON]:
    """Return a module as guests get it. Its contents are secret."""
    return {
        "id": module.id,
        "name": module.name,
        "type": module.type,
        "md5": module.md5,
        "contents": base64.b64encode(modules.contents(tx, module.id)).decode(),
    }


def _applied(told: Mapping[str, object]) -> dict[str, str | None]:
    """Return the MD5 of each module that a guest says it has applied, by id. Raises `GuestError`."""
    applied = told.get("applied")
    try:
        return {str(module_id): read_digest(md5) for module_id, md5 in dict(applied).items()}  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise GuestError("The guest agent reported its modules in a form that is not understood.") from error


def _confirm(tx: Tx, work: Work, instance_id: str, applied: Iterable[tuple[str, str | None]]) -> None:

    operations.check(tx, work.fence)
    for module_id, md5 in applied:
        instance_modules.confirm(tx, instance_id, module_id, md5)
