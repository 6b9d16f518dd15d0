"""The real agent on a real bus beside a real server: what it reports, survives, and leaves alone."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.guests import Machine, agent_command, machine, marked_processes, wait_for
from tests.support.valkey import ValkeyServer, valkey_server

from trove.bus import rpc
from trove.bus.admission import admission
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, Bus, Message
from trove.bus.guest import GuestCaller
from trove.bus.sealing import FixedKeys
from trove.cmd.notify import ALIVE, READY, STOPPING, Listener
from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput, NotFound
from trove.datastores.contract import Spec
from trove.guestagent.host import SandboxKind

PASSWORD = "s3cret-of-the-tenant"


class Conductor:
    """Hears what guests report."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._lock = threading.Lock()

    def hear(self, messages: Sequence[Message]) -> None:
        with self._lock:
            self._messages += messages

    def clear(self) -> None:
        with self._lock:
            self._messages.clear()

    def statuses(self) -> list[str]:
        return [str(message.args["status"]) for message in self._all("heartbeat")]

    def last_heartbeat(self) -> Mapping[str, Any]:
        return self._all("heartbeat")[-1].args

    def job(self, name: str) -> Mapping[str, Any] | None:
        found = [message.args for message in self._all("report_job") if message.args["name"] == name]
        return found[-1] if found else None

    def roots(self) -> list[object]:
        return [message.args["user"] for message in self._all("report_root")]

    def _all(self, method: str) -> list[Message]:
        with self._lock:
            return [message for message in self._messages if message.method == method]


class Stage:
    """One machine with its agent, and the control plane's side of the bus."""

    def __init__(self, guest: Machine, bus: Bus, conductor: Conductor, bootstrap: Path) -> None:
        self.guest = guest
        self.conductor = conductor
        self.bootstrap = bootstrap
        self.caller = GuestCaller(bus, guest.instance_id, timeout_s=30)

    def begin(self) -> None:
        self.conductor.clear()
        self.guest.agent(self.bootstrap)
        wait_for(self.conductor.statuses, "the first heartbeat")

    def finish(self, name: str) -> Mapping[str, Any]:
        def ended() -> Mapping[str, Any] | None:
            job = self.conductor.job(name)
            return job if job is not None and job["state"] != "RUNNING" else None

        found: Mapping[str, Any] = wait_for(ended, f"the end of job {name}")
        return found

    def wait_status(self, status: str) -> None:
        wait_for(lambda: self.conductor.statuses()[-1:] == [status], f"status {status}")

    def prepare(self, config: str, **more: Any) -> Mapping[str, Any]:
        self.caller.start_job("create", "prepare", {"config": config, **more})
        return self.finish("create")


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        server.folder.chmod(0o711)
        yield server


@contextmanager
def staged(guest: Machine, valkey: ValkeyServer) -> Iterator[Stage]:
    keys = FixedKeys({CONTROL: bytes(32), guest.instance_id: guest.key})
    credential = admission(valkey.url, keyring=keys).admit(guest.instance_id)
    bus = rpc.connect(valkey.url, principal=CONTROL, keyring=keys, host_label="test")
    conductor = Conductor()
    try:
        bus.serve_batches(CONDUCTOR_TOPIC, conductor.hear)
        stage = Stage(guest, bus, conductor, guest.write_bootstrap(credential.url, report_interval_s=0.5))
        stage.begin()
        yield stage
    finally:
        bus.close()
        valkey.command("FLUSHALL")


@pytest.fixture
def guest(spec: Spec, machines: Path, templates: Callable[[str], Path]) -> Iterator[Machine]:
    with machine(machines, spec.manager, templates(spec.manager), SandboxKind.AUTO) as made:
        yield made


@pytest.fixture
def stage(guest: Machine, valkey: ValkeyServer) -> Iterator[Stage]:
    with staged(guest, valkey) as made:
        yield made


def test_an_instance_is_prepared_with_all_that_was_asked_for(stage: Stage, config: str, spec: Spec) -> None:
    assert stage.conductor.statuses()[0] == "new"
    databases = [Database(name="shop").to_json(), Database(name="blog").to_json()]
    users = [User(name="app", password=PASSWORD, databases=("shop",)).to_json()]
    job = stage.prepare(config, databases=databases, users=users, root_password=PASSWORD)
    assert (job["state"], job["percent"], job["error"]) == ("DONE", 100, None)
    stage.wait_status("healthy")
    assert "building" in stage.conductor.statuses()
    assert stage.conductor.roots() == [spec.root_name]
    beat = stage.conductor.last_heartbeat()
    assert beat["datastore_version"].startswith(spec.usable_versions)
    assert 0 < beat["volume_used_bytes"] <= beat["volume_total_bytes"]
    assert [one.name for one in stage.caller.list_databases(10).items] == ["blog", "shop"]
    assert stage.caller.get_user("app", "%").databases == ("shop",)
    assert stage.caller.is_root_enabled()


def test_calls_fail_with_errors_of_the_guest(stage: Stage, config: str) -> None:
    stage.prepare(config)
    with pytest.raises(NotFound):
        stage.caller.delete_database("nowhere")
    with pytest.raises(InvalidInput):
        stage.caller.create_database([Database(name="mysql")])
    with pytest.raises(GuestError, match="no method"):
        stage.caller._call("format_disk", {})


def test_a_failed_prepare_is_told_and_leaves_no_secret(stage: Stage, config: str) -> None:
    users = [User(name="app", password=PASSWORD, databases=("nowhere",)).to_json()]
    job = stage.prepare(config, users=users)
    assert job["state"] == "FAILED"
    assert "nowhere" in job["error"]
    stage.wait_status("failed to spawn")
    assert_no_secret(stage.guest)


def test_a_finished_job_is_repeated_until_it_is_forgotten_and_keeps_no_secret(stage: Stage, config: str) -> None:
    stage.prepare(config, root_password=PASSWORD)
    assert_no_secret(stage.guest)
    for _ in range(3):
        stage.conductor.clear()
        wait_for(lambda: stage.conductor.job("create"), "the repeated report")
    stage.caller.start_job("create", "prepare", {"config": config})
    stage.caller.forget_jobs(["create", "unknown"])
    wait_for(lambda: not list((stage.guest.root / "config/agent/jobs").iterdir()), "the job's end")


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
    assert stage.caller.list_databases(10).items == ()


def test_a_job_cut_off_by_the_agents_death_is_finished_by_the_next_one(
    guest: Machine, valkey: ValkeyServer, config: str
) -> None:
    guest.template = None
    with staged(guest, valkey) as stage:
        databases = [Database(name="shop").to_json()]
        users = [User(name="app", password=PASSWORD, databases=("shop",)).to_json()]
        args = {"config": config, "databases": databases, "users": users}
        stage.caller.start_job("create", "prepare", args)
        wait_for(lambda: list((guest.root / "config/agent/jobs").glob("create.json")), "the job on disk")
        guest.kill_agent()
        assert json.loads((guest.root / "config/agent/jobs/create.json").read_text())["state"] == "RUNNING"
        stage.begin()
        assert stage.finish("create")["state"] == "DONE"
        assert stage.caller.get_user("app", "%").databases == ("shop",)
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


def test_reports_go_on_when_the_bus_was_away(stage: Stage, config: str, valkey: ValkeyServer) -> None:
    stage.prepare(config)
    valkey.kill()
    valkey.start()
    stage.conductor.clear()
    wait_for(stage.conductor.statuses, "a heartbeat after the bus came back")


def assert_no_secret(guest: Machine) -> None:
    for path in [
        *(guest.root / "config").rglob("*"),
        *(guest.root / "log").iterdir(),
        *(guest.root / "run").iterdir(),
        guest.root / "agent.log",
    ]:
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
