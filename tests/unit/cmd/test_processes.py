"""The services as processes on a real embedded bus: they come up, wait, re-read, and stop politely."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.services import children, listens, log_of, process, service
from tests.support.world import until

from trove.bus import embedded
from trove.cmd import manage
from trove.cmd.notify import Listener

SERVICES = ("api", "taskmanager", "conductor")
ANSWER_TO_SIGHUP = {
    "api": "trove-api was reloaded",
    "taskmanager": "Logging was configured again",
    "conductor": "Logging was configured again",
}


class Told:
    """What services tell the manager that this test is."""

    def __init__(self, path: Path) -> None:
        self._listener = Listener(path)
        self._heard: list[tuple[int, frozenset[str]]] = []
        self.address = self._listener.address

    def by(self, pid: int, word: str) -> int:
        """Return how often a process said it."""
        self._heard += self._listener.heard()
        return sum(1 for sender, words in self._heard if sender == pid and word in words)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    listening = Told(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_up_rereads_and_stops(name: str, stack: Path, bus: None):
    with service(name, stack) as child:
        until(lambda: f"trove-{name} is ready" in log_of(name, stack), what="readiness")
        child.send_signal(signal.SIGHUP)
        until(lambda: ANSWER_TO_SIGHUP[name] in log_of(name, stack), what="the answer to SIGHUP")
        child.terminate()
        assert child.wait(20) == 0
    assert "Traceback" not in log_of(name, stack)
    assert "password=pw" not in log_of(name, stack)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_its_store(name: str, stack: Path, bus: None):
    store = stack.parent / "trove.sqlite"
    aside = stack.parent / "aside"
    for path in stack.parent.glob("trove.sqlite*"):
        path.rename(aside.with_name(path.name.replace("trove.sqlite", "aside")))
    with service(name, stack) as child:
        until(lambda: "db upgrade" in log_of(name, stack), what="a word about the store")
        assert child.poll() is None
        assert manage.main([f"--config-file={stack}", "db", "upgrade"]) == 0
        assert store.exists()
        until(lambda: f"trove-{name} is ready" in log_of(name, stack), what="readiness")
        child.terminate()
        assert child.wait(20) == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_told_to_stop_while_it_waits_stops(name: str, stack: Path):
    for path in stack.parent.glob("trove.sqlite*"):
        path.unlink()
    with service(name, stack) as child:
        until(lambda: "trying again" in log_of(name, stack), what="waiting")
        child.terminate()
        assert child.wait(20) == 0


@pytest.mark.parametrize("name", SERVICES)
def test_wrong_arguments_end_with_2(name: str):
    words = [sys.executable, "-m", f"trove.cmd.{name}", "--nonsense"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"usage: trove-{name}" in ended.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_in_hand_is_finished_before_the_api_stops(workers: int, stack: Path, bus: None, free_port: int):
    stack.write_text(stack.read_text().replace("trove_api_workers = 1", f"trove_api_workers = {workers}"))
    marker = stack.parent / "arrived"
    answers: list[bytes] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=20)
        connection.request("GET", str(marker))
        answers.append(connection.getresponse().read())
        connection.close()

    with service("api", stack) as child:
        until(lambda: log_of("api", stack).count("is ready") == workers, what="readiness")
        until(lambda: listens(free_port), what="the port")
        asking = threading.Thread(target=ask)
        asking.start()
        until(marker.exists, what="the request")
        child.terminate()
        asking.join(20)
        assert child.wait(20) == 0
    assert answers == [b"done"]


def test_an_api_process_that_dies_is_replaced(stack: Path, bus: None):
    stack.write_text(stack.read_text().replace("trove_api_workers = 1", "trove_api_workers = 2"))
    with service("api", stack) as child:
        until(lambda: log_of("api", stack).count("is ready") == 2, what="readiness")
        pids = children(child.pid)
        os.kill(int(pids[0]), signal.SIGKILL)
        until(lambda: log_of("api", stack).count("is ready") == 3, what="the replacement")
        child.terminate()
        assert child.wait(20) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_an_api_tells_its_manager_that_it_is_ready_alive_and_ending(workers: int, stack: Path, bus: None, told: Told):
    stack.write_text(stack.read_text().replace("trove_api_workers = 1", f"trove_api_workers = {workers}"))
    with service("api", stack, NOTIFY_SOCKET=told.address, WATCHDOG_USEC="3000000") as child:
        until(lambda: told.by(child.pid, "READY=1") == 1, what="readiness")
        assert log_of("api", stack).count("is ready") == workers
        until(lambda: told.by(child.pid, "WATCHDOG=1") > 2, what="signs of life")
        child.terminate()
        assert child.wait(20) == 0
        assert told.by(child.pid, "STOPPING=1") == 1


@pytest.mark.parametrize("name", ["conductor", "taskmanager"])
def test_a_service_tells_its_manager_that_it_waits_is_ready_alive_and_ending(
    name: str, stack: Path, told: Told, tmp_path: Path
):
    with service(name, stack, NOTIFY_SOCKET=told.address, WATCHDOG_USEC="3000000") as child:
        until(lambda: told.by(child.pid, "STATUS=waiting for The bus"), what="a word about the bus")
        assert told.by(child.pid, "READY=1") == 0
        server = embedded.prepare(tmp_path / "bus", control_password="pw")
        with process(list(server.argv), tmp_path / "bus.log"):
            until(lambda: told.by(child.pid, "WATCHDOG=1") > 2, what="signs of life")
            assert told.by(child.pid, "READY=1") == 1
            child.terminate()
            assert child.wait(20) == 0
        assert told.by(child.pid, "STOPPING=1") == 1


def test_an_api_process_that_hangs_is_killed_and_replaced(stack: Path, bus: None, told: Told):
    stack.write_text(stack.read_text().replace("trove_api_workers = 1", "trove_api_workers = 2"))
    with service("api", stack, NOTIFY_SOCKET=told.address, WATCHDOG_USEC="2000000") as child:
        until(lambda: told.by(child.pid, "READY=1") == 1, what="readiness")
        pids = children(child.pid)
        os.kill(int(pids[1]), signal.SIGSTOP)
        until(lambda: log_of("api", stack).count("is ready") == 3, what="the replacement")
        assert f"API process {pids[1]} gave no sign of life" in log_of("api", stack)
        assert Path(f"/proc/{pids[0]}").exists()
        child.terminate()
        assert child.wait(20) == 0


def test_a_signal_while_the_api_still_forks_ends_all_of_it(stack: Path, bus: None):
    stack.write_text(stack.read_text().replace("trove_api_workers = 1", "trove_api_workers = 2"))
    with service("api", stack) as child:
        until(lambda: children(child.pid), what="a first process")
        child.terminate()
        assert child.wait(20) == 0


def test_a_port_that_is_taken_is_said_in_a_line(stack: Path, free_port: int):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        with service("api", stack) as child:
            assert child.wait(20) == 1
    (line,) = log_of("api", stack).splitlines()
    assert str(free_port) in line
