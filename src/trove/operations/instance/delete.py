"""Delete an instance: always possible, also while it is built, and freeing all that was ever made for it."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import Forbidden, NotFound, TroveError
from trove.core.json import JSON
from trove.core.transitions import Event
from trove.operations.booking import book, cancel_unfinished, conclude, reserved_by_others
from trove.operations.doors import Doors
from trove.operations.instance import eject, replica_snapshot
from trove.operations.instance.naming import NAMED, named, remove_name
from trove.operations.instance.naming import WAITING_FOR as NAME
from trove.operations.instance.replica_building import clean_up_source
from trove.operations.instance.replica_set import SOURCE
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import guests, instances, operations, quotas
from trove.store.session import Tx

KIND = "instance.delete"
SNAPSHOTS = "snapshots"
"""Argument of a deletion: where backups may be left from which a replica was built."""


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the deletion. A build or another action that runs is cancelled; the deletion waits for its end by itself.

    Raises `NotFound`, `Forbidden` while it has replicas or is being ejected from them, `Unsupported` for a cluster's member,
    `NotReady` when it is being deleted already.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    instance = instance_of(tx, caller, instance_id)
    replicas = [member for member in instances.hold_set(tx, instance.id) if member != instance.id]
    if replicas:
        raise Forbidden(f"Instance {instance.id} has replicas: {', '.join(replicas)}. Delete or detach them first.")
    _need_not_ejected_now(tx, instance.id)
    need_no_cluster(instance)
    instances.apply(tx, instance.id, Event.DELETE_ACCEPTED)
    instances.set_configuration(tx, instance.id, None)
    cancel_unfinished(tx, instance.id, but=KIND)
    args: dict[str, JSON] = {**named(doors), **({} if instance.replica_of is None else {SOURCE: instance.replica_of})}
    if places := replica_snapshot.left_behind(tx, instance.id):
        args[SNAPSHOTS] = places
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.delete_timeout_s, args=args).id


def _need_not_ejected_now(tx: Tx, instance_id: str) -> None:
    """Raise `Forbidden` while the instance is parted from its replicas: broken off, that would leave them without a source."""
    for operation in operations.unfinished(tx, limit=100, resource_id=instance_id):
        if operation.kind == eject.KIND and not operation.cancel_requested:
            raise Forbidden(f"Instance {instance_id} is being ejected from its replicated set. Delete it when that has ended.")


def flow(work: Work) -> Any:
    """Return the flow that frees everything. Each step is content with what is gone already."""
    leaving = [step(work, leave_source, waiting_for="the source to be told")] if SOURCE in work.operation.args else []
    if SNAPSHOTS in work.operation.args:
        leaving.append(step(work, remove_snapshots, waiting_for="the object store to delete what it was built from"))
    return line(
        work,
        *leaving,
        step(work, remove_server, waiting_for="the server to be deleted"),
        step(work, remove_volume, waiting_for="the volume to be deleted"),
        *([step(work, remove_name, waiting_for=NAME)] if NAMED in work.operation.args else []),
        step(work, remove_port, waiting_for="the address to be released"),
        step(work, expel_guest, waiting_for="the guest to be taken off the bus"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Hide the instance and give its quota back, in the transaction that ends the operation."""
    instance_id = work.operation.resource_id
    try:
        charges = instances.charges(tx, instance_id)
    except NotFound:
        return
    guests.forget(tx, instance_id)
    instances.clear_fault(tx, instance_id)
    instances.mark_deleted(tx, instance_id, fence=work.fence)
    # What its creation still holds reserved was never counted as used; that ends with the creation.
    held = reserved_by_others(tx, work)
    used = {resource: max(0, amount - held.get(resource, 0)) for resource, amount in charges.items()}
    quotas.release(tx, work.operation.project_id, used)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the instance as ERROR with what could not be freed; it can be deleted again."""
    if conclude(tx, work, Event.DELETE_FAILED):
        instance_id = work.operation.resource_id
        instances.record_fault(tx, instance_id, error.message, f"Operation {work.operation.id}", fence=work.fence)


def leave_source(work: Work) -> None:
    """Tell the source of a replica that it follows no more. Nobody waits for it."""
    clean_up_source(work, str(work.operation.args[SOURCE]), tag="forget")


def remove_snapshots(work: Work) -> None:
    """Remove what may be left of the backups from which a replica was built."""
    replica_snapshot.remove_left_behind(work, work.operation.args[SNAPSHOTS])


def remove_server(work: Work) -> None:
    """Delete the server."""
    work.doors.cloud.delete_server(work.operation.resource_id)


def remove_volume(work: Work) -> None:
    """Delete the data volume."""
    work.doors.cloud.delete_volume(work.operation.resource_id)


def remove_port(work: Work) -> None:
    """Release the address."""
    work.doors.cloud.delete_port(work.operation.resource_id)


def expel_guest(work: Work) -> None:
    """Remove the guest's bus user and queue."""
    work.doors.admission.expel(work.operation.resource_id)
