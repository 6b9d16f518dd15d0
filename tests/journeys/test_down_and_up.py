"""`down` stops everything and keeps the data; `up` brings it back; whatever was killed before."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import psutil
from tests.support.ports import free_port
from tests.support.stack import BIN, Stack, await_value, processes_naming, stack

from trove.cmd.local import processes
from trove.cmd.local.layout import Layout


def test_data_survives_down_and_up_even_with_a_killed_supervisor() -> None:
    with stack() as own:
        instance_id = own.create("kept")
        shown = own.await_healthy(instance_id)
        with own.connect(shown, password="secret-kept") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
            cursor.execute("INSERT INTO t VALUES (42)")
            connection.commit()
        _kill_supervisor(own)
        own.trove_local("down")
        assert own.trove_local("status", check=False).returncode == 3
        assert processes_naming(own.root.name) == []
        assert [row["status"] for row in own.status()["instances"]] == ["SHUTDOWN"]
        own.trove_local("down")
        own.up()
        assert own.trove_local("status").returncode == 0
        shown = own.await_healthy(instance_id)
        with own.connect(shown, password="secret-kept") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM t")
            assert cursor.fetchall() == ((42,),)
        log = next((own.root / "cloud" / "servers" / instance_id / "log").glob("*"))
        assert log.exists()


def test_up_again_changes_nothing_and_a_new_port_moves_the_api_only() -> None:
    with stack() as own:
        instance_id = own.create("stays")
        own.await_healthy(instance_id)
        before = own.status()
        own.trove_local("up")
        assert own.status()["services"]["trove-api"]["pid"] == before["services"]["trove-api"]["pid"]
        own.port = free_port()
        own._environments.clear()
        own.up()
        own.await_healthy(instance_id)
        server_pid = own.status()["instances"][0]["server_pid"]
        assert server_pid == before["instances"][0]["server_pid"]


def test_another_bus_or_state_database_is_refused_while_instances_know_the_old_one() -> None:
    with stack() as own:
        own.create("bound")
        for option, url in (("--bus", "valkey://127.0.0.1:1/0"), ("--database", "mysql+pymysql://u:secret@127.0.0.1:1/trove")):
            refused = own.trove_local("up", option, url, check=False)
            assert refused.returncode == 1
            assert f"{option}: 1 instance belongs" in refused.stderr
            assert "secret" not in refused.stderr
        assert own.trove_local("status").returncode == 0


def test_two_ups_at_once_make_one_stack() -> None:
    with stack() as own:
        own.trove_local("down")
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(own.trove_local("up", check=False).returncode)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0, 0]
        apis = [pid for pid, line in processes_naming(own.root.name) if "trove.cmd.api" in line]
        keeper = own.status()["services"]["trove-api"]["pid"]
        assert sorted(apis) == sorted([keeper, *(child.pid for child in psutil.Process(keeper).children())])


def test_a_killed_service_is_restarted_and_down_finds_those_a_killed_supervisor_left() -> None:
    with stack() as own:
        for service in ("trove-api", "bus"):
            own.await_service(service, other_than=own.kill(service))
        _kill_supervisor(own)
        own.kill("trove-conductor")
        assert own.trove_local("status", check=False).returncode == 3
        own.trove_local("down")
        assert processes_naming(own.root.name) == []


def test_down_ends_what_prepares_for_the_first_instance() -> None:
    with stack() as own:
        await_value(
            lambda: [line for _, line in processes_naming(own.root.name) if "--make-template" in line], 60.0, "no warmer"
        )
        own.trove_local("down")
        assert processes_naming(own.root.name) == []
        assert [path.name for path in (own.root / "cloud" / "templates").iterdir() if path.name.startswith(".")] == []
        own.up()
        own.await_healthy(own.create("first"))


def test_a_taken_port_is_refused_by_name(tmp_path: Path) -> None:
    with stack() as own:
        done = subprocess.run(
            [BIN / "trove-local", "up", "--state-dir", tmp_path / "second", "--port", str(own.port)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"port {own.port} of 127.0.0.1 is taken" in done.stderr
        assert processes_naming(str(tmp_path / "second")) == []


def test_a_service_that_cannot_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    root = tmp_path / "s"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "override.conf").write_text("[DEFAULT]\ntrove_api_threads = many\n")
    done = subprocess.run(
        [BIN / "trove-local", "up", "--state-dir", root, "--port", str(free_port())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "trove_api_threads" in done.stderr
    assert processes_naming(str(root)) == []
    subprocess.run([BIN / "trove-local", "reset", "--yes", "--state-dir", root], capture_output=True, check=True)


def test_commands_without_a_stack_say_so(tmp_path: Path) -> None:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [BIN / "trove-local", *words, "--state-dir", tmp_path / "none"]
        return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    assert run("status").returncode == 3
    assert run("down").returncode == 0
    assert run("reset", "--yes").returncode == 0
    for verb in ("env", "logs"):
        done = run(verb)
        assert (done.returncode, done.stdout) == (1, "")
        assert "trove-local up" in done.stderr
    assert not (tmp_path / "none").exists()


def _kill_supervisor(stack: Stack) -> None:
    supervisor = processes.load(Layout(root=stack.root).supervisor)
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert not processes.wait_gone([supervisor], 20.0)
