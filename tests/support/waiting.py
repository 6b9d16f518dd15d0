"""Wait for something to become true, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], *, deadline_s: float = 60.0) -> T:
    """Return the first true value of `probe`; fail after `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not (value := probe()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
    return value
