"""The supervisor: when it acts and when it keeps its hands off."""

import os
import signal
import threading
from collections.abc import Mapping

import pytest
from tests.support.guests import wait_for
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.json import JSON
from trove.core.status import ServiceStatus
from trove.guestagent.host import SandboxedHost
from trove.guestagent.jobs import Jobs, Progress
from trove.guestagent.ledger import Ledger, Prepared
from trove.guestagent.supervisor import Supervisor


class Scene:
    """A supervisor that is told when to look."""

    def __init__(self, host: SandboxedHost, driver: SleepDriver) -> None:
        self.host, self.driver = host, driver
        self.noticed: list[ServiceStatus] = []
        self.ledger = Ledger(host)
        self.lock = threading.RLock()
        self.gate = threading.Event()
        self.jobs = Jobs(host, {"restart": self._wait, "prepare": self._wait}, changed=lambda: None)
        self.supervisor = Supervisor(driver, host, self.ledger, self.lock, noticed=self.noticed.append)
        self.supervisor._jobs = self.jobs

    def _wait(self, _args: Mapping[str, JSON], _progress: Progress) -> Mapping[str, JSON]:
        assert self.gate.wait(30)
        return {}

    def run(self) -> None:
        self.ledger.update(prepared=Prepared.YES, wanted=True)
        self.driver.start()
        self.supervisor.tick()

    def kill(self) -> None:
        pid = self.host.server_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.host.server_pid() is None, "the end of the server")


@pytest.fixture
def scene(host: SandboxedHost, driver: SleepDriver) -> Scene:
    return Scene(host, driver)


def test_a_dead_server_is_told_and_brought_back(scene: Scene) -> None:
    scene.run()
    scene.kill()
    scene.supervisor.tick()
    assert scene.noticed == [ServiceStatus.SHUTDOWN, ServiceStatus.HEALTHY]
    assert scene.host.server_pid() is not None
    assert Ledger(scene.host).facts.restarts == 1


def test_a_server_that_dies_again_waits_longer(scene: Scene) -> None:
    scene.run()
    scene.kill()
    scene.supervisor.tick()
    scene.kill()
    scene.supervisor.tick()
    assert scene.host.server_pid() is None
    scene.supervisor._try_after = 0.0
    scene.supervisor.tick()
    assert scene.host.server_pid() is not None
    assert scene.ledger.facts.restarts == 2


def test_a_start_that_fails_is_tried_again(scene: Scene) -> None:
    scene.run()
    scene.driver.refuse = "no"
    scene.kill()
    for _ in range(3):
        scene.supervisor._try_after = 0.0
        scene.supervisor.tick()
    assert scene.noticed == [ServiceStatus.SHUTDOWN]
    assert scene.ledger.facts.restarts == 1
    scene.driver.refuse = None
    scene.supervisor._try_after = 0.0
    scene.supervisor.tick()
    assert scene.noticed[-1] is ServiceStatus.HEALTHY


def test_a_wanted_server_is_started_with_the_agent_without_counting(scene: Scene) -> None:
    scene.ledger.update(prepared=Prepared.YES, wanted=True)
    scene.supervisor.tick()
    assert scene.host.server_pid() is not None
    assert scene.ledger.facts.restarts == 0


@pytest.mark.parametrize(("prepared", "wanted"), [(Prepared.NO, True), (Prepared.FAILED, True), (Prepared.YES, False)])
def test_a_server_that_should_not_run_is_left_down(scene: Scene, prepared: Prepared, wanted: bool) -> None:
    scene.ledger.update(prepared=prepared, wanted=wanted)
    scene.supervisor.tick()
    assert scene.host.server_pid() is None


def test_hands_off_while_a_job_runs_or_holds_the_engine(scene: Scene) -> None:
    scene.run()
    scene.jobs.start("one", "restart", {})
    assert scene.supervisor.status() is ServiceStatus.RESTARTING
    scene.kill()
    scene.supervisor.tick()
    assert scene.host.server_pid() is None
    assert scene.noticed == []
    scene.gate.set()
    wait_for(lambda: not scene.jobs.running_kinds(), "the job")
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with scene.lock:
            held.set()
            assert release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    scene.supervisor.tick()
    assert scene.host.server_pid() is None
    release.set()
    thread.join()


def test_the_status_before_after_and_during_prepare(scene: Scene) -> None:
    assert scene.supervisor.status() is ServiceStatus.NEW
    scene.jobs.start("one", "prepare", {})
    assert scene.supervisor.status() is ServiceStatus.BUILDING
    scene.gate.set()
    wait_for(lambda: not scene.jobs.running_kinds(), "the job")
    scene.ledger.update(prepared=Prepared.FAILED)
    assert scene.supervisor.status() is ServiceStatus.FAILED
    scene.ledger.update(prepared=Prepared.YES)
    assert scene.supervisor.status() is ServiceStatus.SHUTDOWN


def test_the_logs_of_a_server_that_runs_are_tended_now_and_then(scene: Scene) -> None:
    scene.run()
    scene.supervisor.tick()
    assert scene.driver.tended == 1
    scene.supervisor._tend_after = 0.0
    scene.supervisor.tick()
    assert scene.driver.tended == 2
