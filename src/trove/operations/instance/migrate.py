"""Move the server of an instance to another machine of the cloud."""

from typing import Any

from trove.cloud.contract import HostInfo
from trove.core.callers import Caller
from trove.core.errors import InvalidInput, TroveError, Unsupported
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.instance.reboot import start_database
from trove.operations.instance.restart import ensure_running
from trove.operations.sight import instance_of
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.migrate"


def start(doors: Doors, caller: Caller, instance_id: str, host: str | None) -> None:
    """Accept the migration to `host`; None leaves the choice to us.

    Raises `NotFound`, `Unsupported` where the cloud has no other host, `InvalidInput` for a host that it has not, or that the
    server is on, `NotReady` naming the state, `Overloaded`.
    """
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
    chosen = _choose(doors, instance.id, host)
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, chosen))


def _choose(doors: Doors, instance_id: str, wanted: str | None) -> str:
    """Return the name of the host: it is chosen once, so that a step that runs twice moves the server once."""
    hosts = doors.cloud.hosts()
    others = [host for host in hosts if instance_id not in host.instance_ids]
    if len(hosts) < 2 or not others:
        raise Unsupported(f"The cloud has no other host than {', '.join(host.name for host in hosts)} to migrate to.")
    if wanted is None:
        return max(others, key=_free_mib).name
    if wanted not in [host.name for host in others]:
        known = ", ".join(host.name for host in others)
        raise InvalidInput(f"migrate['host']: {wanted!r} is no host that the instance could move to; there are: {known}.")
    return wanted


def _free_mib(host: HostInfo) -> int:
    return host.total_ram_mib - host.used_ram_mib


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, host: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    instances.apply(tx, instance.id, Event.MIGRATE_ACCEPTED)
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.resize_timeout_s, args={"host": host}).id


def flow(work: Work) -> Any:
    """Return the flow of a migration."""
    return line(
        work,
        step(work, migrate_server, waiting_for="the server to move"),
        step(work, ensure_running, waiting_for="the server to run", timeout_s=work.doors.settings.reboot_timeout_s),
        step(work, start_database, waiting_for="the guest agent to start the database"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the instance, in the transaction that ends the operation."""
    if conclude(tx, work, Event.MIGRATED):
        instances.clear_fault(tx, work.operation.resource_id)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance, on whatever host it is, and keep the fault."""
    if conclude(tx, work, Event.MIGRATE_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def migrate_server(work: Work) -> None:
    """Have the cloud move the server."""
    work.doors.cloud.migrate_server(work.operation.resource_id, str(work.operation.args["host"]))
