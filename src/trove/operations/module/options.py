"""What may be said of a module, who may say it, and which datastores it is for."""

from dataclasses import dataclass

from trove.core.callers import Caller
from trove.core.errors import Forbidden, InvalidInput, NotFound
from trove.core.modules import Module, NewModule
from trove.operations.doors import Doors
from trove.store import datastores
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a request says; None: nothing. `datastore` and `version` are ids or names.

    `full_access` has everybody who sees the module change it, though an administrator made it.
    """

    description: str | None = None
    datastore: str | None = None
    version: str | None = None
    all_tenants: bool | None = None
    auto_apply: bool | None = None
    visible: bool | None = None
    live_update: bool | None = None
    priority_apply: bool | None = None
    full_access: bool | None = None
    apply_order: int | None = None


def check_type(doors: Doors, module_type: str) -> None:
    """Raise `NotFound` naming the types on offer when it is none of them."""
    types = doors.settings.modules.types
    if module_type not in types:
        raise NotFound(f"module_type: {module_type!r} was not found; on offer: {', '.join(types) or 'none'}.")


def check_rights(caller: Caller, wanted: NewModule, full_access: bool | None) -> None:
    """Raise `Forbidden` for what only administrators may do, `InvalidInput` for full access to what concerns others."""
    concerns = {
        "all_tenants": wanted.project_id is None,
        "auto_apply": wanted.auto_apply,
        "visible=0": not wanted.visible,
        "priority_apply": wanted.priority_apply,
    }
    named = [name for name, is_so in concerns.items() if is_so]
    if not caller.is_admin and (named or full_access):
        asked = ", ".join([*named, *(["full_access"] if full_access else [])])
        raise Forbidden(f"Only administrators may make a module with {asked}.")
    if named and full_access:
        raise InvalidInput(
            f"full_access: cannot be given to a module with {', '.join(named)}, which only administrators change."
        )


def need_own(caller: Caller, module: Module) -> None:
    """Raise `Forbidden` for a module that only administrators may change or delete."""
    if not caller.is_admin and (module.is_admin or module.concerns_others()):
        raise Forbidden(f"Module {module.id} may be changed by administrators only.")


def need_unapplied(module: Module, instances: int, deed: str) -> None:
    """Raise `Forbidden` while instances have the module."""
    if instances:
        noun = "instance" if instances == 1 else "instances"
        raise Forbidden(f"Module {module.id} is applied to {instances} {noun} and cannot be {deed}.")


def place(tx: Tx, datastore: str | None, version: str | None) -> tuple[str | None, str | None]:
    """Return the ids of the datastore and the version that a module is to be for. None means all.

    Raises `NotFound`; `InvalidInput` for a version without a datastore, or an ambiguous name.
    """
    if datastore is None:
        if version is not None:
            raise InvalidInput("datastore: a version needs the type of the datastore beside it.")
        return None, None
    found = datastores.get(tx, datastore)
    return found.id, None if version is None else datastores.version(tx, found, version).id
