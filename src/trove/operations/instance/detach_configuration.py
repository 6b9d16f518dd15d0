"""Detach the configuration group of an instance: its template's values come back, at once or from its next restart on."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import TroveError
from trove.core.transitions import Event
from trove.operations.booking import book, need_room, owe_restart
from trove.operations.doors import Doors
from trove.operations.instance.configuring import WAITING_FOR, apply_present, conclude_configured, conclude_failed
from trove.operations.sight import instance_of, need_single
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.detach_configuration"


def start(doors: Doors, caller: Caller, instance_id: str) -> str | None:
    """Accept it and return the operation: the instance shows no group from now on. None: it has none, and is left alone.

    Raises `NotFound`, `NotReady` naming the state, `Unsupported` for a cluster's member, `Overloaded`.
    """
    operation_id = doors.database.run(_book, doors, caller, instance_id)
    if operation_id is not None:
        doors.announcer.announce(operation_id)
    return operation_id


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str | None:
    instance = instance_of(tx, caller, instance_id)
    need_single(instance, caller)
    if instance.configuration_id is None:
        return None
    need_room(tx, doors.settings.limits)
    instances.apply(tx, instance.id, Event.CONFIGURE_ACCEPTED)
    instances.set_configuration(tx, instance.id, None)
    timeout_s, args = doors.settings.restart_timeout_s, {"configuration_id": instance.configuration_id}
    return book(tx, caller, instance, KIND, timeout_s=timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow that takes the group's values back."""
    return line(work, step(work, take_group, waiting_for=WAITING_FOR))


def succeed(tx: Tx, work: Work) -> None:
    """Show whether a restart is needed, in the transaction that ends the operation."""
    conclude_configured(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance, which has no group any more: a restart ends what could not be done now."""
    if conclude_failed(tx, work, f"Values of the detached group stay in effect until a restart: {error.message}"):
        owe_restart(tx, work)


def take_group(work: Work) -> None:
    """Have the guest apply the template without the group's values."""
    apply_present(work)
