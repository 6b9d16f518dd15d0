"""How an accepted request is booked: its operation row, in the caller's transaction, announced after it."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import NotFound, NotReady
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.operations import NewOperation, Operation
from trove.core.quotas import Resource
from trove.core.status import Task
from trove.operations.doors import Limits
from trove.store import instances, operations
from trove.store.session import Tx

INSTANCE = "instance"


def book(  # noqa: PLR0913
    tx: Tx,
    caller: Caller,
    instance: Instance,
    kind: str,
    *,
    timeout_s: float,
    args: Mapping[str, JSON] | None = None,
    secrets: Mapping[str, JSON] | None = None,
) -> Operation:
    """Store an operation on an instance, to be run within `timeout_s` seconds from now. Announce it after the commit."""
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
        ),
    )


def cancel_unfinished(tx: Tx, instance_id: str, *, but: str | None = None) -> None:
    """Ask every unfinished operation on an instance to stop, except those of kind `but`."""
    for operation in operations.unfinished(tx, limit=100, resource_id=instance_id):
        if operation.kind != but:
            operations.request_cancel(tx, operation.id)


def swap_task(tx: Tx, instance_id: str, *, was: Collection[Task], to: Task) -> bool:
    """Set the task if it still is one of `was`; return whether it was. One that is gone, or taken by a deletion, is left."""
    try:
        instances.start_task(tx, instance_id, to=to, allowed=was)
    except (NotReady, NotFound):
        return False
    return True


def quota_defaults(limits: Limits) -> dict[Resource, int]:
    """Return the limits of a project that has none of its own."""
    return {
        Resource.INSTANCES: limits.max_instances,
        Resource.VOLUMES: limits.max_volumes_gib,
        Resource.BACKUPS: limits.max_backups,
        Resource.RAM: limits.max_ram_mib,
    }
