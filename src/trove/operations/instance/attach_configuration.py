"""Attach a configuration group to an instance: at once where its database server can, else from its next restart on."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, NotReady, TroveError
from trove.core.transitions import Event
from trove.operations.booking import book, need_room
from trove.operations.doors import Doors
from trove.operations.instance.configuring import (
    WAITING_FOR,
    apply_present,
    apply_template,
    attachable,
    conclude_configured,
    conclude_failed,
)
from trove.operations.sight import instance_of, need_single
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.attach_configuration"


def start(doors: Doors, caller: Caller, instance_id: str, configuration_id: str) -> str:
    """Accept it and return the operation: the instance shows the group from now on.

    Raises `NotFound` (instance, group), `InvalidInput` when the group is for another version, another one is attached, or the
    instance is not idle; `Unsupported` for a cluster's member, `Overloaded`.
    """
    operation_id = doors.database.run(_book, doors, caller, instance_id, configuration_id)
    doors.announcer.announce(operation_id)
    return operation_id


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, configuration_id: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_single(instance, caller)
    version = instance.datastore_version
    group = attachable(tx, configuration_id, project_id=instance.project_id, version=version)
    if instance.configuration_id is not None:
        raise InvalidInput(
            f"configuration: instance {instance.id} has group {instance.configuration_id} attached; detach it first."
        )
    try:
        instances.apply(tx, instance.id, Event.ATTACH_ACCEPTED)
    except NotReady as error:
        raise InvalidInput(error.message) from error  # contract 6.4: here it is no 422
    instances.set_configuration(tx, instance.id, group.id)
    timeout_s, args = doors.settings.restart_timeout_s, {"configuration_id": group.id}
    return book(tx, caller, instance, KIND, timeout_s=timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow that applies the group's values, or else the template again."""
    return line(work, step(work, apply_group, waiting_for=WAITING_FOR, undo=take_group))


def succeed(tx: Tx, work: Work) -> None:
    """Show whether a restart is needed, in the transaction that ends the operation."""
    conclude_configured(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance without the group, and keep the fault."""
    if conclude_failed(tx, work, error.message):
        instances.set_configuration(tx, work.operation.resource_id, None, fence=work.fence)


def apply_group(work: Work) -> None:
    """Have the guest apply the group's values."""
    apply_present(work)


def take_group(work: Work) -> None:
    """Have the guest apply the template without them."""
    apply_template(work)
