"""How an accepted request is booked, and its end settled: operation row, task and quota, in the caller's transaction."""

from collections.abc import Mapping
from datetime import timedelta

from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import NotFound, NotReady, Overloaded
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.operations import NewOperation, Operation
from trove.core.quotas import Resource
from trove.core.transitions import Event
from trove.operations.doors import Limits
from trove.operations.work import Work
from trove.store import instances, operations, quotas
from trove.store.session import Tx

INSTANCE = "instance"
RETRY_AFTER_S = 10.0


def book(  # noqa: PLR0913
    tx: Tx,
    caller: Caller,
    instance: Instance,
    kind: str,
    *,
    timeout_s: float,
    args: Mapping[str, JSON] | None = None,
    secrets: Mapping[str, JSON] | None = None,
    reserved: Mapping[Resource, int] | None = None,
) -> Operation:
    """Store an operation on an instance, to be run within `timeout_s` seconds from now. Announce it after the commit.

    `reserved` is the quota that was reserved for it in this transaction; its end settles it.
    """
    return operations.insert(
        tx,
        NewOperation(
            id=new_id(),
            kind=kind,
            resource_type=INSTANCE,
            resource_id=instance.id,
            project_id=instance.project_id,
            user_id=caller.user_id,
            request_id=caller.request_id,
            deadline=utcnow() + timedelta(seconds=timeout_s),
            args=args or {},
            secrets=secrets or {},
            reserved={resource.value: amount for resource, amount in (reserved or {}).items()},
        ),
    )


def need_room(tx: Tx, limits: Limits) -> None:
    """Raise `Overloaded` while more operations wait and run than the service is to take on; every verb but deletion asks.

    Requests at the same moment may together go beyond the limit a little.
    """
    most = limits.max_pending_operations
    if most and operations.are_unfinished(tx, most):
        raise Overloaded(
            f"The service has {most} operations to carry out already, and takes no more now; try again.",
            retry_after_s=RETRY_AFTER_S,
        )


def cancel_unfinished(tx: Tx, instance_id: str, *, but: str | None = None) -> None:
    """Ask every unfinished operation on an instance to stop, except those of kind `but`."""
    for operation in operations.unfinished(tx, limit=100, resource_id=instance_id):
        if operation.kind != but:
            operations.request_cancel(tx, operation.id)


def conclude(tx: Tx, work: Work, event: Event) -> bool:
    """Show the end of an operation on its instance; return False when that is gone or was taken by another operation.

    Raises `Fenced`.
    """
    try:
        instances.apply(tx, work.operation.resource_id, event, fence=work.fence)
    except (NotReady, NotFound):
        return False
    return True


def commit_reserved(tx: Tx, work: Work) -> None:
    """Count as used what was reserved for the operation. Raises `Fenced`, also the second time: it ends only once.

    Operations that were accepted before there were reservations hold none: theirs was counted as used at once.
    """
    operations.check(tx, work.fence)
    quotas.commit(tx, work.operation.project_id, _resources(work.operation))


def release_reserved(tx: Tx, work: Work) -> None:
    """Give back what was reserved for the operation and is not used after all. Raises `Fenced`, also the second time."""
    operations.check(tx, work.fence)
    quotas.cancel(tx, work.operation.project_id, _resources(work.operation))


def reserved_by_others(tx: Tx, work: Work) -> dict[Resource, int]:
    """Return what other unfinished operations on the same resource hold reserved."""
    held: dict[Resource, int] = {}
    for operation in operations.unfinished(tx, limit=100, resource_id=work.operation.resource_id):
        if operation.id != work.operation.id:
            for resource, amount in _resources(operation).items():
                held[resource] = held.get(resource, 0) + max(0, amount)
    return held


def quota_defaults(limits: Limits) -> dict[Resource, int]:
    """Return the limits of a project that has none of its own."""
    return {
        Resource.INSTANCES: limits.max_instances,
        Resource.VOLUMES: limits.max_volumes_gib,
        Resource.BACKUPS: limits.max_backups,
        Resource.RAM: limits.max_ram_mib,
    }


def _resources(operation: Operation) -> dict[Resource, int]:
    return {Resource(name): amount for name, amount in operation.reserved.items()}
