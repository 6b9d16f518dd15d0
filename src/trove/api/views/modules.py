"""How modules look (contract 11): never with their contents, but on an instance, to those who ask for them."""

from collections.abc import Mapping

from trove.core.clock import wire_time
from trove.core.json import JSON
from trove.core.modules import ALL, Applied, Module, ModuleResult, ModuleStatus, Tally

UNCONFIRMED = "Its guest agent has not confirmed that it has the module; ask it with from_guest=true, or apply it again."


def summary(module: Module) -> dict[str, JSON]:
    """Return the fields of a list."""
    return {
        "id": module.id,
        "name": module.name,
        "type": module.type,
        "description": module.description,
        "tenant_id": module.project_id,
        "tenant": module.project_id or ALL,
        "datastore_id": module.datastore_id,
        "datastore": _datastore(module),
        "datastore_version_id": module.version_id,
        "datastore_version": _version(module),
        "auto_apply": module.auto_apply,
        "priority_apply": module.priority_apply,
        "apply_order": module.apply_order,
        "is_admin": module.is_admin,
        "visible": module.visible,
        "md5": module.md5,
        "created": wire_time(module.created),
        "updated": wire_time(module.updated),
    }


def detail(module: Module, instances: int) -> dict[str, JSON]:
    """Return the fields of one that is shown."""
    return {**summary(module), "live_update": module.live_update, "instance_count": instances}


def count(module: Module, tally: Tally) -> dict[str, JSON]:
    """Return how many instances have the same contents of a module."""
    return {
        "module_name": module.name,
        "module_id": module.id,
        "module_md5": tally.md5,
        "instance_count": tally.instances,
        "current": tally.md5 == module.md5,
        "min_updated_date": wire_time(tally.first_updated),
        "max_updated_date": wire_time(tally.last_updated),
    }


def applied(each: Applied) -> dict[str, JSON]:
    """Return a module on an instance as it is stored."""
    return {
        **_of(each.module),
        "md5": each.md5,
        "status": (ModuleStatus.OK if each.md5 else ModuleStatus.ERROR).value,
        "message": None if each.md5 else UNCONFIRMED,
        "created": wire_time(each.created),
        "updated": wire_time(each.updated),
        "removed": None,
        "contents": None,
    }


def result(module: Module, told: ModuleResult, *, contents: str | None = None) -> dict[str, JSON]:
    """Return a module on an instance as its guest tells of it."""
    return {
        **_of(module),
        "name": told.name,
        "type": told.type,
        "md5": told.md5,
        "status": told.status.value,
        "message": told.message or None,
        "created": wire_time(told.created),
        "updated": wire_time(told.updated),
        "removed": None,
        "contents": contents,
    }


def _of(module: Module) -> Mapping[str, JSON]:
    return {
        "id": module.id,
        "name": module.name,
        "type": module.type,
        "datastore": _datastore(module),
        "datastore_version": _version(module),
        "tenant": module.project_id or ALL,
        "auto_apply": module.auto_apply,
        "visible": module.visible,
        "is_admin": module.is_admin,
    }


def _datastore(module: Module) -> str:
    return module.datastore_name or module.datastore_id or ALL


def _version(module: Module) -> str:
    return module.version_name or module.version_id or ALL
