"""Restart the database server of an instance."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import CloudError, TroveError
from trove.core.instances import Instance
from trove.core.status import ServerStatus
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.guest_jobs import await_serving, forget_job, run_job
from trove.operations.rendering import config_of
from trove.operations.sight import instance_of, need_single
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.restart"


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the restart.

    Raises `NotFound`, `NotReady` naming the state, `Unsupported` for a cluster's member, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_single(instance, caller)
    instances.apply(tx, instance.id, Event.RESTART_ACCEPTED)
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.restart_timeout_s).id


def flow(work: Work) -> Any:
    """Return the flow of a restart."""
    return line(
        work,
        step(work, ensure_running, waiting_for="the server to run", timeout_s=work.doors.settings.reboot_timeout_s),
        step(work, restart_database, waiting_for="the guest agent to restart the database"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the instance as ACTIVE again, in the transaction that ends the operation."""
    if conclude(tx, work, Event.RESTARTED, restarted=True):
        instances.clear_fault(tx, work.operation.resource_id)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance and keep the fault: what its database server does, its guest reports."""
    if conclude(tx, work, Event.RESTART_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def ensure_running(work: Work) -> None:
    """Start the server if it was stopped."""
    server = work.doors.cloud.find_server(work.operation.resource_id)
    if server is None:
        raise CloudError("The server vanished from the cloud.")
    if server.status is not ServerStatus.ACTIVE:
        work.doors.cloud.start_server(work.operation.resource_id)


def restart_database(work: Work) -> None:
    """Have the guest agent restart the database server with a fresh configuration file, and wait until it serves."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    restart_for(work, instance, ram_mib=work.doors.cloud.flavor(instance.flavor_id).ram_mib)


def restart_for(work: Work, instance: Instance, *, ram_mib: int) -> None:
    """Do so with a configuration for a server of `ram_mib` MiB of memory."""
    with work.doors.database.reading() as tx:
        config = config_of(tx, instance, ram_mib=ram_mib)
    run_job(work, "restart", {"config": config}, waiting_for="the guest agent to restart the database")
    await_serving(work, waiting_for="the report of the restarted database server")
    forget_job(work)
