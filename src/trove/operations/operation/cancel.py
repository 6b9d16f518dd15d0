"""Cancel an operation: it stops at its next look, undoes what it has done, and ends."""

from trove.core.callers import Caller
from trove.core.errors import NotReady
from trove.core.operations import Operation
from trove.operations.catalogue import KINDS
from trove.operations.doors import Doors
from trove.store import operations
from trove.store.session import Tx


def start(doors: Doors, caller: Caller, operation_id: str) -> Operation:
    """Ask the operation to stop, wake a task manager, and return the operation. May run twice.

    An operation that did not begin yet ends as CANCELLED without beginning. Raises `NotFound`, also for another project's
    unless an administrator asks; `NotReady` naming the kind when it cannot be cancelled, or the state when it has ended.
    """
    project_id = None if caller.is_admin else caller.project_id
    operation = doors.database.run(ask, operation_id, project_id=project_id)
    doors.announcer.announce(operation.id)
    return operation


def ask(tx: Tx, operation_id: str, *, project_id: str | None = None, forced: bool = False) -> Operation:
    """Ask the operation to stop, in the caller's transaction; errors as in `start`. `forced` stops any kind."""
    operation = operations.get(tx, operation_id, project_id=project_id)
    kind = KINDS.get(operation.kind)
    if not forced and (kind is None or not kind.cancellable):
        raise NotReady(f"An operation of the kind {operation.kind} cannot be cancelled.")
    if operations.request_cancel(tx, operation_id):
        return operations.get(tx, operation_id)
    state = operations.get(tx, operation_id).state.value
    raise NotReady(f"Operation {operation_id} cannot be cancelled: it has ended as {state}.")
