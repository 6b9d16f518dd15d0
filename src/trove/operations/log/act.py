"""Switch a log of an instance on or off, publish it into the object store, or discard what was published."""

from dataclasses import dataclass
from datetime import timedelta

from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.core.logs import LogType, metafile_of, prefix_of
from trove.core.tickets import Verb
from trove.operations.doors import Doors
from trove.operations.log.reach import Reach, Shown, reach
from trove.operations.notifications.lifecycle import notified

BUDGET = 0.5
"""Which part of the time that a guest has to answer may pass before it begins the last piece."""
TICKET_S = 300.0
PIECES = 64
"""So many of them are published by one order where their names must be known before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What is to be done to a log; nothing at all shows it."""

    enable: bool = False
    disable: bool = False
    publish: bool = False
    discard: bool = False


def start(doors: Doors, caller: Caller, instance_id: str, name: str, deeds: Deeds) -> Shown:
    """Do it and return the log as it is then. Publishing enables a log; a large one is published by several requests.

    Raises what `reach` does; `NotFound` for a log that is not there or not to be seen; `InvalidInput` for what contradicts
    itself, or switching a system log; `Unavailable`.
    """
    if deeds.disable and (deeds.enable or deeds.publish):
        raise InvalidInput(f"disable: cannot be said together with {'enable' if deeds.enable else 'publish'}.")
    return (_act if deeds == Deeds() else _act_and_tell)(doors, caller, instance_id, name, deeds)


def _act(doors: Doors, caller: Caller, instance_id: str, name: str, deeds: Deeds) -> Shown:
    found = reach(doors, caller, instance_id)
    if found.need(name) is LogType.SYS and (deeds.enable or deeds.disable):
        raise InvalidInput(f"Log {name} is always written: it can be neither enabled nor disabled.")
    if deeds.discard:
        # The guest comes first: a request for what is gone does no harm, but it would publish the rest of a log without its
        # beginning.
        found.guest.guest_log_action(name, discard=True)
        _remove_objects(found, name)
    order = _order(found, name) if deeds.publish else None
    report = found.guest.guest_log_action(name, enable=deeds.enable, disable=deeds.disable, publish=order)
    return found.shown(report)


_act_and_tell = notified(
    "instance.guest_log", lambda instance_id, name, _deeds: {"instance_id": instance_id, "log_name": name}
)(_act)
"""Seeing a log is no event."""


def _order(found: Reach, name: str) -> dict[str, JSON]:
    """Return what the guest needs to publish a log: a ticket for its objects alone. It is a secret."""
    settings, home, now = found.doors.settings, found.home(name), utcnow()
    expires = now + timedelta(seconds=TICKET_S + settings.guest_call_timeout_s)
    # They sort behind those of earlier orders.
    pieces: list[JSON] = [f"{prefix_of(home)}log-{now.isoformat()}-{number:06d}" for number in range(PIECES)]
    names = [metafile_of(home), *map(str, pieces)] if found.objects.needs_names else None
    ticket = found.objects.ticket(
        settings.logs.container, home, Verb.PUT, expires=expires, names=names, keep_s=settings.logs.keep_s
    )
    return {
        "ticket": ticket.to_json(),
        "names": pieces if names is not None else None,
        "home": home,
        "limit": settings.logs.piece_bytes,
        "budget_s": BUDGET * settings.guest_call_timeout_s,
    }


def _remove_objects(found: Reach, name: str) -> None:
    objects, container, home = found.objects, found.doors.settings.logs.container, found.home(name)
    objects.delete(container, metafile_of(home))
    objects.clear(container, prefix_of(home))
