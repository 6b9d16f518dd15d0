"""What hangs is killed and started again, what lives is left alone."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cmd_local.dummies import WAIT_S, await_running, dummy_stack, sleeper, start_supervisor

from trove.cmd.local import processes, services
from trove.cmd.local.layout import Layout
from trove.cmd.local.services import Service
from trove.cmd.local.watchdog import Watchdog
from trove.cmd.notify import Notifier

READY = "from trove.cmd.notify import Notifier\nimport time\nme = Notifier()\nme.tell_ready()\n"
LIVELY = READY + "while True:\n    me.tell_alive()\n    time.sleep(0.1)"
SILENT = READY + "while True:\n    time.sleep(60)"
SERVER = """
import os, socket, sys
path, hang = sys.argv[1:]
server = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
server.bind(path)
server.listen()
while True:
    client, _ = server.accept()
    if client.recv(100) and not os.path.exists(hang):
        client.sendall(b"-NOAUTH Authentication required.\\r\\n")
        open(path + ".asked", "a").write("x")
"""


def watched(service: Service, *, limit_s: float = 2.0) -> Service:
    return replace(service, watchdog_s=limit_s)


def log_of(layout: Layout) -> str:
    return layout.log_of("supervisor").read_text()


def test_a_service_that_falls_silent_is_killed_and_started_again_and_others_stay(tmp_path: Path) -> None:
    lively = watched(sleeper("lively", tmp_path / "1", code=LIVELY), limit_s=3.0)
    silent = watched(sleeper("silent", tmp_path / "2", code=SILENT), limit_s=1.0)
    unwatched = sleeper("unwatched", tmp_path / "3", code=SILENT)
    with dummy_stack(tmp_path / "s", lively, silent, unwatched) as layout:
        start_supervisor(layout)
        before = [await_running(layout, service).pid for service in (lively, unwatched)]
        first = await_running(layout, silent)
        second = await_running(layout, silent, other_than=first.pid)
        # So long that the other watched one would have been killed, too.
        third = await_running(layout, silent, other_than=second.pid)
        await_running(layout, silent, other_than=third.pid)
        assert [await_running(layout, service).pid for service in (lively, unwatched)] == before
        assert f"silent (pid {first.pid}) gave no sign of life for" in log_of(layout)
        assert "lively (pid" not in log_of(layout)


def test_a_service_that_was_stopped_by_a_signal_is_killed_and_started_again_even_before_it_was_ready(tmp_path: Path) -> None:
    starting = watched(sleeper("starting", tmp_path))
    with dummy_stack(tmp_path / "s", starting) as layout:
        start_supervisor(layout)
        first = await_running(layout, starting)
        os.kill(first.pid, signal.SIGSTOP)
        await_running(layout, starting, other_than=first.pid)
        assert f"starting (pid {first.pid}) was stopped by a signal" in log_of(layout)


def test_a_bus_is_asked_and_killed_when_it_takes_connections_only(tmp_path: Path) -> None:
    path, hang, asked = tmp_path / "bus.sock", tmp_path / "hang", tmp_path / "bus.sock.asked"
    asked.touch()
    bus = watched(Service(name="bus", argv=(sys.executable, "-c", SERVER, str(path), str(hang)), socket=str(path)))
    with dummy_stack(tmp_path / "s", bus) as layout:
        start_supervisor(layout)
        first = await_running(layout, bus)
        assert processes.wait_until(lambda: services.is_alive(path), WAIT_S)
        # Now the supervisor has had its answer, too: the bus is served in turn.
        assert processes.wait_until(lambda: asked.read_text().count("x") > 2, WAIT_S)
        hang.touch()
        await_running(layout, bus, other_than=first.pid)
        assert f"bus (pid {first.pid}) gave no sign of life for" in log_of(layout)


def test_the_next_supervisor_hears_the_services_of_the_one_before(tmp_path: Path) -> None:
    lively = watched(sleeper("lively", tmp_path, code=LIVELY), limit_s=1.0)
    with dummy_stack(tmp_path / "s", lively) as layout:
        start_supervisor(layout)
        running = await_running(layout, lively)
        services.stop_supervisor(layout)
        start_supervisor(layout)
        assert processes.wait_until(lambda: "runs already" in log_of(layout), WAIT_S)
        os.kill(running.pid, signal.SIGSTOP)
        await_running(layout, lively, other_than=running.pid)
        assert f"(pid {running.pid})" in log_of(layout)


def test_the_time_that_the_supervisor_itself_stood_still_is_held_against_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    service = watched(sleeper("one", tmp_path), limit_s=3.0)
    identity = processes.identify(os.getpid())
    assert identity is not None
    watchdog = Watchdog(tmp_path / "notify")
    try:
        watchdog.begin(identity)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Notifier().tell_ready()
        watchdog.listen()
        clock[0] += 60.0
        watchdog.listen()
        assert watchdog.complaint(service, identity) is None
        for _ in range(4):
            clock[0] += 1.0
            watchdog.listen()
        assert watchdog.complaint(service, identity) == "gave no sign of life for 4 s"
    finally:
        watchdog.close()


def test_services_of_the_same_command_line_are_told_apart_when_their_records_are_lost(tmp_path: Path) -> None:
    one = sleeper("one", tmp_path)
    two = replace(one, name="two")
    with dummy_stack(tmp_path / "s", one, two) as layout:
        start_supervisor(layout)
        before = [await_running(layout, service).pid for service in (one, two)]
        services.stop_supervisor(layout)
        for service in (one, two):
            layout.record(service.name).unlink()
        found = [services.running(layout, service) for service in (two, one)]
        assert [identity.pid for identity in found if identity] == before[::-1]


def test_a_service_passes_nothing_of_this_on_to_its_children(tmp_path: Path) -> None:
    code = READY + "import os, pathlib, sys\npathlib.Path(sys.argv[1]).write_text(' '.join(os.environ))\ntime.sleep(600)"
    parent = watched(sleeper("parent", tmp_path / "seen", code=code))
    with dummy_stack(tmp_path / "s", parent) as layout:
        start_supervisor(layout)
        assert processes.wait_until(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text() != "", WAIT_S)
        seen = (tmp_path / "seen").read_text().split()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(seen)
    assert "PATH" in seen
