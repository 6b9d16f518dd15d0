"""A server that never began because its sandbox could not be made is launched once more; any other failure is told at once."""

import pytest

from trove.core.errors import GuestError
from trove.datastores.launching import ATTEMPTS, launch_surely

LOST = "The database server did not start: bwrap: Can't bind mount /oldroot/ on /newroot/: Invalid argument"


def failing(times: int, message: str) -> list[int]:
    calls: list[int] = []

    def launch() -> None:
        calls.append(1)
        if len(calls) <= times:
            raise GuestError(message)

    launch_surely(launch)
    return calls


def test_a_sandbox_that_could_not_be_made_is_made_again() -> None:
    assert len(failing(0, LOST)) == 1
    assert len(failing(ATTEMPTS - 1, LOST)) == ATTEMPTS


def test_what_does_not_help_is_told() -> None:
    with pytest.raises(GuestError, match="bwrap"):
        failing(ATTEMPTS, LOST)
    with pytest.raises(GuestError, match="port"):
        failing(1, "The database server did not start: the port is taken")
