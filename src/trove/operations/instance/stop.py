"""Stop the database server of an instance; it stays stopped until a restart. Its server and its guest agent run on."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import TroveError
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.guest_jobs import forget_job, run_job
from trove.operations.sight import instance_of
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.stop"


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the stop. Raises `NotFound`, `NotReady` naming the state, `Overloaded`."""
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    instances.apply(tx, instance.id, Event.STOP_ACCEPTED)
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.restart_timeout_s).id


def flow(work: Work) -> Any:
    """Return the flow of a stop."""
    return line(work, step(work, stop_database, waiting_for="the guest agent to stop the database"))


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the instance, in the transaction that ends the operation: that it is stopped, its guest reports."""
    if conclude(tx, work, Event.STOPPED):
        instances.clear_fault(tx, work.operation.resource_id)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance and keep the fault."""
    if conclude(tx, work, Event.STOP_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def stop_database(work: Work) -> None:
    """Have the guest agent stop the database server and leave it stopped."""
    run_job(work, "stop", {}, waiting_for="the guest agent to stop the database")
    forget_job(work)
