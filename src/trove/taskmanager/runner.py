"""Takes, runs and resumes operations: one runner at a time on a resource, and no write by one that lost its right."""

import logging
import queue
import threading
import time
from collections.abc import Mapping

from trove.core.clock import utcnow
from trove.core.errors import Cancelled, Conflict, Fenced, NotFound, TroveError, Unavailable
from trove.core.operations import UNFINISHED, Fence, Operation, OperationState
from trove.core.trail import trail
from trove.operations.catalogue import KINDS, Kind
from trove.operations.doors import Doors
from trove.operations.work import Interrupted, Work
from trove.store import operations, paths
from trove.store.session import Tx
from trove.workflow import engine
from trove.workflow.locks import Locks

LOG = logging.getLogger(__name__)

BACKLOG = 10_000


class Runner:
    """A bounded crew of threads that runs operations.

    What does not fit its backlog, is locked by another task manager, or fails for want of the bus or the state database,
    stays unfinished in the state database, where the sweep finds it again. `probe` is for tests that kill at chosen points.
    """

    def __init__(
        self,
        doors: Doors,
        *,
        locks: Locks,
        owner: str,
        workers: int = 16,
        kinds: Mapping[str, Kind] = KINDS,
        probe: engine.Probe | None = None,
    ) -> None:
        self._doors = doors
        self._locks = locks
        self._owner = owner
        self._kinds = kinds
        self._probe = probe
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._known: set[str] = set()
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._serve, name=f"runner-{number}") for number in range(workers)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def offer(self, operation_id: str) -> bool:
        """Have an operation run as soon as a thread is free; False when it is in hand already, or there is no room."""
        with self._guard:
            if self._stopping.is_set() or operation_id in self._known or len(self._known) >= BACKLOG:
                return False
            self._known.add(operation_id)
        self._waiting.put(operation_id)
        return True

    def in_hand(self) -> int:
        """Return how many operations run or wait here."""
        with self._guard:
            return len(self._known)

    def stop(self, *, timeout_s: float) -> bool:
        """Take nothing more, let running steps end, and return whether all did. Waiting steps break off, to be resumed."""
        self._stopping.set()
        for _ in self._threads:
            self._waiting.put(None)
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def run_now(self, operation_id: str) -> bool:
        """Run an operation, and what else waits for its resource, in this thread.

        Return False when another runner has the resource. Raises `Unavailable` when a part that is needed is away, and
        `Interrupted` when this runner must stop; the operation then stays unfinished.
        """
        with self._doors.database.reading() as tx:
            try:
                operation = operations.get(tx, operation_id)
            except NotFound:
                return True
        if operation.state not in UNFINISHED:
            return True
        lock = self._locks.try_lock(f"{operation.resource_type}-{operation.resource_id}")
        if lock is None:
            return False
        with lock:
            self._run_resource(operation.resource_id)
        return True

    def _serve(self) -> None:
        while (operation_id := self._waiting.get()) is not None:
            try:
                if not self._stopping.is_set() and not self.run_now(operation_id):
                    LOG.debug("Operation %s waits: another runner has its resource", operation_id)
            except Interrupted as reason:
                LOG.info("Operation %s is left to be resumed: %s", operation_id, reason)
            except Unavailable as error:
                LOG.warning("Operation %s is left for the next sweep: %s", operation_id, error.message)
            except Exception:
                LOG.exception("Operation %s is left for the next sweep", operation_id)
            finally:
                with self._guard:
                    self._known.discard(operation_id)

    def _run_resource(self, resource_id: str) -> None:
        """Run all unfinished operations of a resource, oldest first: a deletion comes after the build that it cancelled."""
        while not self._stopping.is_set():
            with self._doors.database.reading() as tx:
                waiting = operations.unfinished(tx, limit=1, resource_id=resource_id)
            if not waiting:
                return
            with trail(request_id=waiting[0].request_id, operation_id=waiting[0].id):
                self._run(waiting[0])

    def _run(self, operation: Operation) -> None:
        try:
            claimed, fence = self._doors.database.run(operations.claim, operation.id, owner=self._owner)
        except Conflict:
            return
        work = Work(doors=self._doors, operation=claimed, fence=fence, stopping=self._stopping)
        verb = "begins" if claimed.attempts == 1 else f"resumes (attempt {claimed.attempts})"
        LOG.info("Operation %s on %s %s %s", claimed.kind, claimed.resource_type, claimed.resource_id, verb)
        try:
            self._carry_out(work)
        except Fenced as error:
            raise Interrupted(error.message) from error

    def _carry_out(self, work: Work) -> None:
        operation = work.operation
        kind = self._kinds.get(operation.kind)
        if kind is None:
            self._doors.database.run(_end_unknown, work.fence, operation.kind)
            return

        def listener(step: str, done: int, total: int) -> None:
            with self._doors.database.transaction() as tx:
                operations.progress(tx, work.fence, step=step, percent=min(99, 100 * done // max(total, 1)))

        items = paths.Paths(self._doors.database, work.fence)
        error: TroveError | None
        try:
            outcome = engine.run(operation.id, lambda: kind.flow(work), paths=items, listener=listener, probe=self._probe)
        except TroveError:
            raise
        except Exception:
            if utcnow() < operation.deadline:
                raise
            LOG.exception("Operation %s cannot be carried on, and its time is over", operation.kind)
            error = TroveError("The service could not carry this on. Its operator finds the cause in its logs.")
        else:
            error = None if outcome.state == engine.SUCCEEDED else _as_trove_error(outcome.error)
        state = self._doors.database.run(_conclude, work, kind, error)
        if error is None:
            LOG.info("Operation %s succeeded", operation.kind)
        else:
            LOG.warning("Operation %s ended as %s: %s", operation.kind, state.value, error.message)


def _conclude(tx: Tx, work: Work, kind: Kind, error: TroveError | None) -> OperationState:
    """End the operation together with what that means for the rows."""
    if error is None:
        kind.succeed(tx, work)
        paths.forget(tx, work.operation.id)
        operations.finish(tx, work.fence, OperationState.SUCCEEDED)
        return OperationState.SUCCEEDED
    cancelled = isinstance(error, Cancelled) or operations.cancel_requested(tx, work.operation.id)
    state = OperationState.CANCELLED if cancelled else OperationState.FAILED
    kind.fail(tx, work, error)
    paths.forget(tx, work.operation.id)
    operations.finish(tx, work.fence, state, error.message)
    return state


def _end_unknown(tx: Tx, fence: Fence, kind: str) -> None:
    operations.finish(tx, fence, OperationState.FAILED, f"This version of the service knows no operation {kind!r}.")


def _as_trove_error(error: BaseException | None) -> TroveError:
    if isinstance(error, TroveError):
        return error
    return TroveError(str(error) or "The operation was undone; its reason was lost.")
