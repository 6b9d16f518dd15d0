"""Reboot the server of an instance; its database server runs afterwards, also when it was stopped before."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import TroveError
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.guest_jobs import await_serving, forget_job, run_job
from trove.operations.sight import instance_of
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.reboot"


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the reboot, whatever the server and the database server are like.

    Raises `NotFound`, `NotReady` while the instance is busy, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    instances.apply(tx, instance.id, Event.REBOOT_ACCEPTED)
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.restart_timeout_s).id


def flow(work: Work) -> Any:
    """Return the flow of a reboot."""
    return line(
        work,
        step(work, reboot_server, waiting_for="the server to reboot"),
        step(work, start_database, waiting_for="the guest agent to start the database"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the instance as ACTIVE again, in the transaction that ends the operation."""
    if conclude(tx, work, Event.RESTARTED, restarted=True):
        instances.clear_fault(tx, work.operation.resource_id)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance and keep the fault: what its server is, the reconciler finds out."""
    if conclude(tx, work, Event.RESTART_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def reboot_server(work: Work) -> None:
    """Have the cloud stop the server cleanly and start it."""
    work.doors.cloud.reboot_server(work.operation.resource_id, timeout_s=work.doors.settings.reboot_timeout_s)


def start_database(work: Work) -> None:
    """Have the guest agent start the database server unless it runs, and wait until it serves."""
    # The agent's answer, not its last report, tells that it is back: that one may be of before.
    run_job(work, "start", {}, waiting_for="the guest agent to start the database")
    await_serving(work, waiting_for="the report of the database server")
    forget_job(work)
