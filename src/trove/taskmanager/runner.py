"""Takes, runs and resumes operations: one runner at a time on a resource, and no write by one that lost its right."""

import logging
import queue
import threading
import time
from collections.abc import Mapping
from datetime import datetime

from trove.core.clock import utcnow
from trove.core.errors import Conflict, Fenced, NotFound, TroveError, Unavailable
from trove.core.operations import UNFINISHED, Fence, Operation, OperationState
from trove.core.trail import trail
from trove.operations.catalogue import KINDS, Kind
from trove.operations.doors import Doors
from trove.operations.work import Interrupted, Work
from trove.store import operations, paths
from trove.store.session import OutcomeUnknown, Tx
from trove.taskmanager.endings import Endings, may_begin
from trove.taskmanager.keeper import Hand, Keeper, Policy
from trove.workflow import engine
from trove.workflow.locks import Lock, Locks

LOG = logging.getLogger(__name__)

BACKLOG = 10_000
UNDO_ATTEMPTS = 3
"""How often beyond `max_attempts` an operation is begun only to be undone."""


class Runner:
    """A bounded crew of threads that runs operations.

    What does not fit its backlog, is locked by another task manager, or fails for want of the bus or the state database,
    stays unfinished in the state database, where the sweep finds it again. A thread that hangs is given up and replaced, as
    long as no more hang than there are `workers`. `probe` is for tests that kill at chosen points.
    """

    def __init__(  # noqa: PLR0913
        self,
        doors: Doors,
        *,
        locks: Locks,
        owner: str,
        workers: int = 16,
        policy: Policy | None = None,
        kinds: Mapping[str, Kind] = KINDS,
        probe: engine.Probe | None = None,
    ) -> None:
        self._doors = doors
        self._locks = locks
        self._owner = owner
        self._policy = policy or Policy()
        self._kinds = kinds
        self._probe = probe
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._known: dict[str, threading.Thread | None] = {}
        self._hung: set[threading.Thread] = set()
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._keeper = Keeper(doors.database, self._policy, self._give_up)

    def start(self) -> None:
        """Start the threads."""
        self._keeper.start()
        with self._guard:
            for _ in range(self._workers):
                self._start_thread()

    def offer(self, operation_id: str) -> bool:
        """Have an operation run as soon as a thread is free; False when it is in hand already, or there is no room."""
        with self._guard:
            if self._stopping.is_set() or operation_id in self._known or len(self._known) >= BACKLOG:
                return False
            self._known[operation_id] = None
        self._waiting.put(operation_id)
        return True

    def in_hand(self) -> int:
        """Return how many operations run or wait here."""
        with self._guard:
            return len(self._known)

    def stop(self, *, timeout_s: float) -> bool:
        """Take nothing more, let running steps end, and return whether all did. Waiting steps break off, to be resumed.

        Threads that hang do not keep the process from ending.
        """
        self._stopping.set()
        with self._guard:
            threads = list(self._threads)
        for _ in threads:
            self._waiting.put(None)
        until = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        self._keeper.stop()
        return not any(thread.is_alive() for thread in threads)

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
        name = f"{operation.resource_type}-{operation.resource_id}"
        expired_before: datetime | None = None
        lock = self._locks.try_lock(name)
        if lock is None:
            lock = self._take_over(name, operation)
            expired_before = utcnow() - self._policy.grace
        if lock is None:
            return False
        with lock:
            self._run_resource(operation, lock, expired_before)
        return True

    def end_overdue(self, operation: Operation) -> bool:
        """End an operation that was not begun before its deadline, or before it was cancelled; return whether it was one.

        Needs no thread of the crew, nor the lock: its flow never runs. Raises `Unavailable`.
        """
        if operation.state is not OperationState.PENDING or may_begin(operation):
            return False
        try:
            ended = self._doors.database.run(self._endings.end_unbegun, operation.id)
        except (Conflict, Fenced, NotFound):
            return False
        if ended is not None:
            _log_end(operation, *ended)
        return ended is not None

    @property
    def _endings(self) -> Endings:
        return Endings(doors=self._doors, kinds=self._kinds, owner=self._owner)

    def _start_thread(self) -> None:
        """Start one more thread; the caller has the guard, so that `stop` sees all threads or none is started after it."""
        thread = threading.Thread(target=self._serve, name=f"runner-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]

    def _serve(self) -> None:
        me = threading.current_thread()
        while (operation_id := self._waiting.get()) is not None:
            with self._guard:
                self._known[operation_id] = me
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
                    if self._known.get(operation_id) is me:
                        del self._known[operation_id]
                    given_up = me in self._hung
                    self._hung.discard(me)
            if given_up:
                LOG.warning("The thread that hung in operation %s came back and ends", operation_id)
                return

    def _take_over(self, name: str, operation: Operation) -> Lock | None:
        """Take the lock from a runner that has given no sign of life for longer than its lease; None when there is no such."""

        def abandoned() -> bool:
            with self._doors.database.reading() as tx:
                until = operations.leased_until(tx, operation.resource_id, lease_s=self._policy.lease_s)
            return until is not None and utcnow() > until + self._policy.grace

        if not self._keeper.may_judge() or not abandoned() or not self._locks.break_lock(name, abandoned):
            return None
        LOG.warning(
            "The lock on %s %s is taken from %s, whose lease ran out",
            operation.resource_type,
            operation.resource_id,
            operation.owner or "a task manager",
        )
        return self._locks.try_lock(name)

    def _run_resource(self, operation: Operation, lock: Lock, expired_before: datetime | None) -> None:
        """Run all unfinished operations of its resource, oldest first: a deletion comes after the build that it cancelled."""
        while not self._stopping.is_set():
            with self._doors.database.reading() as tx:
                oldest = operations.oldest_unfinished(tx, operation.resource_id)
                if oldest is None:
                    return
                if oldest != operation.id or expired_before is not None:
                    operation = operations.get(tx, oldest)
            with trail(request_id=operation.request_id, operation_id=operation.id):
                self._run(operation, lock, expired_before)

    def _run(self, operation: Operation, lock: Lock, expired_before: datetime | None) -> None:
        try:
            claimed, fence, ended = self._doors.database.run(self._claim, operation.id, expired_before)
        except Conflict as error:
            if expired_before is None:
                return
            raise Interrupted(error.message) from error
        if ended is not None:
            _log_end(claimed, *ended)
            return
        condemned = _condemnation(claimed, self._policy.max_attempts)
        work = Work(doors=self._doors, operation=claimed, fence=fence, stopping=self._stopping, condemned=condemned)
        verb = "begins" if fence.number == 1 else f"resumes (attempt {claimed.attempts})"
        LOG.info("Operation %s on %s %s %s", claimed.kind, claimed.resource_type, claimed.resource_id, verb)
        with self._keeper.holding(Hand(work=work, lock=lock)):
            try:
                self._carry_out(work)
            except Fenced as error:
                raise Interrupted(error.message) from error
            except Interrupted:
                self._let_go(work)
                raise
            except Unavailable:
                # Past its deadline each attempt counts: it must end, whatever is away.
                if utcnow() < claimed.deadline:
                    self._let_go(work)
                raise

    def _claim(
        self, tx: Tx, operation_id: str, expired_before: datetime | None
    ) -> tuple[Operation, Fence, tuple[OperationState, str] | None]:
        """Claim an operation; end it at once if it was never begun and must not be any more."""
        claimed, fence = operations.claim(
            tx, operation_id, owner=self._owner, lease_s=self._policy.lease_s, expired_before=expired_before
        )
        return claimed, fence, self._endings.end_if_unbegun(tx, claimed, fence)

    def _carry_out(self, work: Work) -> None:
        operation = work.operation
        kind = self._kinds.get(operation.kind)
        if kind is None:
            self._conclude(work, TroveError(f"This version of the service knows no operation {operation.kind!r}."))
            return
        if work.condemned is not None and operation.attempts > self._policy.max_attempts + UNDO_ATTEMPTS:
            left = "Undoing it did not end either; what is left is freed when the instance is deleted."
            self._conclude(work, TroveError(f"{work.condemned} {left}"))
            return

        items = paths.Paths(self._doors.database, work.fence)
        error: TroveError | None
        try:
            # The end is stored by `_conclude`, together with what it means.
            outcome = engine.run(operation.id, lambda: kind.flow(work), paths=items, probe=self._probe, keep_end=False)
        except TroveError:
            raise
        except Exception:
            if utcnow() < operation.deadline and work.condemned is None:
                raise
            LOG.exception("Operation %s cannot be carried on, and its time is over", operation.kind)
            error = TroveError("The service could not carry this on. Its operator finds the cause in its logs.")
        else:
            error = None if outcome.state == engine.SUCCEEDED else _as_trove_error(outcome.error)
        self._conclude(work, error)

    def _conclude(self, work: Work, error: TroveError | None) -> None:
        try:
            state = self._doors.database.run(self._endings.conclude, work, error)
        except OutcomeUnknown:
            # The state database was lost during the commit: perhaps it has ended.
            with self._doors.database.reading() as tx:
                state = operations.get(tx, work.operation.id).state
            if state in UNFINISHED:
                raise
        _log_end(work.operation, state, None if error is None else error.message)

    def _let_go(self, work: Work) -> None:
        try:
            with self._doors.database.transaction() as tx:
                operations.let_go(tx, work.fence)
        except Unavailable:
            LOG.info("The lease on operation %s runs out by itself: the state database is away", work.operation.id)

    def _give_up(self, hand: Hand) -> None:
        """Take the operation from a thread that hangs: fence it off, free the resource, and put another thread in its place.

        An operation whose undoing hangs ends here. Raises `Unavailable`, before anything was done.
        """
        work = hand.work
        LOG.error(
            "Operation %s (%s) hangs in step %s on %s %s: its thread is given up",
            work.operation.id,
            work.operation.kind,
            work.pulse.step,
            work.operation.resource_type,
            work.operation.resource_id,
        )
        try:
            self._doors.database.run(self._take_away, work)
        except (Conflict, Fenced):
            LOG.info("Operation %s has another runner already", work.operation.id)
        work.pulse.lost = True
        hand.lock.release()
        with self._guard:
            for operation_id in [each for each, thread in self._known.items() if thread is hand.thread]:
                del self._known[operation_id]
            if hand.thread not in self._threads:
                return
            self._hung = {thread for thread in self._hung if thread.is_alive()} | {hand.thread}
            hung = len(self._hung)
            if hung <= self._workers and not self._stopping.is_set():
                self._start_thread()
        if hung > self._workers:
            LOG.critical("%d threads hang: no more are started; this task manager must be restarted", hung)

    def _take_away(self, tx: Tx, work: Work) -> None:
        if not work.pulse.undoing:
            operations.disown(tx, work.operation.id, work.fence)
            return
        waited = int((utcnow() - (work.pulse.since or utcnow())).total_seconds())
        failed = work.pulse.failed or "The operation failed."
        undone = f"Undoing {work.pulse.step} did not end within {waited} s; what is left is freed when the instance is deleted."
        self._endings.end_hung(tx, work, TroveError(f"{failed} {undone}"))


def _condemnation(operation: Operation, max_attempts: int) -> str | None:
    """Return why an operation must only be undone: it was begun too often. None for nearly all."""
    if operation.attempts <= max_attempts:
        return None
    last = operation.step or "its first step"
    return f"Gave up after {max_attempts} attempts: each time the service died or hung in it. Last heard: {last}."


def _log_end(operation: Operation, state: OperationState, error: str | None) -> None:
    if error is None:
        LOG.info("Operation %s succeeded", operation.kind)
    else:
        LOG.warning("Operation %s ended as %s: %s", operation.kind, state.value, error)


def _as_trove_error(error: BaseException | None) -> TroveError:
    if isinstance(error, TroveError):
        return error
    return TroveError(str(error) or "The operation was undone; its reason was lost.")
