"""Change who may connect to an instance."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trove.core.callers import Caller
from trove.core.errors import TroveError
from trove.core.instances import Access
from trove.core.json import JSON
from trove.core.transitions import Event
from trove.datastores import registry
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.instance.naming import ensure_name
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.update_access"
NEW, OLD = "access", "old_access"


def start(doors: Doors, caller: Caller, instance_id: str, access: Access) -> None:
    """Accept that `access` replaces what was, in whole.

    Raises `NotFound`, `Unsupported` for a cluster's member, `NotReady` naming the state, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, access))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, access: Access) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_no_cluster(instance)
    instances.apply(tx, instance.id, Event.ACCESS_ACCEPTED)
    args = {NEW: _to_json(access), OLD: None if instance.access is None else _to_json(instance.access)}
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.reboot_timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow that changes it."""
    return line(work, step(work, open_as_wanted, waiting_for="the cloud to open the ports", undo=open_as_before))


def succeed(tx: Tx, work: Work) -> None:
    """Show who may connect now, in the transaction that ends the operation, whatever was made of the instance meanwhile."""
    instance_id, access = work.operation.resource_id, _from_json(work.operation.args[NEW])
    if conclude(tx, work, Event.ACCESS_UPDATED):
        instances.clear_fault(tx, instance_id)
    if instances.exists(tx, instance_id) and access is not None:
        instances.record_access(tx, instance_id, access, fence=work.fence)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance and keep the fault; who might connect before may connect now."""
    if conclude(tx, work, Event.ACCESS_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def open_as_wanted(work: Work) -> None:
    """Have the cloud open the ports for who may connect from now on."""
    _open(work, _from_json(work.operation.args[NEW]))


def open_as_before(work: Work) -> None:
    """Have the cloud open the ports for who might connect before."""
    _open(work, _from_json(work.operation.args[OLD]))


def _open(work: Work, access: Access | None) -> None:
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    tcp_ports = registry.spec(instance.datastore_version.manager).tcp_ports
    port = work.doors.cloud.update_access(instance.id, access, tcp_ports)
    with work.doors.database.transaction() as tx:
        instances.record_server(tx, instance.id, fence=work.fence, addresses=port.addresses)
    if instance.hostname is not None:
        ensure_name(work)


def _to_json(access: Access) -> dict[str, JSON]:
    return {**asdict(access), "allowed_cidrs": list(access.allowed_cidrs)}


def _from_json(data: JSON) -> Access | None:
    if not isinstance(data, Mapping):
        return None
    cidrs = data["allowed_cidrs"]
    assert isinstance(cidrs, list)
    return Access(is_public=bool(data["is_public"]), allowed_cidrs=tuple(str(each) for each in cidrs))
