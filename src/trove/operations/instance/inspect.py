"""Ask a guest agent about itself: whether it answers, what its database server's process and its machine are like."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from trove.bus.guest import GuestCaller
from trove.core.callers import Caller
from trove.core.errors import GuestError, GuestTimeout
from trove.core.json import JSON
from trove.operations.doors import Doors
from trove.operations.sight import instance_of

T = TypeVar("T")


def ping(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Return when the guest agent answered. Raises `NotFound`; `GuestError` when it does not; `Unavailable` without a bus."""
    _ask(doors, caller, instance_id, lambda guest: guest.rpc_ping())


def diagnostics(doors: Doors, caller: Caller, instance_id: str) -> Mapping[str, JSON]:
    """Return figures of the database server's process; sizes in KiB. Raises as `ping` does."""
    return _ask(doors, caller, instance_id, lambda guest: guest.get_diagnostics())


def hardware(doors: Doors, caller: Caller, instance_id: str) -> Mapping[str, JSON]:
    """Return the guest's memory in KiB and its processors. Raises as `ping` does."""
    return _ask(doors, caller, instance_id, lambda guest: guest.get_hwinfo())


def _ask(doors: Doors, caller: Caller, instance_id: str, question: Callable[[GuestCaller], T]) -> T:
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
    timeout_s = doors.settings.guest_call_timeout_s
    guest = GuestCaller(doors.bus, instance.id, timeout_s=timeout_s, request_id=caller.request_id or None)
    try:
        return question(guest)
    except GuestTimeout as error:
        # Not a part of the service that is away, but the answer to what was asked.
        raise GuestError(f"The guest agent of instance {instance.id} did not answer within {timeout_s:g} s.") from error
