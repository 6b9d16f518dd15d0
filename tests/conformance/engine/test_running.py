"""What every engine promises about running: prepare, start, stop, probe, crash, adoption, configuration, wipe."""

import os
import signal
import socket
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.support.editions import Edition
from tests.support.guests import Machine, Worker, marked_processes, wait_for
from tests.support.living_files import contents
from tests.support.servers import Server
from tests.support.workload import Writes

from trove.core.errors import GuestError
from trove.core.status import ServiceStatus
from trove.datastores.contract import Facet, Spec


@pytest.mark.every_edition
@pytest.mark.both_sandboxes
def test_prepare_makes_a_server_that_answers(worker: Worker, guest: Machine, config: str, edition: Edition) -> None:
    steps = worker.call("prepare", config)
    assert [percent for _, percent in steps] == sorted(percent for _, percent in steps)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY
    assert worker.call("driver.version").startswith(edition.version)
    assert edition.version.startswith(edition.spec.usable_versions)
    assert worker.call("host.server_pid") in marked_processes(guest.instance_id)


def test_prepare_twice_keeps_the_server_and_its_data(worker: Worker, config: str) -> None:
    worker.call("prepare", config)
    pid = worker.call("host.server_pid")
    worker.call("prepare", config)
    assert worker.call("host.server_pid") == pid


@pytest.mark.both_sandboxes
def test_prepare_works_without_a_template(guest: Machine, config: str) -> None:
    guest.template = None
    worker = guest.worker()
    worker.call("prepare", config)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY


@pytest.mark.facet(Facet.USERS)
def test_prepare_never_overwrites_data(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.put("key", "value")
    for how in (lambda: fresh.call("stop", timeout_s=30), fresh.kill, fresh.new_agent):
        how()
        fresh.prepare()
        with closing(fresh.connect(tenant)) as session:
            assert session.get("key") == "value"


@pytest.mark.facet(Facet.USERS)
def test_what_was_acknowledged_is_there_after_kills(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    for name in ("first", "second"):
        with Writes(lambda: fresh.connect(tenant), name) as writes:
            writes.await_more(100)
            fresh.kill()
        fresh.call("start")
        with closing(fresh.connect(tenant)) as session:
            assert writes.lost(session) == set()


def test_start_and_stop_may_run_twice(worker: Worker, config: str) -> None:
    worker.call("prepare", config)
    for _ in range(2):
        worker.call("driver.stop", timeout_s=30)
        assert worker.call("driver.probe") is ServiceStatus.SHUTDOWN
        assert worker.call("host.server_pid") is None
    for _ in range(2):
        worker.call("driver.start")
        assert worker.call("driver.probe") is ServiceStatus.HEALTHY


def test_start_before_prepare_says_so(worker: Worker) -> None:
    with pytest.raises(GuestError, match="not prepared"):
        worker.call("driver.start")


@pytest.mark.both_sandboxes
def test_a_killed_server_is_seen_and_starts_again(worker: Worker, config: str) -> None:
    worker.call("prepare", config)
    os.kill(worker.call("host.server_pid"), signal.SIGKILL)
    wait_for(lambda: worker.call("host.server_pid") is None, "the server's death")
    assert worker.call("driver.probe") is ServiceStatus.CRASHED
    assert worker.call("driver.version") is None
    worker.call("driver.start")
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY


@pytest.mark.both_sandboxes
def test_a_server_outlives_its_agent_and_is_adopted(guest: Machine, config: str) -> None:
    first = guest.worker()
    first.call("prepare", config)
    pid = first.call("host.server_pid")
    first.kill()
    second = guest.worker()
    assert second.call("host.server_pid") == pid
    assert second.call("driver.probe") is ServiceStatus.HEALTHY
    second.call("driver.stop", timeout_s=30)
    assert marked_processes(guest.instance_id) == []


def test_a_server_whose_record_was_lost_is_found(guest: Machine, config: str) -> None:
    first = guest.worker()
    first.call("prepare", config)
    pid = first.call("host.server_pid")
    first.kill()
    (guest.root / "config/agent/server.json").unlink()
    assert guest.worker().call("host.server_pid") == pid


def test_a_number_used_by_another_process_is_not_believed(guest: Machine, config: str) -> None:
    worker = guest.worker()
    record = guest.root / "config/agent/server.json"
    worker.call("host.write_file", record, b'{"pid": %d, "started": 1, "boot": "another"}' % os.getpid())
    assert worker.call("host.server_pid") is None
    worker.call("prepare", config)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY


def test_a_broken_configuration_fails_with_the_servers_words(worker: Worker, config: str) -> None:
    with pytest.raises(GuestError, match=r"no.such.option.at.all"):
        worker.call("prepare", config + "\nno_such_option_at_all = 1\n")
    assert worker.call("host.server_pid") is None
    worker.call("driver.write_config", config)
    worker.call("driver.start")


@pytest.mark.facet(Facet.CONFIGURATION)
def test_a_server_is_not_lost_to_a_broken_configuration(worker: Worker, config: str) -> None:
    worker.call("prepare", config)
    worker.call("driver.stop", timeout_s=30)
    worker.call("driver.write_config", config + "\nno_such_option_at_all = 1\n")
    worker.call("driver.start")
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY
    assert "option" in worker.call("driver.refused_config")
    worker.call("driver.write_config", config)
    assert worker.call("driver.refused_config") is None


def test_a_taken_port_is_named(worker: Worker, guest: Machine, config: str, spec: Spec) -> None:
    with socket.create_server((guest.address, spec.tcp_ports[0])), pytest.raises(GuestError, match=r"(?i)in use|bind"):
        worker.call("prepare", config)
    worker.call("prepare", config)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY


@pytest.mark.both_sandboxes
def test_wipe_leaves_nothing_and_may_run_twice(worker: Worker, guest: Machine, config: str) -> None:
    worker.call("prepare", config)
    for _ in range(2):
        worker.call("driver.wipe")
        assert marked_processes(guest.instance_id) == []
        assert list((guest.root / "volume").iterdir()) == []
    worker.call("prepare", config)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY


@pytest.mark.both_sandboxes
def test_the_agents_secrets_are_for_its_user_alone(worker: Worker, guest: Machine, config: str) -> None:
    worker.call("prepare", config)
    for folder, inner, names in os.walk(guest.root / "config"):
        for path in (Path(folder, name) for name in (*inner, *names)):
            with suppress(FileNotFoundError):
                assert path.stat().st_mode & 0o077 == 0, path
    pid = worker.call("host.server_pid")
    seen = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    seen += b"".join(content for _, content in contents(guest.root / "log"))
    for secret in (guest.root / "config/agent").glob("*.password"):
        assert secret.read_bytes() not in seen
