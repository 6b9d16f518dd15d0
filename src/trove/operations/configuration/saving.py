"""Saves a changed group, and has every instance that it is attached to take its values, in one transaction: all or nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trove.core.callers import Caller
from trove.core.configurations import Configuration
from trove.core.json import JSON
from trove.core.parameters import MASK, looks_secret
from trove.operations.booking import need_room
from trove.operations.doors import Doors
from trove.operations.instance import apply_configuration
from trove.operations.parameter.catalogue import checked
from trove.store import configurations
from trove.store.session import Tx

Combine = Callable[[Configuration, Mapping[str, JSON]], Mapping[str, JSON]]
"""Makes of a group, and of values that were found good, the values that it has from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to change of a group; None stays as it is."""

    name: str | None = None
    description: str | None = None
    values: Mapping[str, JSON] | None = field(default=None, repr=False)


def save(doors: Doors, caller: Caller, configuration_id: str, change: Change, combine: Combine) -> tuple[str, ...]:
    """Save the group, and announce and return one operation for each of its instances.

    Raises `NotFound`, `Unprocessable` naming each wrong value, `NotReady` naming an instance that is busy, `Overloaded`; after
    any of them nothing has changed.
    """
    booked = doors.database.run(_save, doors, caller, configuration_id, change, combine)
    for operation_id in booked:
        doors.announcer.announce(operation_id)
    return tuple(booked)


def _save(tx: Tx, doors: Doors, caller: Caller, configuration_id: str, change: Change, combine: Combine) -> list[str]:
    group = configurations.hold(tx, configuration_id, project_id=None if caller.is_admin else caller.project_id)
    values = None
    if change.values is not None:
        need_room(tx, doors.settings.limits)
        values = combine(group, _as_given(tx, group, change.values))
    configurations.change(tx, group.id, name=change.name, description=change.description, values=values)
    if values is None:
        return []
    booked = [apply_configuration.accept(tx, doors, caller, each, group) for each in configurations.attached_ids(tx, group.id)]
    return [operation_id for operation_id in booked if operation_id is not None]


def _as_given(tx: Tx, group: Configuration, values: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return the values in the form that is stored; a secret that comes back as it was shown is the one that is there."""
    hidden = {key.lower(): value for key, value in group.values.items() if looks_secret(key)}
    meant = {key: hidden[key.lower()] if value == MASK and key.lower() in hidden else value for key, value in values.items()}
    return checked(tx, group.datastore_version, meant)
