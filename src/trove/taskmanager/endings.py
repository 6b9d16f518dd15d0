"""How operations end: in one transaction with what that means for the rows, whether their flow ended, hung or never began."""

from collections.abc import Mapping
from dataclasses import dataclass

from trove.core.clock import utcnow
from trove.core.errors import Cancelled, Conflict, DeadlineExceeded, TroveError
from trove.core.operations import Fence, Operation, OperationState
from trove.operations.booking import commit_reserved
from trove.operations.catalogue import Kind
from trove.operations.doors import Doors
from trove.operations.notifications import lifecycle
from trove.operations.work import Work
from trove.store import operations, paths
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Ends operations in the name of `owner`."""

    doors: Doors
    kinds: Mapping[str, Kind]
    owner: str

    def conclude(self, tx: Tx, work: Work, error: TroveError | None) -> OperationState:
        """End the operation, record its outcome and tell of it. Raises `Fenced` when another owns it."""
        state = self._settle(tx, work, error)
        lifecycle.ended(tx, work.operation, error)
        return state

    def _settle(self, tx: Tx, work: Work, error: TroveError | None) -> OperationState:
        kind = self.kinds.get(work.operation.kind)
        if kind is None:
            commit_reserved(tx, work)
            return _finish(tx, work.fence, OperationState.FAILED, None if error is None else error.message)
        if error is None:
            kind.succeed(tx, work)
            return _finish(tx, work.fence, OperationState.SUCCEEDED)
        cancelled = isinstance(error, Cancelled) or operations.cancel_requested(tx, work.operation.id)
        kind.fail(tx, work, error)
        return _finish(tx, work.fence, OperationState.CANCELLED if cancelled else OperationState.FAILED, error.message)

    def end_unbegun(self, tx: Tx, operation_id: str) -> tuple[OperationState, str] | None:
        """End an operation that must not begin any more: cancelled, or its deadline passed while nobody could begin it.

        Returns how it ended, and why; None when it was begun, or may be.
        """
        operation = operations.get(tx, operation_id)
        if operation.state is not OperationState.PENDING or may_begin(operation):
            return None
        claimed, fence = operations.claim(tx, operation_id, owner=self.owner)
        ended = self.end_if_unbegun(tx, claimed, fence)
        if ended is None:
            raise Conflict(f"Operation {operation_id} was begun by another runner.")
        return ended

    def end_if_unbegun(self, tx: Tx, claimed: Operation, fence: Fence) -> tuple[OperationState, str] | None:
        """End an operation as `end_unbegun` does, in the transaction that claims it: no death can come between."""
        if fence.number != 1 or may_begin(claimed):
            return None
        error = _why_not_to_begin(tx, claimed)
        return self.conclude(tx, Work(doors=self.doors, operation=claimed, fence=fence), error), error.message

    def end_hung(self, tx: Tx, work: Work, error: TroveError) -> OperationState:
        """Fence off the thread that hangs in the operation, and end it. Raises `Fenced` when another owns it already."""
        operations.check(tx, work.fence)
        claimed, fence = operations.claim(tx, work.operation.id, owner=self.owner)
        return self.conclude(tx, Work(doors=self.doors, operation=claimed, fence=fence), error)


def may_begin(operation: Operation) -> bool:
    """Tell whether a waiting operation was neither cancelled nor overtaken by its deadline."""
    return not operation.cancel_requested and utcnow() < operation.deadline


def _why_not_to_begin(tx: Tx, operation: Operation) -> TroveError:
    if operation.cancel_requested:
        return Cancelled("Cancelled before it began.")
    waited = int((utcnow() - operation.created).total_seconds())
    first = operations.unfinished(tx, limit=1, resource_id=operation.resource_id)
    heard = f"{first[0].kind} was not done yet" if first and first[0].id != operation.id else "no task manager was free"
    return DeadlineExceeded(f"Gave up after {waited} s waiting to begin. Last heard: {heard}.")


def _finish(tx: Tx, fence: Fence, state: OperationState, error: str | None = None) -> OperationState:
    paths.forget(tx, fence.operation_id)
    operations.finish(tx, fence, state, error)
    return state
