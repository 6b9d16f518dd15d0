"""Steps and lines of them: TaskFlow tasks that retry, obey deadlines and cancellation, and never write past their fence."""

import logging
from collections.abc import Callable
from typing import Any

from trove.core.clock import utcnow
from trove.core.errors import Fenced, TroveError, Unavailable
from trove.operations.work import LONGEST_PAUSE_S, Interrupted, Pauses, Work
from trove.store import operations
from trove.workflow import engine

LOG = logging.getLogger(__name__)

Deed = Callable[[Work], None]
"""Does one thing for an operation. It may run twice: it ensures, and finds again what an earlier run made."""


def step(
    work: Work,
    do: Deed,
    *,
    waiting_for: str,
    undo: Deed | None = None,
    name: str | None = None,
    timeout_s: float | None = None,
) -> Any:
    """Return a TaskFlow task that carries out `do`, named after it, and `undo`es it when the flow is reverted.

    What fails for a while (`retryable`) is tried again with growing pauses, or the one that the error asks for, for `timeout_s`
    seconds, at most until the operation's deadline. `waiting_for` completes "Gave up waiting for …". Undoing is tried again
    likewise, within a bound of its own. Nothing is handed from step to step, so nothing but names is persisted.
    """
    label = name or do.__name__

    def execute() -> None:
        work.begin(label, timeout_s)
        _carry_out(work, do, waiting_for=waiting_for)
        work.end()

    def revert() -> None:
        if undo is not None:
            _undo(work, undo, label)
            work.end()

    return engine.step(label, execute, revert)


def line(work: Work, *steps: Any) -> Any:
    """Return the flow of these steps one after the other."""
    return engine.linear(work.operation.kind, *steps)


def _carry_out(work: Work, do: Deed, *, waiting_for: str) -> None:
    pauses = Pauses()
    heard = "nothing yet"
    while True:
        try:
            with work.doors.database.reading() as tx:
                work.check(tx, waiting_for=waiting_for, heard=heard)
            return do(work)
        except Fenced as error:
            raise Interrupted(error.message) from error
        except TroveError as error:
            if not error.retryable:
                _mark_reverting(work, error)
                raise
            heard = error.message.rstrip(".")
            LOG.info("Waiting for %s: it fails for now and is tried again: %s", waiting_for, error.message)
            asked_s = getattr(error, "retry_after_s", None) or 0.0
        except Exception as error:
            LOG.exception("Unexpected failure while waiting for %s", waiting_for)
            ours = TroveError(
                f"The service itself failed while waiting for {waiting_for}. Its operator finds the cause in the logs of "
                f"operation {work.operation.id}."
            )
            _mark_reverting(work, ours)
            raise ours from error
        try:
            _rest(work, max(next(pauses), asked_s), waiting_for=waiting_for, heard=heard)
        except TroveError as error:
            _mark_reverting(work, error)
            raise


def _rest(work: Work, seconds: float, *, waiting_for: str, heard: str) -> None:
    """Wait before the next try. Raises what `Work.check` does, within some seconds also in a long rest."""
    work.check_clock(waiting_for=waiting_for, heard=heard)
    while seconds > 0:
        part = min(seconds, LONGEST_PAUSE_S, max(work.left_s(), 0.0))
        work.pause(part)
        work.check_clock(waiting_for=waiting_for, heard=heard)
        seconds -= max(part, 0.001)
        if seconds > 0:
            try:
                with work.doors.database.reading() as tx:
                    work.check(tx, waiting_for=waiting_for, heard=heard)
            except Unavailable:
                continue


def _mark_reverting(work: Work, error: TroveError) -> None:
    work.pulse.failed = error.message
    try:
        with work.doors.database.transaction() as tx:
            operations.reverting(tx, work.fence)
    except Fenced as lost:
        raise Interrupted(lost.message) from lost
    except Unavailable:
        LOG.info("Operation %s reverts; the state database cannot be told now", work.operation.id)


def _undo(work: Work, undo: Deed, label: str) -> None:
    """Undo a step. What cannot be undone in time is left for the deletion of the instance, which frees everything again."""
    until = work.begin_undo(label)
    pauses = Pauses()
    while True:
        _check_still_ours(work)
        try:
            return undo(work)
        except Fenced as error:
            raise Interrupted(error.message) from error
        except Unavailable as error:
            pause = min(max(next(pauses), getattr(error, "retry_after_s", None) or 0.0), LONGEST_PAUSE_S)
            if (until - utcnow()).total_seconds() <= pause:
                LOG.warning("Undoing %s failed; it stays until the instance is deleted: %s", label, error.message)
                return None
            LOG.info("Undoing %s: it fails for now and is tried again: %s", label, error.message)
        except Exception:
            LOG.exception("Undoing %s failed; it stays until the instance is deleted", label)
            return None
        work.pause(pause)


def _check_still_ours(work: Work) -> None:
    if work.stopping.is_set():
        raise Interrupted("the service stops")
    try:
        with work.doors.database.reading() as tx:
            operations.check(tx, work.fence)
    except Fenced as error:
        raise Interrupted(error.message) from error
    except Unavailable as error:
        # Without it nothing could be recorded of what is undone. Not an attempt that counts: it is taken up again.
        raise Interrupted(error.message) from error
