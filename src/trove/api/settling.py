"""Lets a few requests wait for the light operations they started: clients written for a synchronous service look at once."""

import threading
import time
from collections.abc import Sequence

from trove.core.operations import UNFINISHED
from trove.operations.doors import Doors
from trove.store import operations

MOST_AT_ONCE = 4
"""Requests of this process that wait at a time; further ones are answered without waiting, so that threads are left."""

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.1
_room = threading.BoundedSemaphore(MOST_AT_ONCE)


def settle(doors: Doors, operation_ids: Sequence[str], *, within_s: float) -> None:
    """Return when these operations have ended, well or not, or after `within_s` seconds; at once when too many wait already."""
    if not operation_ids or within_s <= 0 or not _room.acquire(blocking=False):
        return
    try:
        _wait(doors, operation_ids, time.monotonic() + within_s)
    finally:
        _room.release()


def _wait(doors: Doors, operation_ids: Sequence[str], deadline: float) -> None:
    waiting, pause_s = list(operation_ids), _FIRST_PAUSE_S
    while True:
        with doors.database.reading() as tx:
            while waiting and operations.get(tx, waiting[0]).state not in UNFINISHED:
                waiting.pop(0)
        if not waiting or time.monotonic() + pause_s > deadline:
            return
        time.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
