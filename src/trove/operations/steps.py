"""Steps and lines of them: TaskFlow tasks that retry, obey deadlines and cancellation, and never write past their fence."""

import logging
from collections.abc import Callable
from typing import Any

from trove.core.errors import Fenced, TroveError, Unavailable
from trove.operations.work import Interrupted, Pauses, Work
from trove.store import operations
from trove.workflow import engine

LOG = logging.getLogger(__name__)

UNDO_TRIES = 4

Deed = Callable[[Work], None]
"""Does one thing for an operation. It may run twice: it ensures, and finds again what an earlier run made."""


def step(work: Work, do: Deed, *, waiting_for: str, undo: Deed | None = None, name: str | None = None) -> Any:
    """Return a TaskFlow task that carries out `do`, named after it, and `undo`es it when the flow is reverted.

    What fails for a while (`retryable`) is tried again with growing pauses until the operation's deadline. `waiting_for`
    completes "Gave up waiting for …". Nothing is handed from step to step, so nothing but names is persisted.
    """
    label = name or do.__name__

    def execute() -> None:
        _carry_out(work, do, waiting_for=waiting_for)

    def revert() -> None:
        if undo is not None:
            _undo(work, undo, label)

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
                _mark_reverting(work)
                raise
            heard = error.message
            LOG.info("%s fails for now and is tried again: %s", waiting_for, error.message)
        except Exception as error:
            LOG.exception("Unexpected failure while waiting for %s", waiting_for)
            _mark_reverting(work)
            raise TroveError(
                f"The service itself failed while waiting for {waiting_for}. Its operator finds the cause in the logs of "
                f"operation {work.operation.id}."
            ) from error
        try:
            work.check_clock(waiting_for=waiting_for, heard=heard)
        except TroveError:
            _mark_reverting(work)
            raise
        work.pause(next(pauses))


def _mark_reverting(work: Work) -> None:
    try:
        with work.doors.database.transaction() as tx:
            operations.reverting(tx, work.fence)
    except Fenced as error:
        raise Interrupted(error.message) from error
    except Unavailable:
        LOG.info("Operation %s reverts; the state database cannot be told now", work.operation.id)


def _undo(work: Work, undo: Deed, label: str) -> None:
    """Undo a step. What cannot be undone now is left for the deletion of the instance, which frees everything again."""
    pauses = Pauses()
    for attempt in range(1, UNDO_TRIES + 1):
        if work.stopping.is_set():
            raise Interrupted("the service stops")
        try:
            with work.doors.database.reading() as tx:
                operations.check(tx, work.fence)
            return undo(work)
        except Unavailable as error:
            if attempt == UNDO_TRIES:
                LOG.warning("Undoing %s failed; it stays until the instance is deleted: %s", label, error.message)
                return None
        except Fenced as error:
            raise Interrupted(error.message) from error
        except Exception:
            LOG.exception("Undoing %s failed; it stays until the instance is deleted", label)
            return None
        work.pause(next(pauses))
    return None
