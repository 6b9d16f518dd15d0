"""Launches a server once more whose sandbox could not be made: mounts of others come and go while bubblewrap looks at them."""

from collections.abc import Callable

from trove.core.errors import GuestError

ATTEMPTS = 3
_NO_SANDBOX = "bwrap: Can't"


def launch_surely(launch: Callable[[], None]) -> None:
    """Call `launch`; again, a few times, when its error tells that the server never began for want of a sandbox."""
    for _ in range(ATTEMPTS - 1):
        try:
            return launch()
        except GuestError as error:
            if _NO_SANDBOX not in error.message:
                raise
    return launch()
