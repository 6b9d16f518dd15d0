"""Rows of database instances, with what belongs to them: version, guest's report, fault."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, delete, false, func, or_, select, true, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.instances import Access, Address, Fault, Guest, Instance, NewInstance, Volume
from trove.core.operations import Fence
from trove.core.pages import Page
from trove.core.quotas import Resource, charge
from trove.core.replication import ReplicaState
from trove.core.status import ServerStatus, ServiceStatus, Task
from trove.core.transitions import TRANSITIONS, Event, State, target
from trove.store import operations, usage
from trove.store.datastores import VERSION_COLUMNS, VersionRows
from trove.store.packed import Packed
from trove.store.session import Tx
from trove.store.tables import (
    LIST_INDEX,
    configurations,
    datastore_versions,
    datastores,
    instance_faults,
    instance_modules,
    instance_tls,
    instances,
    service_statuses,
)
from trove.store.upserts import upsert

FAULT_MESSAGE_CHARACTERS = 255

# Looked up, not constructed: a page has sixty of them.
_TASKS = {task.value: task for task in Task}
_SERVER_STATUSES = {status.value: status for status in ServerStatus}
_SERVICE_STATUSES = {status.value: status for status in ServiceStatus}

_REPLICA = instances.alias("replica")
_REPLICAS = (
    select(func.aggregate_strings(_REPLICA.c.id, ","))
    .where(_REPLICA.c.slave_of_id == instances.c.id, _REPLICA.c.deleted == false())
    .scalar_subquery()
)
# The order is that of `read`, which unpacks by position: that is what makes a page cheap.
_COLUMNS = (
    instances.c.id,
    instances.c.name,
    instances.c.tenant_id,
    instances.c.task,
    instances.c.flavor_id,
    instances.c.created,
    instances.c.updated,
    instances.c.volume_size,
    instances.c.volume_type,
    instances.c.volume_id,
    instances.c.region_id,
    instances.c.access,
    instances.c.addresses,
    instances.c.hostname,
    instances.c.port,
    instances.c.compute_instance_id,
    instances.c.server_status,
    instances.c.slave_of_id,
    instances.c.cluster_id,
    instances.c.configuration_id,
    configurations.c.name,
    service_statuses.c.status,
    service_statuses.c.status_updated,
    service_statuses.c.heard_at,
    service_statuses.c.agent_version,
    service_statuses.c.datastore_version,
    service_statuses.c.restarts,
    service_statuses.c.volume_used_bytes,
    service_statuses.c.volume_total_bytes,
    service_statuses.c.replica_state,
    instance_faults.c.message,
    instance_faults.c.details,
    instance_faults.c.created,
    _REPLICAS,
    instances.c.locality,
    *VERSION_COLUMNS,
)
_OWN_COLUMNS = len(_COLUMNS) - len(VERSION_COLUMNS)

EVERY = select(*_COLUMNS).select_from(
    # Outer joins throughout, so that no planner begins with a small table and sorts all instances.
    instances.outerjoin(datastore_versions, datastore_versions.c.id == instances.c.datastore_version_id)
    .outerjoin(datastores, datastores.c.id == datastore_versions.c.datastore_id)
    .outerjoin(service_statuses, service_statuses.c.instance_id == instances.c.id)
    .outerjoin(instance_faults, instance_faults.c.instance_id == instances.c.id)
    .outerjoin(configurations, configurations.c.id == instances.c.configuration_id)
)
"""Every instance, deleted ones too, with what belongs to it."""

_WHOLE = EVERY.where(instances.c.deleted == false())
_ONE = Packed(_WHOLE.where(instances.c.id == bindparam("id")))
_PAGE = (
    _WHOLE.where(instances.c.tenant_id == bindparam("project"))
    .order_by(instances.c.created.desc(), instances.c.id.desc())
    .limit(bindparam("limit"))
    # MariaDB would rather collect all that have no cluster, and sort them.
    .with_hint(instances, f"FORCE INDEX ({LIST_INDEX})", "mysql")
    .with_hint(instances, f"FORCE INDEX ({LIST_INDEX})", "mariadb")
)
_AFTER = (
    instances.c.created <= bindparam("created", type_=instances.c.created.type),
    or_(instances.c.created < bindparam("created", type_=instances.c.created.type), instances.c.id < bindparam("marker")),
)
_SINGLE = instances.c.cluster_id.is_(None)
_PAGES = {
    (clustered, after): Packed(_PAGE.where(true() if clustered else _SINGLE, *(_AFTER if after else ())))
    for clustered in (False, True)
    for after in (False, True)
}
# The row is locked until the transaction ends; what its guest reports is read beside it without a lock.
_STATE = (
    select(
        instances.c.task,
        instances.c.server_status,
        select(service_statuses.c.status).where(service_statuses.c.instance_id == instances.c.id).scalar_subquery(),
    )
    .where(instances.c.id == bindparam("id"), instances.c.deleted == false())
    .with_for_update()
)
# Made once: making a statement costs more than executing it. What is set is named by the parameters.
_IS_LIVE = (instances.c.id == bindparam("wanted")) & (instances.c.deleted == false())
_CHANGE = update(instances).where(_IS_LIVE)
_MOVE = update(instances).where(_IS_LIVE, instances.c.task == bindparam("was"))
_SET = (
    select(instances.c.id)
    .where(
        or_(instances.c.id == bindparam("source"), instances.c.slave_of_id == bindparam("source")),
        instances.c.deleted == false(),
    )
    .order_by(instances.c.id)
    .with_for_update()
)
_SOURCES = select(instances.c.id, instances.c.slave_of_id).where(
    instances.c.id.in_(bindparam("ids", expanding=True)), instances.c.deleted == false()
)
_KEY = select(instances.c.encrypted_key).where(_IS_LIVE)
_CHARGES = select(instances.c.ram_mib, instances.c.volume_size).where(_IS_LIVE)
_CLEAR_FAULT = delete(instance_faults).where(instance_faults.c.instance_id == bindparam("wanted"))
_FORGET_MODULES = delete(instance_modules).where(instance_modules.c.instance_id == bindparam("wanted"))
_FORGET_TLS = delete(instance_tls).where(instance_tls.c.instance_id == bindparam("wanted"))
_MARKER = select(instances.c.created).where(
    instances.c.id == bindparam("marker"), instances.c.tenant_id == bindparam("project")
)


def insert(tx: Tx, new: NewInstance) -> Instance:
    """Store a new instance: task BUILDING, server BUILD, service NEW. Raises `NotFound` for an unknown datastore version."""
    now = utcnow()
    made = TRANSITIONS[Event.CREATE_ACCEPTED].targets[None]
    if tx.execute(select(datastore_versions.c.id).where(datastore_versions.c.id == new.datastore_version_id)).first() is None:
        raise errors.NotFound(f"Datastore version {new.datastore_version_id} was not found.")
    row = {
        "id": new.id,
        "created": now,
        "updated": now,
        "name": new.name,
        "tenant_id": new.project_id,
        "task": made.task,
        "task_start_time": now,
        "flavor_id": new.flavor_id,
        "ram_mib": new.ram_mib,
        "volume_size": new.volume_size_gib,
        "volume_type": new.volume_type,
        "server_status": made.server,
        "datastore_version_id": new.datastore_version_id,
        "configuration_id": new.configuration_id,
        "region_id": new.region,
        "availability_zone": new.availability_zone,
        "access": _access_text(new.access),
        "slave_of_id": new.replica_of,
        "locality": new.locality,
        "cluster_id": new.cluster_id,
        "type": new.member_type,
        "encrypted_key": tx.vault.seal(new.key),
        "deleted": False,
    }
    tx.execute(sa.insert(instances), row)
    status = {"instance_id": new.id, "status": ServiceStatus.NEW, "status_updated": now, "restarts": 0}
    tx.execute(sa.insert(service_statuses), status)
    return get(tx, new.id)


def get(tx: Tx, instance_id: str, *, project_id: str | None = None) -> Instance:
    """Return a live instance. Raises `NotFound` when it is absent, deleted, or not in `project_id` (None: any project)."""
    row = _ONE.first(tx, {"id": instance_id})
    if row is None or (project_id is not None and row[2] != project_id):
        raise _not_found(instance_id)
    return read(row, VersionRows())


def exists(tx: Tx, instance_id: str) -> bool:
    """Tell whether there is such a live instance."""
    return tx.execute(_CHARGES, {"wanted": instance_id}).first() is not None


def page(tx: Tx, *, project_id: str, limit: int, marker: str | None = None, include_clustered: bool = False) -> Page[Instance]:
    """Return live instances of a project, newest first, after the instance `marker`; raises `InvalidInput` for an unknown one.

    One statement, two with a marker; the cost does not grow with the number of instances. A marker may be a
    deleted instance.
    """
    parameters: dict[str, Any] = {"project": project_id, "limit": limit + 1}
    if marker is not None:
        created = tx.execute(_MARKER, {"marker": marker, "project": project_id}).scalar_one_or_none()
        if created is None:
            raise errors.InvalidInput(f"The marker {marker} is not an instance of this project.")
        parameters |= {"marker": marker, "created": created}
    rows = _PAGES[include_clustered, marker is not None].all(tx, parameters)
    versions = VersionRows()
    items = tuple(read(row, versions) for row in rows[:limit])
    return Page(items=items, next_marker=items[-1].id if items and len(rows) > limit else None)


def apply(tx: Tx, instance_id: str, event: Event, *, fence: Fence | None = None) -> Task:
    """Let `event` change the task by the table of transitions (compare-and-set); return what the task was until now.

    The row is locked until `tx` ends. With `fence` it is the end of an operation, which no longer speaks for an instance that
    a later one waits for. Raises `NotFound`; `NotReady` naming the state when the event is not possible now; `Fenced`.
    """
    found = _locked(tx, instance_id)
    if fence is not None:
        operations.check(tx, fence)
        if operations.newest_unfinished(tx, instance_id) != fence.operation_id:
            raise errors.NotReady(f"Instance {instance_id} has been taken by another operation.")
    _move(tx, instance_id, event, found)
    usage.moved(tx, instance_id, event, fence)
    return found.task


def apply_to_member(tx: Tx, instance_id: str, event: Event, *, fence: Fence) -> None:
    """Let an operation on a replicated set or a cluster change the task of a member, which has no operation of its own.

    Raises `NotFound`; `NotReady` when somebody has freed or taken the member meanwhile; `Fenced`.
    """
    found = _locked(tx, instance_id)
    operations.check(tx, fence)
    _move(tx, instance_id, event, found)
    usage.moved(tx, instance_id, event, fence)


def sources(tx: Tx, instance_ids: Sequence[str]) -> dict[str, str | None]:
    """Return, for those of these instances that are live, the id of the instance that each replicates, or None."""
    return {row.id: row.slave_of_id for row in tx.execute(_SOURCES, {"ids": sorted(instance_ids)})}


def hold_set(tx: Tx, source_id: str) -> tuple[str, ...]:
    """Return the ids of an instance and of all that replicate it now, in order, and keep others from changing any of them."""
    return tuple(tx.execute(_SET, {"source": source_id}).scalars())


def record_source(tx: Tx, instance_id: str, source_id: str | None, *, fence: Fence | None) -> None:
    """Store whom the instance replicates, None for nobody. May run twice. Raises `NotFound`, `Fenced`."""
    _change(tx, instance_id, fence, {"slave_of_id": source_id})


def record_access(tx: Tx, instance_id: str, access: Access, *, fence: Fence) -> None:
    """Store who may connect. May run twice. Raises `NotFound`, `Fenced`."""
    _change(tx, instance_id, fence, {"access": _access_text(access)})


def record_version(tx: Tx, instance_id: str, version_id: str, *, fence: Fence) -> None:
    """Store which datastore version the instance runs. May run twice. Raises `NotFound`, `Fenced`."""
    _change(tx, instance_id, fence, {"datastore_version_id": version_id})


def rename(tx: Tx, instance_id: str, name: str) -> None:
    """Set the name. May run twice."""
    _change(tx, instance_id, None, {"name": name})


def record_server(  # noqa: PLR0913
    tx: Tx,
    instance_id: str,
    *,
    fence: Fence | None,
    server_id: str | None = None,
    volume_id: str | None = None,
    addresses: Sequence[Address] | None = None,
    hostname: str | None = None,
    port: int | None = None,
    server_status: ServerStatus | None = None,
) -> None:
    """Store what the cloud gave; None leaves a value as it is. May run twice."""
    values = {
        "compute_instance_id": server_id,
        "volume_id": volume_id,
        "addresses": None if addresses is None else json.dumps([asdict(address) for address in addresses]),
        "hostname": hostname,
        "port": port,
        "server_status": server_status,
    }
    _change(tx, instance_id, fence, {name: value for name, value in values.items() if value is not None})


def set_configuration(tx: Tx, instance_id: str, configuration_id: str | None, *, fence: Fence | None = None) -> None:
    """Store which configuration group is attached; None: none. May run twice. Raises `NotFound`, `Fenced`."""
    _change(tx, instance_id, fence, {"configuration_id": configuration_id})


def record_size(
    tx: Tx,
    instance_id: str,
    *,
    fence: Fence,
    flavor_id: str | None = None,
    ram_mib: int | None = None,
    volume_size_gib: int | None = None,
) -> None:
    """Store the size that the instance has now; None leaves a value as it is. Quota is the caller's. May run twice.

    Raises `NotFound`, `Fenced`.
    """
    values = {"flavor_id": flavor_id, "ram_mib": ram_mib, "volume_size": volume_size_gib}
    old = usage.before(tx, instance_id)
    _change(tx, instance_id, fence, {name: value for name, value in values.items() if value is not None})
    usage.resized(tx, old, fence)


def forget_server(tx: Tx, instance_id: str, *, fence: Fence | None, server_status: ServerStatus | None) -> None:
    """Clear server, volume, addresses, name and port, when the cloud has them no more. May run twice."""
    gone = dict.fromkeys(("compute_instance_id", "volume_id", "addresses", "hostname", "port"))
    _change(tx, instance_id, fence, {**gone, "server_status": server_status})


def record_fault(tx: Tx, instance_id: str, message: str, details: str | None, *, fence: Fence | None = None) -> None:
    """Store why the last operation failed, instead of any earlier fault. The message is cut to 255 characters.

    May run twice. Raises `NotFound`.
    """
    if fence is not None:
        operations.check(tx, fence)
    if tx.execute(_CHARGES, {"wanted": instance_id}).first() is None:
        raise _not_found(instance_id)
    fault = {
        "instance_id": instance_id,
        "message": message[:FAULT_MESSAGE_CHARACTERS],
        "details": details,
        "created": utcnow(),
    }
    tx.execute(upsert(tx.dialect, instance_faults), fault)


def clear_fault(tx: Tx, instance_id: str) -> None:
    """Forget the fault, if any. May run twice."""
    tx.execute(_CLEAR_FAULT, {"wanted": instance_id})


def mark_deleted(tx: Tx, instance_id: str, *, fence: Fence | None) -> None:
    """Hide the instance for good: the row stays, its keys go, and that it has modules. Quota is the caller's.

    Raises `NotFound` the second time.
    """
    found = _locked(tx, instance_id)
    if fence is not None:
        operations.check(tx, fence)
    _move(tx, instance_id, Event.DELETED, found, deleted=True, deleted_at=utcnow(), encrypted_key=None)
    tx.execute(_FORGET_MODULES, {"wanted": instance_id})
    tx.execute(_FORGET_TLS, {"wanted": instance_id})
    usage.moved(tx, instance_id, Event.DELETED, fence)


def guest_key(tx: Tx, instance_id: str) -> bytes:
    """Return the sealing key of the instance's guest. Raises `NotFound` when the instance is absent or deleted."""
    sealed = tx.execute(_KEY, {"wanted": instance_id}).scalar_one_or_none()
    if sealed is None:
        raise _not_found(instance_id)
    return tx.vault.open(sealed)


def check_keys(tx: Tx, *, limit: int) -> int:
    """Open the keys of the newest `limit` live instances and return how many there were. Raises `SealBroken`."""
    sealed = (
        select(instances.c.encrypted_key)
        .where(instances.c.deleted == false(), instances.c.encrypted_key.is_not(None))
        .order_by(instances.c.created.desc())
        .limit(limit)
    )
    found = tx.execute(sealed).scalars().all()
    for each in found:
        tx.vault.open(each)
    return len(found)


def charges(tx: Tx, instance_id: str) -> Mapping[Resource, int]:
    """Return what the live instance counts for in its project's quotas: instances 1, ram in MiB, volumes in GiB."""
    row = tx.execute(_CHARGES, {"wanted": instance_id}).first()
    if row is None:
        raise _not_found(instance_id)
    return charge(ram_mib=row.ram_mib, volume_gib=row.volume_size)


def live_ids(tx: Tx) -> frozenset[str]:
    """Return the ids of all instances that are not deleted."""
    return frozenset(tx.execute(select(instances.c.id).where(instances.c.deleted == false())).scalars())


def count(tx: Tx, *, project_id: str | None = None) -> int:
    """Count live instances, of one project or of all."""
    statement = select(func.count()).select_from(instances).where(instances.c.deleted == false())
    if project_id is not None:
        statement = statement.where(instances.c.tenant_id == project_id)
    return int(tx.execute(statement).scalar_one())


def _not_found(instance_id: str) -> errors.NotFound:
    return errors.NotFound(f"Instance {instance_id} was not found.")


def _locked(tx: Tx, instance_id: str) -> State:
    row = tx.execute(_STATE, {"id": instance_id}).first()
    if row is None:
        raise _not_found(instance_id)
    task, server, service = row
    return State(
        task=_TASKS[task],
        server=None if server is None else _SERVER_STATUSES[server],
        service=ServiceStatus.NEW if service is None else _SERVICE_STATUSES[service],
    )


def _move(tx: Tx, instance_id: str, event: Event, found: State, **more: object) -> None:
    now = utcnow()
    to = target(event, instance_id, found)
    values = {"task": to.task, "server_status": to.server or found.server, "updated": now, **more}
    if to.task is not found.task:
        values["task_start_time"] = now
    if tx.execute(_MOVE, {"wanted": instance_id, "was": found.task, **values}).rowcount == 0:
        raise errors.Unavailable(f"Instance {instance_id} changed meanwhile; try again.")


def _change(tx: Tx, instance_id: str, fence: Fence | None, values: Mapping[str, object]) -> None:
    if fence is not None:
        operations.check(tx, fence)
    if tx.execute(_CHANGE, {"wanted": instance_id, "updated": utcnow(), **values}).rowcount == 0:
        raise _not_found(instance_id)


def read(row: Sequence[Any], versions: VersionRows) -> Instance:
    """Return the instance in a row of `EVERY`."""
    (
        instance_id, name, project_id, task, flavor_id, created, updated, size_gib, volume_type, volume_id, region, access,
        addresses, hostname, port, server_id, server_status, replica_of, cluster_id, configuration_id, configuration_name,
        status, status_updated, heard_at, agent_version, datastore_version, restarts, used_bytes, total_bytes, replica_state,
        fault, fault_details, fault_created, replicas, locality,
    ) = row[:_OWN_COLUMNS]  # fmt: skip
    return Instance(
        id=instance_id,
        name=name,
        project_id=project_id,
        task=_TASKS[task],
        flavor_id=flavor_id,
        datastore_version=versions.read(row[_OWN_COLUMNS:]),
        created=created,
        updated=updated,
        volume=None
        if size_gib is None
        else Volume(size_gib=size_gib, type=volume_type, volume_id=volume_id, used_bytes=used_bytes, total_bytes=total_bytes),
        region=region,
        access=None if access is None else _access(access),
        addresses=() if addresses is None else _addresses(addresses),
        hostname=hostname,
        port=port,
        server_id=server_id,
        server_status=None if server_status is None else _SERVER_STATUSES[server_status],
        guest=Guest()
        if status is None
        else Guest(
            status=_SERVICE_STATUSES[status],
            status_updated=status_updated,
            heard_at=heard_at,
            agent_version=agent_version,
            datastore_version=datastore_version,
            restarts=restarts,
            replica_state=None if replica_state is None else ReplicaState.from_json(json.loads(replica_state)),
        ),
        fault=None if fault is None else Fault(message=fault, details=fault_details, created=fault_created),
        replica_of=replica_of,
        cluster_id=cluster_id,
        configuration_id=configuration_id,
        configuration_name=configuration_name,
        replicas=() if not replicas else tuple(sorted(replicas.split(","))),
        locality=locality,
    )


def _access_text(access: Access | None) -> str | None:
    return None if access is None else json.dumps(asdict(access))


@lru_cache(maxsize=4096)
def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(Address(**address) for address in json.loads(text))


@lru_cache(maxsize=4096)
def _access(text: str) -> Access:
    data = json.loads(text)
    return Access(is_public=data["is_public"], allowed_cidrs=tuple(data["allowed_cidrs"]))
