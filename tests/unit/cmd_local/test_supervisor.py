"""The supervisor keeps services alive, adopts, and may itself be killed at any moment."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from tests.unit.cmd_local.dummies import WAIT_S, await_running, dummy_stack, sleeper, start_supervisor

from trove.cmd.local import processes, services
from trove.cmd.local.services import Service
from trove.cmd.local.supervisor import LAST_DELAY_S, describe_exit, restart_delay


def test_a_killed_service_is_restarted(tmp_path: Path) -> None:
    one = sleeper("one", tmp_path)
    with dummy_stack(tmp_path / "s", one) as layout:
        assert start_supervisor(layout) == 0
        first = await_running(layout, one)
        os.kill(first.pid, signal.SIGKILL)
        second = await_running(layout, one, other_than=first.pid)
        assert second.pid != first.pid
        assert "signal SIGKILL" in layout.log_of("supervisor").read_text()


def test_children_of_a_killed_service_go_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]])\n"
    )
    parent = sleeper("parent", tmp_path, code=code + "time.sleep(600)")
    with dummy_stack(tmp_path / "s", parent) as layout:
        start_supervisor(layout)
        first = await_running(layout, parent)
        assert processes.wait_until(lambda: len(processes.session_members(first)) == 2, WAIT_S)
        child = next(pid for pid in processes.session_members(first) if pid != first.pid)
        orphan = processes.identify(child)
        assert orphan is not None
        os.kill(first.pid, signal.SIGKILL)
        await_running(layout, parent, other_than=first.pid)
        assert not processes.wait_gone([orphan], WAIT_S)


def test_services_survive_the_supervisor_and_the_next_one_adopts_them(tmp_path: Path) -> None:
    one, two = sleeper("one", tmp_path / "1"), sleeper("two", tmp_path / "2")
    with dummy_stack(tmp_path / "s", one, two) as layout:
        start_supervisor(layout)
        before = [await_running(layout, service).pid for service in (one, two)]
        supervisor = processes.load(layout.supervisor)
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        assert not processes.wait_gone([supervisor], WAIT_S)
        assert start_supervisor(layout) == 0
        assert processes.wait_until(lambda: "runs already" in layout.log_of("supervisor").read_text(), WAIT_S)
        assert [await_running(layout, service).pid for service in (one, two)] == before
        os.kill(before[0], signal.SIGKILL)
        await_running(layout, one, other_than=before[0])


def test_two_supervisors_do_not_fight(tmp_path: Path) -> None:
    one = sleeper("one", tmp_path)
    with dummy_stack(tmp_path / "s", one) as layout:
        assert start_supervisor(layout) == 0
        await_running(layout, one)
        assert start_supervisor(layout) == 1


def test_sigterm_ends_the_supervisor_only(tmp_path: Path) -> None:
    one = sleeper("one", tmp_path)
    with dummy_stack(tmp_path / "s", one) as layout:
        start_supervisor(layout)
        running = await_running(layout, one)
        services.stop_supervisor(layout)
        assert processes.load(layout.supervisor) is None
        assert processes.is_alive(running)
        assert services.stop_services(layout, ["one"], grace_s=10.0) == ()
        assert not processes.is_alive(running)


def test_a_service_whose_record_was_lost_is_found_by_its_command_line(tmp_path: Path) -> None:
    one = sleeper("one", tmp_path)
    with dummy_stack(tmp_path / "s", one) as layout:
        start_supervisor(layout)
        running = await_running(layout, one)
        services.stop_supervisor(layout)
        layout.record("one").unlink()
        found = services.running(layout, one)
        assert found is not None
        assert found.pid == running.pid


def test_a_service_that_ignores_sigterm_is_killed_and_named(tmp_path: Path) -> None:
    code = "import pathlib, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "pathlib.Path(sys.argv[1]).touch()\ntime.sleep(600)"
    deaf = sleeper("deaf", tmp_path / "ready", code=code)
    with dummy_stack(tmp_path / "s", deaf) as layout:
        services.launch(layout, deaf).returncode = 0
        assert processes.wait_until((tmp_path / "ready").exists, WAIT_S)
        assert services.stop_services(layout, ["deaf"], grace_s=0.2) == ("deaf",)
        assert services.running(layout, deaf) is None


def test_the_next_service_waits_for_the_socket_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    code = "import socket, sys, time\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\ntime.sleep(600)"
    bus = Service(name="bus", argv=(sys.executable, "-c", code, str(path)), socket=str(path))
    after = sleeper(
        "after",
        tmp_path / "connected",
        code="import pathlib, socket, sys, time\n"
        f"socket.socket(socket.AF_UNIX).connect({str(path)!r})\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(600)",
    )
    with dummy_stack(tmp_path / "s", bus, after) as layout:
        start_supervisor(layout)
        assert processes.wait_until((tmp_path / "connected").exists, WAIT_S)
        assert services.read_deaths(layout) == {"bus": 0, "after": 0}


def test_deaths_in_a_row_are_counted_for_whoever_waits(tmp_path: Path) -> None:
    broken = sleeper("broken", tmp_path, code="raise SystemExit(3)")
    with dummy_stack(tmp_path / "s", broken) as layout:
        start_supervisor(layout)
        assert processes.wait_until(lambda: services.read_deaths(layout).get("broken", 0) >= 3, WAIT_S)
        assert "exit code 3" in layout.log_of("supervisor").read_text()


def test_restarts_back_off_within_bounds() -> None:
    assert restart_delay(1) <= 0.1
    assert 0.4 <= restart_delay(4) <= 0.8
    assert restart_delay(50) <= LAST_DELAY_S


@pytest.mark.parametrize(("code", "words"), [(1, "exit code 1"), (-9, "signal SIGKILL"), (-99, "signal 99")])
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_nobody_answers_on_a_missing_socket(tmp_path: Path) -> None:
    assert not services.answers(tmp_path / "none")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert services.answers(tmp_path / "s")
