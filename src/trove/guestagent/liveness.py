"""Whether what is being done is still wanted: asked by whatever waits long for something that may never come."""

from collections.abc import Callable
from contextvars import ContextVar


def _always() -> None:
    pass


WANTED: ContextVar[Callable[[], None]] = ContextVar("wanted", default=_always)
"""Raises `Cancelled` once the job in hand is to stop. Of the thread that does the job; threads that it starts ask nothing."""


def need() -> None:
    """Raise `Cancelled` when the job in hand is to stop."""
    WANTED.get()()
