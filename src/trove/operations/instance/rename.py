"""Rename an instance, at once and whatever it is doing."""

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.operations.sight import instance_of
from trove.store import instances
from trove.store.session import Tx


def start(doors: Doors, caller: Caller, instance_id: str, name: str) -> None:
    """Set the name, which was validated by the caller. Raises `NotFound`. May run twice."""
    doors.database.run(_rename, caller, instance_id, name)


def _rename(tx: Tx, caller: Caller, instance_id: str, name: str) -> None:
    instances.rename(tx, instance_of(tx, caller, instance_id).id, name)
