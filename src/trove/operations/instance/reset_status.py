"""Free an instance from a task that hangs, so that it can be acted on or deleted."""

from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.instances import Heartbeat
from trove.core.status import ServiceStatus, Task
from trove.core.transitions import Event
from trove.operations.booking import cancel_unfinished
from trove.operations.doors import Doors
from trove.operations.instance import delete
from trove.operations.notifications.lifecycle import notified
from trove.operations.sight import instance_of
from trove.store import backups, guests, instances
from trove.store.session import Tx

CANCELLED = "The status was reset while the instance was being built: the build was cancelled."


@notified("instance.reset_status", lambda instance_id: {"instance_id": instance_id})
def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Let go of the instance, say of its service unknown until the next heartbeat, and cancel what runs, except a deletion.

    What was being built or deleted shows ERROR, can be deleted (again), and is written over by nothing that still ran for it
    but the reason why its build or deletion failed. Raises `NotFound`. May run twice.
    """
    doors.database.run(reset, caller, instance_id)


def reset(tx: Tx, caller: Caller, instance_id: str) -> None:
    """Do so in the caller's transaction."""
    instance = instance_of(tx, caller, instance_id)
    was = instances.apply(tx, instance.id, Event.STATUS_RESET)
    backups.fail_running(tx, instance.id, "The status of its instance was reset while it was being made.")
    cancel_unfinished(tx, instance.id, but=delete.KIND)
    if was is Task.BUILDING:
        instances.record_fault(tx, instance.id, CANCELLED, f"Request {caller.request_id}")
    guests.apply_heartbeats(
        tx,
        [
            Heartbeat(
                instance_id=instance.id,
                sent=utcnow(),
                status=ServiceStatus.UNKNOWN,
                agent_version=instance.guest.agent_version,
                datastore_version=instance.guest.datastore_version,
                restarts=instance.guest.restarts,
                volume_used_bytes=instance.volume.used_bytes if instance.volume else None,
                volume_total_bytes=instance.volume.total_bytes if instance.volume else None,
                replica_state=instance.guest.replica_state,
            )
        ],
    )
