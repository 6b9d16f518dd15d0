"""How an accepted request is booked, and its end settled: operation row, task and quota, in the caller's transaction."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.clusters import ClusterTask
from trove.core.errors import NotFound, NotReady, Overloaded
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.operations import NewOperation, Operation
from trove.core.quotas import Resource
from trove.core.status import Task
from trove.core.transitions import Event
from trove.operations.doors import Limits
from trove.operations.notifications import lifecycle
from trove.operations.work import Work
from trove.store import clusters, instances, operations, quotas
from trove.store.session import Tx

INSTANCE, CLUSTER = "instance", "cluster"
RETRY_AFTER_S = 10.0
RESTART_OWED = "restart_owed"
"""Argument of an operation whose instance was waiting for a restart when it was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an operation works on, and whose it is. `type` is the noun that clients see, such as `instance`."""

    type: str
    id: str
    project_id: str


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

    `reserved` is the quota that was reserved for it in this transaction; its end settles it. Raises `NotReady` while the
    cluster that the instance belongs to, if any, is busy.
    """
    if instance.cluster_id is not None:
        _need_idle_cluster(tx, instance.id, instance.cluster_id)
    subject = Subject(type=INSTANCE, id=instance.id, project_id=instance.project_id)
    args = {**(args or {}), **({RESTART_OWED: True} if instance.task is Task.RESTART_REQUIRED else {})}
    return book_on(tx, caller, subject, kind, timeout_s=timeout_s, args=args, secrets=secrets, reserved=reserved)


def book_on(  # noqa: PLR0913
    tx: Tx,
    caller: Caller,
    subject: Subject,
    kind: str,
    *,
    timeout_s: float,
    args: Mapping[str, JSON] | None = None,
    secrets: Mapping[str, JSON] | None = None,
    reserved: Mapping[Resource, int] | None = None,
) -> Operation:
    """Store an operation on anything, as `book` does on an instance."""
    new = NewOperation(
        id=new_id(),
        kind=kind,
        resource_type=subject.type,
        resource_id=subject.id,
        project_id=subject.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        deadline=utcnow() + timedelta(seconds=timeout_s),
        args=args or {},
        secrets=secrets or {},
        reserved={resource.value: amount for resource, amount in (reserved or {}).items()},
        client_ip=caller.client_ip or None,
    )
    lifecycle.accepted(tx, new)
    return operations.insert(tx, new)


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


def conclude(tx: Tx, work: Work, event: Event, *, restarted: bool = False) -> bool:
    """Show the end of an operation on its instance; return False when that is gone or was taken by another operation.

    An instance that waited for a restart before goes on waiting, unless its database server was `restarted` with its present
    configuration, or the end is no idle state. Raises `Fenced`.
    """
    instance_id = work.operation.resource_id
    try:
        instances.apply(tx, instance_id, event, fence=work.fence)
    except (NotReady, NotFound):
        return False
    if work.operation.args.get(RESTART_OWED) and not restarted:
        owe_restart(tx, work)
    return True


def owe_restart(tx: Tx, work: Work) -> None:
    """Show that the instance waits for a restart, if it is idle. Raises `Fenced`."""
    with suppress(NotReady, NotFound):
        instances.apply(tx, work.operation.resource_id, Event.RESTART_OWED, fence=work.fence)


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


def _need_idle_cluster(tx: Tx, instance_id: str, cluster_id: str) -> None:
    task = clusters.hold(tx, cluster_id) or ClusterTask.NONE
    if task is not ClusterTask.NONE or operations.unfinished(tx, limit=1, resource_id=cluster_id):
        raise NotReady(
            f"Instance {instance_id} is not ready for this action: its cluster {cluster_id} is busy, with task {task.value}."
        )


def _resources(operation: Operation) -> dict[Resource, int]:
    return {Resource(name): amount for name, amount in operation.reserved.items()}
