"""Launches a server once more whose sandbox could not be made: mounts of others come and go while bubblewrap looks at them."""

import time
from collections.abc import Callable

from trove.core.errors import GuestError

ATTEMPTS = 3
_NO_SANDBOX = "bwrap: Can't"


LINGER_S = 5.0
_PAUSE_S = 0.1


def launch_surely(launch: Callable[[], None], *, lingering: str | None = None) -> None:
    """Call `launch`; again, a few times, when its error tells that the server never began for want of a sandbox.

    An error with the words `lingering` tells of what a process of a server that was killed still holds for a moment: with it
    the launch is tried again for some seconds.
    """
    attempts, until = ATTEMPTS, time.monotonic() + LINGER_S
    while True:
        try:
            return launch()
        except GuestError as error:
            if _NO_SANDBOX in error.message and attempts > 1:
                attempts -= 1
            elif lingering is not None and lingering in error.message and time.monotonic() < until:
                time.sleep(_PAUSE_S)
            else:
                raise
