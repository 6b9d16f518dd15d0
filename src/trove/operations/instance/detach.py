"""Let a replica stand alone: it applies what it has received, follows its source no more, and takes writes of its own."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, TroveError
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.guest_jobs import is_done
from trove.operations.instance import replica_verbs
from trove.operations.instance.replica_building import clean_up_source
from trove.operations.instance.replica_set import SOURCE, need_quiet
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.detach_replica"


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the detachment.

    Raises `NotFound`, `InvalidInput` for what is no replica, `Unsupported` for a cluster's member, `NotReady` naming the state,
    `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    need_room(tx, doors.settings.limits)
    replica = instance_of(tx, caller, instance_id)
    need_no_cluster(replica)
    if replica.replica_of is None:
        raise InvalidInput(f"Instance {replica.id} is not a replica, so it cannot be detached.")
    instances.apply(tx, replica.id, Event.DETACH_ACCEPTED)
    for member in (replica.id, replica.replica_of):
        need_quiet(tx, member)
    timeout_s, args = doors.settings.failover_timeout_s, {SOURCE: replica.replica_of}
    return book(tx, caller, replica, KIND, timeout_s=timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow of a detachment. What has parted takes writes, so it is never joined again."""
    return line(
        work,
        step(work, detach_replica, waiting_for=replica_verbs.PARTING),
        step(work, clean_up, waiting_for="the source to be told"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the instance as one of its own, in the transaction that ends the operation."""
    if conclude(tx, work, Event.DETACHED):
        instances.clear_fault(tx, work.operation.resource_id)
    _record(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance and keep the fault. It is no replica any more if its guest has said so."""
    if conclude(tx, work, Event.DETACH_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )
    if is_done(tx, work, replica_verbs.PART):
        _record(tx, work)


def detach_replica(work: Work) -> None:
    """Have the replica part from its source and take writes."""
    replica_verbs.detach_replica(work, work.operation.resource_id, for_failover=False)


def clean_up(work: Work) -> None:
    """Tell the source that one of its replicas follows it no more. Nobody waits for it."""
    clean_up_source(work, str(work.operation.args[SOURCE]), tag="forget")


def _record(tx: Tx, work: Work) -> None:
    if instances.exists(tx, work.operation.resource_id):
        instances.record_source(tx, work.operation.resource_id, None, fence=work.fence)
