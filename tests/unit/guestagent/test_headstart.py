"""The head start of a new server: begun only for one that nobody prepared, never reported, waited for by the job."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.errors import GuestError
from trove.guestagent.headstart import FIRST_CONFIG, HeadStart
from trove.guestagent.host import SandboxedHost
from trove.guestagent.ledger import Ledger, Prepared


class SlowDriver(SleepDriver):
    """Prepares when it is let; remembers with what."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.configs: list[str] = []
        self.error: GuestError | None = None

    def prepare(self, *, config: str, progress: Callable[[str, int], None]) -> None:
        self.configs.append(config)
        self.begun.set()
        assert self.go_on.wait(30)
        if self.error is not None:
            raise self.error


@pytest.fixture
def driver(host: SandboxedHost) -> SlowDriver:
    return SlowDriver(host)


def test_it_begins_with_the_first_configuration_and_the_job_waits_for_it(
    driver: SlowDriver, host: SandboxedHost, tmp_path: Path
) -> None:
    (tmp_path / FIRST_CONFIG).write_text("first")
    head_start = HeadStart(driver, host, tmp_path)
    assert driver.begun.wait(30)
    waited = threading.Thread(target=head_start.wait)
    waited.start()

    waited.join(0.2)
    assert waited.is_alive()

    driver.go_on.set()
    waited.join(30)
    assert not waited.is_alive()
    assert driver.configs == ["first"]


@pytest.mark.parametrize("prepared", [Prepared.YES, Prepared.FAILED])
def test_it_does_nothing_for_a_server_that_a_job_has_prepared(
    driver: SlowDriver, host: SandboxedHost, tmp_path: Path, prepared: Prepared
) -> None:
    (tmp_path / FIRST_CONFIG).write_text("first")
    Ledger(host).update(prepared=prepared)

    HeadStart(driver, host, tmp_path).wait()

    assert driver.configs == []


def test_it_does_nothing_without_a_first_configuration(driver: SlowDriver, host: SandboxedHost, tmp_path: Path) -> None:
    HeadStart(driver, host, tmp_path).wait()

    assert driver.configs == []


def test_its_failure_is_left_to_the_job_to_meet_and_tell(driver: SlowDriver, host: SandboxedHost, tmp_path: Path) -> None:
    (tmp_path / FIRST_CONFIG).write_text("first")
    driver.error = GuestError("no space")
    driver.go_on.set()

    HeadStart(driver, host, tmp_path).wait()

    assert Ledger(host).facts.prepared is Prepared.NO
