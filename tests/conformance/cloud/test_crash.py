"""A cloud's caller dies with SIGKILL before any change it makes to the machine; whoever comes next gets the same outcome.

A run tries some of the about 100 points, chosen by chance (pytest-randomly tells the seed); TROVE_TEST_CRASHES=all tries all.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cloud.conftest import assert_nothing_left, processes_of
from tests.support.clouds import (
    NOBODY,
    CloudProcess,
    ProcessDiedError,
    eventually,
    is_root,
    make_settings,
    make_spec,
    state_directory,
)

from trove.cloud.contract import Leftovers, NicRequest
from trove.cloud.local import LocalCloudSettings
from trove.core.flavors import Flavor
from trove.core.ids import new_id
from trove.core.status import ServerStatus

POINTS = 110
SAMPLE = 10


def points(count: int = POINTS) -> Sequence[int]:
    """Return the points to die at; those beyond the last change do no harm."""
    return range(count) if os.environ.get("TROVE_TEST_CRASHES") == "all" else sorted(random.sample(range(count), SAMPLE))


@pytest.fixture(params=["root", "user"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[LocalCloudSettings, int | None]]:
    """Settings and the user id of the cloud's caller."""
    if request.param == "root" and not is_root():
        pytest.skip("needs root")
    uid = NOBODY if request.param == "user" and is_root() else None
    with state_directory() as parent:
        if uid is not None:
            parent.chmod(0o777)
        settings = make_settings(parent / "s")
        try:
            yield settings, uid
        finally:
            cloud = CloudProcess(settings, uid=uid)
            errors = cloud.destroy_all()
            cloud.close()
            assert errors == {}
            assert_nothing_left(settings.state_dir)


def build(cloud: Any, one: str) -> None:
    cloud.ensure_volume(one, size_gib=1, volume_type=None)
    cloud.ensure_port(one, NicRequest(), None, (3306,))
    cloud.ensure_server(make_spec(one))


def destroy(cloud: Any, one: str) -> None:
    cloud.delete_server(one)
    cloud.delete_volume(one)
    cloud.delete_port(one)


def dying(place: tuple[LocalCloudSettings, int | None], step: int, deed: Callable[[Any], None]) -> None:
    """Do something in a process that dies at a point."""
    cloud = CloudProcess(place[0], uid=place[1], die_at=step)
    with suppress(ProcessDiedError):
        deed(cloud)
    cloud.close()


def test_a_build_that_died_anywhere_is_completed(place: tuple[LocalCloudSettings, int | None]) -> None:
    for step in points():
        one = new_id()
        dying(place, step, lambda cloud, one=one: build(cloud, one))
        cloud = CloudProcess(place[0], uid=place[1])
        build(cloud, one)
        data = place[0].state_dir / "volumes" / one / "mount" / "data"
        eventually(lambda data=data: (data / "listening").exists(), f"the server listens after a death in step {step}")
        assert cloud.find_server(one).status is ServerStatus.ACTIVE
        assert (data / "starts").read_text() == "x"
        loops = [line for line in processes_of(place[0].state_dir) if one in line and line.startswith("/bin/sh\0-c")]
        assert len(loops) == 1
        destroy(cloud, one)
        assert cloud.leftovers() == Leftovers(servers=(), volumes=(), ports=())
        cloud.close()


def test_a_build_that_died_anywhere_is_deleted_whole(place: tuple[LocalCloudSettings, int | None]) -> None:
    for step in points():
        one = new_id()
        dying(place, step, lambda cloud, one=one: build(cloud, one))
        cloud = CloudProcess(place[0], uid=place[1])
        destroy(cloud, one)
        assert cloud.leftovers() == Leftovers(servers=(), volumes=(), ports=())
        assert [line for line in processes_of(place[0].state_dir) if one in line] == []
        assert list(place[0].state_dir.rglob(f"*{one}*")) == []
        cloud.close()


def test_a_delete_that_died_anywhere_is_completed(place: tuple[LocalCloudSettings, int | None]) -> None:
    for step in points(50):
        one = new_id()
        cloud = CloudProcess(place[0], uid=place[1])
        build(cloud, one)
        dying(place, step, lambda cloud, one=one: destroy(cloud, one))
        destroy(cloud, one)
        assert cloud.leftovers() == Leftovers(servers=(), volumes=(), ports=())
        assert list(place[0].state_dir.rglob(f"*{one}*")) == []
        cloud.close()


def test_a_stop_or_start_that_died_anywhere_is_completed(place: tuple[LocalCloudSettings, int | None]) -> None:
    cloud = CloudProcess(place[0], uid=place[1])
    one = new_id()
    build(cloud, one)

    def bounce(other: Any) -> None:
        other.stop_server(one, timeout_s=20)
        other.start_server(one)

    data = place[0].state_dir / "volumes" / one / "mount" / "data"
    for step in points(50):
        eventually((data / "listening").exists, "it listens")
        dying(place, step, bounce)
        cloud.stop_server(one, timeout_s=20)
        assert cloud.find_server(one).status is ServerStatus.SHUTDOWN
        assert cloud.start_server(one).status is ServerStatus.ACTIVE
    cloud.close()


def test_a_growth_or_a_change_of_flavor_that_died_anywhere_is_completed(place: tuple[LocalCloudSettings, int | None]) -> None:
    for step in points(60):
        cloud, one = CloudProcess(place[0], uid=place[1]), new_id()
        build(cloud, one)
        data = place[0].state_dir / "volumes" / one / "mount" / "data"
        eventually((data / "listening").exists, "it listens")
        (data / "kept").write_text("rows")
        flavor = cloud.flavor("2")

        def resize(other: Any, one: str = one, flavor: Flavor = flavor) -> None:
            other.grow_volume(one, size_gib=2)
            other.resize_server(one, flavor)

        dying(place, step, resize)
        resize(cloud)
        assert cloud.start_server(one).status is ServerStatus.ACTIVE
        assert cloud.find_volume(one).size_gib == 2
        assert cloud.find_server(one).flavor_id == "2"
        eventually((data / "kept").exists, f"the data are there after a death in step {step}")
        destroy(cloud, one)
        assert cloud.leftovers() == Leftovers(servers=(), volumes=(), ports=())
        cloud.close()


def test_a_reboot_or_a_rebuild_that_died_anywhere_is_completed(place: tuple[LocalCloudSettings, int | None]) -> None:
    cloud, one = CloudProcess(place[0], uid=place[1]), new_id()
    build(cloud, one)
    data = place[0].state_dir / "volumes" / one / "mount" / "data"
    eventually((data / "listening").exists, "it listens")
    (data / "kept").write_text("rows")

    def renew(other: Any) -> None:
        other.reboot_server(one, timeout_s=20)
        other.rebuild_server(make_spec(one))

    def loops() -> list[str]:
        return [line for line in processes_of(place[0].state_dir) if one in line and line.startswith("/bin/sh\0-c")]

    for step in points(100):
        dying(place, step, renew)
        cloud.rebuild_server(make_spec(one))
        assert cloud.reboot_server(one, timeout_s=20).status is ServerStatus.ACTIVE
        eventually((data / "kept").exists, f"the data are there after a death in step {step}")
        # A loop forks before it becomes the agent.
        eventually(lambda: len(loops()) == 1, f"one agent is kept running after a death in step {step}")
        assert cloud.find_volume(one).attached
    cloud.close()


def test_processes_that_allocate_at_once_get_different_things(place: tuple[LocalCloudSettings, int | None]) -> None:
    clouds = [CloudProcess(place[0], uid=place[1]) for _ in range(3)]
    ids = [[new_id() for _ in range(3)] for _ in clouds]
    errors: list[Exception] = []

    def work(cloud: CloudProcess, mine: list[str]) -> None:
        try:
            for one in mine:
                build(cloud, one)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(clouds, ids, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    everyone = [one for mine in ids for one in mine]
    addresses = {clouds[0].ensure_port(one, NicRequest(), None, (3306,)).addresses[0].address for one in everyone}
    assert len(addresses) == 9
    if is_root() and place[1] is None:
        assert len({(place[0].state_dir / "uids" / one).read_text() for one in everyone}) == 9
    for cloud in clouds:
        cloud.close()


def test_processes_that_build_the_same_instance_at_once_make_one(place: tuple[LocalCloudSettings, int | None]) -> None:
    clouds = [CloudProcess(place[0], uid=place[1]) for _ in range(3)]
    one = new_id()
    threads = [threading.Thread(target=build, args=(cloud, one)) for cloud in clouds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts = place[0].state_dir / "volumes" / one / "mount" / "data" / "starts"
    eventually(starts.exists, "the server is started")
    assert starts.read_text() == "x"
    assert len([line for line in processes_of(Path(place[0].state_dir)) if line.startswith("/bin/sh\0-c") and one in line]) == 1
    for cloud in clouds:
        cloud.close()
