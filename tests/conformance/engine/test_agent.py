"""The real agent on a real bus beside a real server: what it reports, survives, and leaves alone."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.support.agent_stage import Stage, staged
from tests.support.guests import Machine, agent_command, marked_processes, wait_for
from tests.support.living_files import contents
from tests.support.servers import accounts
from tests.support.valkey import ValkeyServer

from trove.cmd.notify import ALIVE, READY, STOPPING, Listener
from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput, NotFound
from trove.datastores.contract import Spec

PASSWORD = "s3cret-of-the-tenant-1A"


@pytest.fixture
def stage(guest: Machine, valkey: ValkeyServer) -> Iterator[Stage]:
    with staged(guest, valkey) as made:
        yield made


def test_an_instance_is_prepared_with_all_that_was_asked_for(stage: Stage, config: str, spec: Spec) -> None:
    assert stage.conductor.statuses()[0] == "new"
    wanted = accounts(spec, PASSWORD)
    job = stage.prepare(config, **wanted, root_password=PASSWORD)
    assert (job["state"], job["percent"], job["error"]) == ("DONE", 100, None)
    stage.wait_status("healthy")
    assert "building" in stage.conductor.statuses()
    assert stage.conductor.roots() == [spec.root_name]
    beat = stage.conductor.last_heartbeat()
    assert beat["datastore_version"].startswith(spec.usable_versions)
    assert 0 < beat["volume_used_bytes"] <= beat["volume_total_bytes"]
    if wanted["databases"]:
        assert [one.name for one in stage.caller.list_databases(10).items] == ["blog", "shop"]
        assert stage.caller.get_user("app", "%").databases == ("shop",)
    assert [one.name for one in stage.caller.list_users(10).items] == ["app"]
    assert stage.caller.is_root_enabled()


@pytest.mark.manager("mariadb")
def test_calls_fail_with_errors_of_the_guest(stage: Stage, config: str) -> None:
    stage.prepare(config)
    with pytest.raises(NotFound):
        stage.caller.delete_database("nowhere")
    with pytest.raises(InvalidInput):
        stage.caller.create_database([Database(name="mysql")])
    with pytest.raises(GuestError, match="no method"):
        stage.caller._call("format_disk", {})


@pytest.mark.manager("mariadb")
def test_a_failed_prepare_is_told_and_leaves_no_secret(stage: Stage, config: str) -> None:
    users = [User(name="app", password=PASSWORD, databases=("nowhere",)).to_json()]
    job = stage.prepare(config, users=users)
    assert job["state"] == "FAILED"
    assert "nowhere" in job["error"]
    stage.wait_status("failed to spawn")
    assert_no_secret(stage.guest)


@pytest.mark.manager("mariadb")
def test_a_finished_job_is_repeated_until_it_is_forgotten_and_keeps_no_secret(stage: Stage, config: str) -> None:
    stage.prepare(config, root_password=PASSWORD)
    assert_no_secret(stage.guest)
    for _ in range(3):
        stage.conductor.clear()
        wait_for(lambda: stage.conductor.job("create"), "the repeated report")
    stage.caller.start_job("create", "prepare", {"config": config})
    stage.caller.forget_jobs(["create", "unknown"])
    wait_for(lambda: not list((stage.guest.root / "config/agent/jobs").iterdir()), "the job's end")


@pytest.mark.manager("mariadb")
def test_an_agent_tells_its_manager_that_it_is_at_work_alive_and_ending(
    guest: Machine, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, str]] = []
    with closing(Listener()) as listener:

        def times(word: str) -> int:
            told.extend((pid, word) for pid, words in listener.heard() for word in words)
            return told.count((agent, word))

        monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        with staged(guest, valkey):
            agent = guest.agent_pid()
            wait_for(lambda: times(ALIVE) > 2, "signs of life")
            assert times(READY) == 1
            guest.kill_agent(signal.SIGTERM)
            assert times(STOPPING) == 1


def test_a_killed_server_is_reported_and_brought_back(stage: Stage, config: str) -> None:
    stage.prepare(config)
    stage.wait_status("healthy")
    stage.conductor.clear()
    old = stage.guest.server_pid()
    assert old is not None
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: "healthy" in stage.conductor.statuses() and "crashed" in stage.conductor.statuses(), "death and recovery")
    stage.wait_status("healthy")
    assert stage.conductor.last_heartbeat()["restarts"] == 1
    assert stage.guest.server_pid() not in {None, old}


def test_a_stopped_server_stays_stopped_until_it_is_restarted(stage: Stage, config: str) -> None:
    stage.prepare(config)
    stage.caller.start_job("stop", "stop", {})
    assert stage.finish("stop")["state"] == "DONE"
    stage.wait_status("shutdown")
    stage.guest.kill_agent()
    stage.begin()
    stage.wait_status("shutdown")
    assert marked_processes(stage.guest.instance_id) == []
    stage.caller.start_job("restart", "restart", {})
    assert stage.finish("restart")["state"] == "DONE"
    stage.wait_status("healthy")
    assert stage.conductor.last_heartbeat()["restarts"] == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_ends_leaves_the_server_to_the_next_one(stage: Stage, config: str, number: int) -> None:
    stage.prepare(config)
    pid = stage.guest.server_pid()
    stage.guest.kill_agent(number)
    assert stage.guest.server_pid() == pid
    stage.begin()
    stage.wait_status("healthy")
    assert stage.guest.server_pid() == pid
    assert stage.caller.list_users(10).items == ()


def test_a_job_cut_off_by_the_agents_death_is_finished_by_the_next_one(
    guest: Machine, valkey: ValkeyServer, config: str, spec: Spec
) -> None:
    guest.template = None
    with staged(guest, valkey) as stage:
        args = {"config": config, **accounts(spec, PASSWORD)}
        stage.caller.start_job("create", "prepare", args)
        wait_for(lambda: list((guest.root / "config/agent/jobs").glob("create.json")), "the job on disk")
        guest.kill_agent()
        assert json.loads((guest.root / "config/agent/jobs/create.json").read_text())["state"] == "RUNNING"
        stage.begin()
        assert stage.finish("create")["state"] == "DONE"
        assert [one.name for one in stage.caller.list_users(10).items] == ["app"]
        assert_no_secret(guest)


def test_the_server_can_be_stopped_without_an_agent_and_comes_back_with_it(stage: Stage, config: str) -> None:
    stage.prepare(config)
    stage.guest.kill_agent(signal.SIGTERM)
    for _ in range(2):
        done = subprocess.run(
            agent_command("--config-dir", str(stage.bootstrap), "--stop"), check=False, capture_output=True, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        assert marked_processes(stage.guest.instance_id) == []
    stage.begin()
    stage.wait_status("healthy")
    assert stage.conductor.last_heartbeat()["restarts"] == 0


@pytest.mark.manager("mariadb")
def test_reports_go_on_when_the_bus_was_away(stage: Stage, config: str, valkey: ValkeyServer) -> None:
    stage.prepare(config)
    valkey.kill()
    valkey.start()
    stage.conductor.clear()
    wait_for(stage.conductor.statuses, "a heartbeat after the bus came back")


def assert_no_secret(guest: Machine) -> None:
    for path, content in contents(*(guest.root / name for name in ("config", "log", "run", "agent.log"))):
        assert PASSWORD.encode() not in content, path
