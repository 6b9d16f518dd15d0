"""A full volume is told, not hidden, and nothing is lost by it. Needs the right to mount a small file system."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.conformance.engine.conftest import Build
from tests.support.editions import Edition
from tests.support.guests import UID, marked_processes, wait_for
from tests.support.served_store import Store
from tests.support.servers import PASSWORD, Server

from trove.core.accounts import User
from trove.core.errors import GuestError
from trove.core.manifests import manifest_name
from trove.core.status import ServiceStatus
from trove.core.units import MIB
from trove.datastores.contract import Facet

ROOM_MIB = 140
"""What is free on a volume beside a new data directory."""


@contextmanager
def mounted(server: Server, mib: int) -> Iterator[None]:
    """Give a machine a volume of that size. Its worker has a view of its own of what is mounted, so it gets another one."""
    server.worker.kill()
    volume = server.guest.root / "volume"
    volume.mkdir(exist_ok=True)
    options = f"size={mib}m,mode=0700,uid={UID},gid={UID}"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(volume)], check=False, capture_output=True)
    if os.geteuid() != 0 or done.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        server.worker = server.guest.worker()
        yield
    finally:
        server.guest.stop_all()

        def unmounted() -> bool:
            return subprocess.run(["umount", str(volume)], check=False, capture_output=True).returncode == 0

        wait_for(unmounted, "unmounting")


@pytest.fixture
def template_mib(edition: Edition, templates: Callable[[Edition], Path]) -> int:
    """Return what a new data directory takes."""
    files = [path.lstat() for path in templates(edition).rglob("*")]
    return 1 + sum(max(each.st_size, each.st_blocks * 512) for each in files) // MIB


@pytest.fixture
def small(build: Build, template_mib: int) -> Iterator[Server]:
    made = build()
    with mounted(made, template_mib + ROOM_MIB):
        yield made


def kill_all(server: Server) -> None:
    """Kill the database server, whatever its driver is doing."""
    for pid in marked_processes(server.guest.instance_id):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def fill(server: Server) -> Path:
    """Leave no byte free on the volume; return the file that does it."""
    ballast = server.guest.root / "volume" / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(MIB)):
            pass
    return ballast


@pytest.mark.facet(Facet.USERS)
def test_a_full_volume_is_blocked_and_recovers(small: Server) -> None:
    small.prepare()
    assert small.call("probe") is ServiceStatus.HEALTHY
    tenant = small.new_tenant()
    with closing(small.connect(tenant)) as session:
        session.put("early", "value")
    ballast = fill(small)
    assert small.call("probe") is ServiceStatus.BLOCKED
    with pytest.raises(GuestError, match="full"):
        small.call("create_users", [User(name="late", password=PASSWORD)])
    usage = small.worker.call("host.usage")
    assert usage.total - usage.used < MIB
    ballast.unlink()
    wait_for(lambda: small.call("probe") is ServiceStatus.HEALTHY, "recovery")
    with closing(small.connect(tenant)) as session:
        session.put("late", "value")
        assert session.keys() == {"early", "late"}
    small.call("create_users", [User(name="late", password=PASSWORD)])


@pytest.mark.facet(Facet.USERS)
def test_a_server_killed_on_a_full_volume_comes_back_with_its_rows_when_there_is_room(small: Server) -> None:
    small.prepare()
    tenant = small.new_tenant()
    with closing(small.connect(tenant)) as session:
        session.put("early", "value")
    ballast = fill(small)
    small.kill()
    # Some servers give up when they start, others wait for room, and look for it once a minute: those are killed again.
    ended = threading.Event()
    later = threading.Timer(3.0, lambda: (ballast.unlink(), ended.is_set() or kill_all(small)))
    later.start()
    with suppress(GuestError):
        small.call("start")
    ended.set()
    later.join()
    small.call("start")
    wait_for(lambda: small.call("probe") is ServiceStatus.HEALTHY, "recovery")
    with closing(small.connect(tenant)) as session:
        assert session.get("early") == "value"


def test_prepare_on_a_full_volume_says_so(small: Server) -> None:
    ballast = fill(small)
    with pytest.raises(GuestError, match="full"):
        small.prepare()
    ballast.unlink()
    small.prepare()
    assert small.call("probe") is ServiceStatus.HEALTHY


@pytest.mark.facet(Facet.BACKUPS, Facet.USERS)
def test_a_restore_that_does_not_fit_says_so_and_leaves_nothing(
    fresh: Server, build: Build, template_mib: int, store: Store
) -> None:
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.fill(24)
    backup = store.back_up(fresh)
    small = build()
    with mounted(small, template_mib + 2 * ROOM_MIB):
        ballast = small.guest.root / "volume" / "ballast"
        with ballast.open("wb") as file:
            usage = small.worker.call("host.usage")
            os.posix_fallocate(file.fileno(), 0, usage.total - usage.used - 10 * MIB)
        with pytest.raises(GuestError, match=r"(?i)full|space"):
            store.restore(small, backup)
        ballast.unlink()
        assert small.worker.call("host.usage").used < 5 * MIB
        store.restore(small, backup)
        small.prepare()
        small.connect(tenant).close()


@pytest.mark.facet(Facet.BACKUPS, Facet.USERS)
def test_a_backup_on_a_full_volume_is_whole_or_says_so(small: Server, build: Build, store: Store) -> None:
    small.prepare()
    tenant = small.new_tenant()
    with closing(small.connect(tenant)) as session:
        session.put("key", "value")
    ballast = fill(small)
    job = store.job(small.edition)
    try:
        small.worker.call("back_up", job)
    except GuestError as error:
        words = error.message
    else:
        words = None
    ballast.unlink()
    assert store.holds(manifest_name(job["backup_id"])) is (words is None)
    assert words is None or any(word in words.lower() for word in ("full", "space")), words
    wait_for(lambda: small.call("probe") is ServiceStatus.HEALTHY, "recovery")
    other = build()
    store.restore(other, store.back_up(small))
    other.prepare()
    with closing(other.connect(tenant)) as session:
        assert session.get("key") == "value"
