"""The memory that the local cloud has for servers."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from trove.cloud.flavors import DEFAULT_FLAVORS
from trove.cloud.local.capacity import Capacity, machine_memory_mib
from trove.cloud.local.settings import LocalCloudSettings
from trove.core.errors import CloudError
from trove.core.flavors import Flavor

TINY = Flavor(id="1", name="db.tiny", ram_mib=256, vcpus=1)


@pytest.fixture
def servers(tmp_path: Path) -> Path:
    path = tmp_path / "servers"
    path.mkdir()
    return path


def capacity_for(servers: Path, count: int) -> Capacity:
    """Return a capacity for this many servers of the flavor."""
    overcommit = (count + 0.5) * TINY.ram_mib / machine_memory_mib()
    return Capacity(servers, servers.with_name("capacity.lock"), overcommit=overcommit)


def make(servers: Path, name: str) -> None:
    (servers / name).mkdir()
    (servers / name / "server.json").write_text(json.dumps({"ram_mib": TINY.ram_mib}))


def test_what_does_not_fit_is_refused_with_the_figures(servers: Path) -> None:
    capacity = capacity_for(servers, 2)
    for name in ("one", "two"):
        with capacity.room_for(TINY):
            make(servers, name)
    with pytest.raises(CloudError, match=r"^No valid host: db.tiny needs 256 MiB of memory; .* 512 MiB are taken\.$"):
        capacity.room_for(TINY).__enter__()
    (servers / "one" / "server.json").unlink()
    with capacity.room_for(TINY):
        pass


def test_a_server_that_changes_takes_only_the_difference_and_shrinking_always_fits(servers: Path) -> None:
    twice = replace(TINY, ram_mib=2 * TINY.ram_mib)
    capacity = capacity_for(servers, 2)
    make(servers, "one")
    with capacity.room_for(twice, instead_of_mib=TINY.ram_mib):
        pass
    make(servers, "two")
    with pytest.raises(CloudError, match="No valid host"):
        capacity.room_for(twice, instead_of_mib=TINY.ram_mib).__enter__()
    make(servers, "three")
    with capacity.room_for(replace(TINY, ram_mib=200), instead_of_mib=TINY.ram_mib):
        pass


def test_many_at_once_never_take_more_than_there_is(servers: Path) -> None:
    capacity, refused = capacity_for(servers, 5), []

    def create(name: str) -> None:
        try:
            with capacity.room_for(TINY):
                make(servers, name)
        except CloudError as error:
            refused.append(error)

    threads = [threading.Thread(target=create, args=(f"server-{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(list(servers.iterdir())), len(refused)) == (5, 15)


def test_nobody_takes_what_somebody_is_just_taking(servers: Path) -> None:
    capacity, outcome = capacity_for(servers, 1), []
    looked = threading.Event()

    def take_too() -> None:
        try:
            with capacity.room_for(TINY):
                outcome.append("taken")
        except CloudError:
            outcome.append("refused")
        looked.set()

    other = threading.Thread(target=take_too)
    with capacity.room_for(TINY):
        other.start()
        assert not looked.wait(0.3)
        make(servers, "one")
    other.join()
    assert outcome == ["refused"]


def test_ruins_and_damaged_records_take_nothing(servers: Path) -> None:
    (servers / "ruin").mkdir()
    (servers / "damaged").mkdir()
    (servers / "damaged" / "server.json").write_text("{")
    with capacity_for(servers, 1).room_for(TINY):
        pass


def test_no_limit_asks_nothing(servers: Path) -> None:
    with Capacity(servers / "missing", servers / "no" / "lock", overcommit=0).room_for(TINY):
        pass


def test_ten_small_instances_fit_on_four_gib_by_default() -> None:

    small = next(flavor for flavor in DEFAULT_FLAVORS if flavor.name == "db.small")
    assert 10 * small.ram_mib <= 3800 * LocalCloudSettings(state_dir=Path("/"), agent_command=("x",)).memory_overcommit
