"""Have an instance take the values that its configuration group has now. Accepted with the group's change, never by itself."""

from typing import Any

from trove.core.callers import Caller
from trove.core.configurations import Configuration
from trove.core.errors import NotReady, TroveError
from trove.core.status import IDLE_TASKS, ServerStatus, Task
from trove.core.transitions import Event
from trove.operations.booking import book
from trove.operations.doors import Doors
from trove.operations.instance.configuring import WAITING_FOR, apply_present, conclude_configured, conclude_failed
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.apply_configuration"


def accept(tx: Tx, doors: Doors, caller: Caller, instance_id: str, group: Configuration) -> str | None:
    """Accept it and return the operation, to be announced after the commit.

    None for an instance that cannot take the values now and will when it starts again: it has failed, its server is stopped, or
    it is being deleted. Raises `NotReady` for one that is busy.
    """
    instance = instances.get(tx, instance_id)
    stopped = instance.task in IDLE_TASKS and instance.server_status is not ServerStatus.ACTIVE
    if stopped or instance.task in {Task.FAILED, Task.DELETING}:
        return None
    try:
        instances.apply(tx, instance.id, Event.CONFIGURE_ACCEPTED)
    except NotReady as error:
        raise NotReady(f"Configuration group {group.id} cannot be changed now. {error.message}") from error
    timeout_s, args = doors.settings.restart_timeout_s, {"configuration_id": group.id}
    return book(tx, caller, instance, KIND, timeout_s=timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow that applies the values. Nothing undoes it: the group has these values, whatever becomes of this."""
    return line(work, step(work, apply_group, waiting_for=WAITING_FOR))


def succeed(tx: Tx, work: Work) -> None:
    """Show whether a restart is needed, in the transaction that ends the operation."""
    conclude_configured(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance, which runs with the values from before, and say so."""
    conclude_failed(tx, work, f"The new values of the configuration group are not in effect: {error.message}")


def apply_group(work: Work) -> None:
    """Have the guest apply the group's values."""
    apply_present(work)
