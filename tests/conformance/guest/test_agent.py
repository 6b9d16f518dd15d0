"""The agent on a machine of its own: root, with the rights of its unit, beside a server of another user on a real volume."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.agent_stage import Stage, staged
from tests.support.dialects import Tenant, dialect
from tests.support.guests import wait_for
from tests.support.servers import PASSWORD, accounts
from tests.support.valkey import ValkeyServer
from tests.support.virtual_machines import USER, Disk, VirtualMachine, tool, virtual_machine

from trove.core.errors import GuestError
from trove.datastores.contract import ConfigInputs, Facet
from trove.datastores.registry import spec


@contextmanager
def written(stage: Stage, machine: VirtualMachine) -> Iterator[None]:
    """Log in as the tenant whom the instance was made with, and write before and read after the block."""
    tenant = Tenant(name="app", password=PASSWORD, database="shop" if Facet.DATABASES in spec(machine.manager).facets else None)
    with closing(dialect(machine.manager).connect(machine.address, tenant)) as session:
        session.put("colour", "green")
    yield
    stage.wait_status("healthy")
    with closing(dialect(machine.manager).connect(machine.address, tenant)) as session:
        assert session.get("colour") == "green"


def config(machine: VirtualMachine) -> str:
    inputs = ConfigInputs(instance_id=machine.instance_id, version=machine.version, ram_mib=512)
    return spec(machine.manager).render_config(inputs)


def prepared(stage: Stage, machine: VirtualMachine) -> None:
    job = stage.prepare(config(machine), **accounts(spec(machine.manager)))
    assert (job["state"], job["error"]) == ("DONE", None), (machine.root / "agent.log").read_text()
    stage.wait_status("healthy")


@pytest.mark.parametrize("manager", ["mariadb", "postgresql", "redis"])
def test_an_instance_lives_through_whatever_its_machine_does(manager: str, valkey: ValkeyServer) -> None:
    with virtual_machine(manager) as machine, staged(machine, valkey) as stage:
        prepared(stage, machine)
        assert_confined(machine)
        with written(stage, machine):  # its agent is killed, and the next one finds the server as it is
            pid = machine.server_pid()
            machine.kill_agent()
            stage.begin()
            stage.wait_status("healthy")
            assert machine.server_pid() == pid
        with written(stage, machine):  # it restarts, and its disk has another name after that
            machine.shut_down()
            assert machine.disk is not None
            machine.disk.unplug()
            with other_disk(machine.root) as first:
                machine.disk.plug()
                assert machine.disk.device != first.device
                stage.begin()
                stage.wait_status("healthy")
            assert stage.conductor.last_heartbeat()["restarts"] == 0
        with written(stage, machine):  # it is made anew, and its volume is kept
            machine.shut_down()
            machine.rebuild()
            stage.begin()
            job = stage.prepare(config(machine))
            assert (job["state"], job["error"]) == ("DONE", None)
        assert PASSWORD not in (machine.root / "agent.log").read_text()
        assert valkey.password not in (machine.root / "agent.log").read_text()


def assert_confined(machine: VirtualMachine) -> None:
    """The server is nobody's, with no right that it could regain, and on its volume; what the agent knows is out of reach."""
    pid = machine.server_pid()
    told = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert set(told["Uid"].split()) == set(told["Gid"].split()) == {str(USER)}
    assert told["Groups"].split() == []
    assert {int(told[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {0}
    assert told["NoNewPrivs"] == "1"
    data = machine.mounted / "data"
    assert machine.is_mounted()
    foreign = [path for path in (data, *data.rglob("*")) if path.lstat().st_uid != USER]
    assert foreign == []
    for secret in (machine.root / "conf.d", machine.private):
        assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o700)


@contextmanager
def other_disk(folder: Path) -> Iterator[Disk]:
    """Have another disk take the name that is free."""
    disk = Disk(folder, size_mib=1)
    try:
        yield disk
    finally:
        disk.remove()


def test_a_volume_of_somebody_else_is_left_as_it_is_and_the_reason_is_told(valkey: ValkeyServer) -> None:
    with virtual_machine("redis") as machine:
        assert machine.disk is not None
        tool("mkfs.ext4", "-q", str(machine.disk.device))
        before = digest(machine.disk)
        with staged(machine, valkey) as stage:
            stage.wait_status("failed to spawn")
            job = stage.prepare(config(machine))
            assert job["state"] == "FAILED"
            assert "not of this instance (ext4" in job["error"]
            stage.caller.rpc_ping()
            with pytest.raises(GuestError, match="left as it is"):
                stage.caller.is_root_enabled()
        assert digest(machine.disk) == before
        assert machine.server_pid() is None
        assert not machine.is_mounted()
        assert not (machine.mounted / "data").exists()


def test_without_a_volume_the_data_are_on_the_disk_of_the_machine(valkey: ValkeyServer) -> None:
    with virtual_machine("redis", disk=False) as machine, staged(machine, valkey) as stage:
        prepared(stage, machine)
        assert (machine.mounted / "data").stat().st_uid == USER
        with written(stage, machine):
            machine.shut_down()
            stage.begin()


def digest(disk: Disk) -> str:
    tool("sync")
    with disk.image.open("rb") as file:
        found = sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def test_a_volume_that_grew_is_filled(valkey: ValkeyServer) -> None:
    with virtual_machine("redis") as machine, staged(machine, valkey) as stage:
        assert machine.disk is not None
        prepared(stage, machine)
        with written(stage, machine):
            machine.disk.grow(1024)
            stage.caller.start_job("grow", "grow_volume", {"size_gib": 1})
            job = stage.finish("grow")
            if job["state"] == "FAILED":
                # Some machines keep the right to this even from root; there the next start does it.
                assert "Permission denied to resize filesystem" in job["error"], job
                machine.shut_down()
                stage.begin()
                stage.wait_status("healthy")
            wait_for(lambda: stage.conductor.last_heartbeat()["volume_total_bytes"] > 700 << 20, "the new size")
            stage.caller.start_job("grow-more", "grow_volume", {"size_gib": 1})
            assert stage.finish("grow-more")["state"] == "DONE"
