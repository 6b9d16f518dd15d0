"""The name of an instance in DNS, where the cloud gives names: made while its server boots, and removed before its address."""

from collections.abc import Mapping

from trove.core.json import JSON
from trove.operations.doors import Doors
from trove.operations.work import Work
from trove.store import instances

NAMED = "named"
"""Argument of an operation: there were names when it was accepted. What steps it has must not change while it runs."""
WAITING_FOR = "the name in DNS"


def named(doors: Doors) -> Mapping[str, JSON]:
    """Return the argument of an operation that makes or removes the names of instances; nothing where there are no names."""
    return {} if doors.names is None else {NAMED: True}


def ensure_name(work: Work) -> None:
    """Make the name mean what the instance's addresses are, and keep it with the instance."""
    if work.doors.names is None:
        return
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    hostname = work.doors.names.ensure_name(instance.id, instance.addresses)
    with work.doors.database.transaction() as tx:
        instances.record_server(tx, instance.id, fence=work.fence, hostname=hostname)


def remove_name(work: Work) -> None:
    """Have the name forgotten. Missing is fine."""
    if work.doors.names is not None:
        work.doors.names.delete_name(work.operation.resource_id)
