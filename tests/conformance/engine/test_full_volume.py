"""A full volume is told, not hidden. Needs the right to mount a small file system."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.guests import UID, Machine, machine, wait_for

from trove.core.accounts import Database
from trove.core.errors import GuestError
from trove.core.status import ServiceStatus
from trove.datastores.contract import Spec
from trove.guestagent.host import SandboxKind


@pytest.fixture
def small(spec: Spec, sandbox: SandboxKind, machines: Path, templates: Callable[[str], Path]) -> Iterator[Machine]:
    with machine(machines, spec.manager, templates(spec.manager), sandbox) as made:
        volume = made.root / "volume"
        volume.mkdir()
        options = f"size=200m,mode=0700,uid={UID},gid={UID}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(volume)], check=False, capture_output=True
        )
        if os.geteuid() != 0 or mounted.returncode != 0:
            pytest.skip("mounting is not permitted here")
        try:
            yield made
        finally:
            made.stop_all()
            wait_for(
                lambda: subprocess.run(["umount", str(volume)], check=False, capture_output=True).returncode == 0, "unmounting"
            )


def test_a_full_volume_is_blocked_and_recovers(small: Machine, config: str) -> None:
    worker = small.worker()
    worker.call("prepare", config)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY
    ballast = small.root / "volume" / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass
    assert worker.call("driver.probe") is ServiceStatus.BLOCKED
    with pytest.raises(GuestError, match="full"):
        worker.call("driver.create_databases", [Database(name="late")])
    usage = worker.call("host.usage")
    assert usage.total - usage.used < 1 << 20
    ballast.unlink()
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY
    worker.call("driver.create_databases", [Database(name="late")])


def test_prepare_on_a_full_volume_says_so(small: Machine, config: str) -> None:
    with suppress(OSError), (small.root / "volume" / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass
    with pytest.raises(GuestError, match="full"):
        small.worker().call("prepare", config)
