"""Waits for the cloud to be done with something."""

import time
from collections.abc import Callable
from typing import TypeVar

from trove.core.errors import Unavailable

LONGEST_POLL_S = 5.0

T = TypeVar("T")


def wait_until(look: Callable[[], T], done: Callable[[T], bool], *, what: str, timeout_s: float, poll_s: float) -> T:
    """Look again and again until `done` holds, less often the longer it takes, and return what was seen then.

    Raises `Unavailable` naming `what` after `timeout_s`: the deed goes on in the cloud, and may be asked for again.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if done(seen):
            return seen
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Unavailable(f"The cloud did not {what} within {timeout_s:.0f} s.")
        time.sleep(min(poll_s, left_s))
        poll_s = min(poll_s * 1.2, LONGEST_POLL_S)
