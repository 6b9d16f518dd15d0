"""A server that never began because its sandbox could not be made is launched once more; any other failure is told at once."""

import pytest

from trove.core.errors import GuestError
from trove.datastores import launching
from trove.datastores.launching import ATTEMPTS, launch_surely

LOST = "The database server did not start: bwrap: Can't bind mount /oldroot/ on /newroot/: Invalid argument"
HELD = "The database server did not start: bind: Address already in use"


def failing(times: int, message: str, **options: str) -> list[int]:
    calls: list[int] = []

    def launch() -> None:
        calls.append(1)
        if len(calls) <= times:
            raise GuestError(message)

    launch_surely(launch, **options)
    return calls


def test_a_sandbox_that_could_not_be_made_is_made_again() -> None:
    assert len(failing(0, LOST)) == 1
    assert len(failing(ATTEMPTS - 1, LOST)) == ATTEMPTS


def test_what_does_not_help_is_told() -> None:
    with pytest.raises(GuestError, match="bwrap"):
        failing(ATTEMPTS, LOST)
    with pytest.raises(GuestError, match="port"):
        failing(1, "The database server did not start: the port is taken")


def test_what_a_killed_server_still_holds_is_waited_for() -> None:
    assert len(failing(ATTEMPTS + 2, HELD, lingering="already in use")) == ATTEMPTS + 3
    with pytest.raises(GuestError, match="already in use"):
        failing(1, HELD)


def test_it_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "LINGER_S", 0.0)
    with pytest.raises(GuestError, match="already in use"):
        failing(1, HELD, lingering="already in use")
