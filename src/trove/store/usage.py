"""Usage notifications (`trove.instance.*`): stored by whatever changes what an instance uses, in the same transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, Select, false, select

from trove.core.clock import utcnow
from trove.core.json import JSON
from trove.core.notifications import Used, moment, usage_payload
from trove.core.operations import Fence
from trove.core.status import ServerStatus, Task
from trove.core.transitions import Event
from trove.store import notifications
from trove.store.session import Tx
from trove.store.tables import datastore_versions, instances, operations

TYPES: Mapping[Event, str] = {Event.BUILT: "trove.instance.create", Event.DELETED: "trove.instance.delete"}
MODIFIED_FLAVOR = "trove.instance.modify_flavor"
MODIFIED_VOLUME = "trove.instance.modify_volume"

_USED: Select[Any] = select(
    instances.c.id.label("instance_id"),
    instances.c.name,
    instances.c.tenant_id.label("project_id"),
    instances.c.task,
    instances.c.server_status,
    instances.c.flavor_id,
    instances.c.ram_mib,
    instances.c.volume_size.label("volume_size_gib"),
    instances.c.volume_id,
    instances.c.compute_instance_id.label("server_id"),
    instances.c.region_id.label("region"),
    instances.c.availability_zone,
    datastore_versions.c.manager,
    instances.c.created,
    instances.c.deleted_at,
).select_from(instances.outerjoin(datastore_versions, datastore_versions.c.id == instances.c.datastore_version_id))


def used(tx: Tx, instance_id: str) -> Used | None:
    """Return what an instance uses, or used before it was deleted; None when there never was one."""
    row = tx.execute(_USED.where(instances.c.id == instance_id)).mappings().first()
    return None if row is None else _read(row)


def page(tx: Tx, *, limit: int, after: str = "") -> tuple[Used, ...]:
    """Return live instances of all projects in the order of their ids, beginning behind `after`."""
    live = _USED.where(instances.c.deleted == false(), instances.c.id > after).order_by(instances.c.id).limit(limit)
    return tuple(_read(row) for row in tx.execute(live).mappings())


def before(tx: Tx, instance_id: str) -> Used | None:
    """Return what `resized` compares with; None in a process that stores no notifications."""
    return None if tx.publisher is None else used(tx, instance_id)


def moved(tx: Tx, instance_id: str, event: Event, fence: Fence | None) -> None:
    """Store the notification of an instance that became usable, or that was deleted, if `event` says so."""
    if event in TYPES:
        _put(tx, TYPES[event], used(tx, instance_id) if tx.publisher else None, fence)


def resized(tx: Tx, old: Used | None, fence: Fence) -> None:
    """Store the notifications of what was changed since `old` (see `before`); nothing when nothing was."""
    new = None if old is None else used(tx, old.instance_id)
    if old is None or new is None:
        return
    now = moment(utcnow())
    if new.flavor_id != old.flavor_id:
        _put(tx, MODIFIED_FLAVOR, new, fence, {"old_instance_size": old.ram_mib, "modify_at": now})
    if new.volume_size_gib != old.volume_size_gib:
        _put(tx, MODIFIED_VOLUME, new, fence, {"old_volume_size": old.volume_size_gib, "modify_at": now})


def _put(tx: Tx, event_type: str, found: Used | None, fence: Fence | None, more: Mapping[str, JSON] | None = None) -> None:
    if tx.publisher is None or found is None:
        return
    user_id = None
    if fence is not None:
        user_id = tx.execute(select(operations.c.user_id).where(operations.c.id == fence.operation_id)).scalar_one_or_none()
    notifications.put(tx, event_type, {**usage_payload(found, tx.publisher, user_id=user_id), **(more or {})})


def _read(row: RowMapping) -> Used:
    server = row["server_status"]
    return Used(**{**row, "task": Task(row["task"]), "server_status": None if server is None else ServerStatus(server)})
