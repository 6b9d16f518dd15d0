"""The frame of a service: waits for what is away, stops when told, says why it cannot work."""

import os
import signal

import pytest

from trove.cmd import service
from trove.cmd.service import Signals, StoppedError, guarded, until_there
from trove.core.errors import InvalidInput, Unavailable


@pytest.fixture
def signals():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    made = Signals()
    yield made
    writer = signal.set_wakeup_fd(-1)
    os.close(writer)
    os.close(made._reader)
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_what_is_away_is_waited_for(signals: Signals):
    answers = iter([Unavailable("not yet"), Unavailable("not yet"), "there"])

    def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    assert until_there("The bus", attempt, signals) == "there"


def test_a_stop_ends_the_waiting(signals: Signals):
    def attempt() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise Unavailable("not yet")

    with pytest.raises(StoppedError):
        until_there("The bus", attempt, signals)


def test_what_will_never_work_is_not_waited_for(signals: Signals):
    def attempt() -> None:
        raise InvalidInput("transport_url: is nonsense")

    with pytest.raises(InvalidInput):
        until_there("The bus", attempt, signals)


def test_hang_up_rereads_and_terminate_stops(signals: Signals):
    rereads: list[int] = []

    def reread() -> None:
        rereads.append(1)
        os.kill(os.getpid(), signal.SIGHUP if len(rereads) < 2 else signal.SIGTERM)

    os.kill(os.getpid(), signal.SIGHUP)
    signals.run(reread=reread)
    assert len(rereads) == 2


def test_exit_codes():
    def stopped() -> None:
        raise StoppedError

    def hopeless() -> None:
        raise InvalidInput("no key file")

    assert guarded("x", lambda: None) == 0
    assert guarded("x", stopped) == 0
    assert guarded("x", hopeless) == 1
    assert service.LONGEST_WAIT_S <= 10
