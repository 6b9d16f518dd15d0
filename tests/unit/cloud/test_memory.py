"""The cloud in memory: faults to order, and what it remembers."""

import threading

import pytest
from tests.support.clouds import make_spec

from trove.cloud.contract import NicRequest, ServerSpec
from trove.cloud.memory import MemoryCloud
from trove.core.errors import CloudError, InvalidInput, NotFound, Unavailable
from trove.core.ids import new_id
from trove.core.instances import Address
from trove.core.status import ServerStatus


def booted(cloud: MemoryCloud) -> str:
    one = new_id()
    cloud.ensure_port(one, NicRequest(), None, (3306,))
    cloud.ensure_server(make_spec(one))
    return one


def test_an_ordered_fault_hits_the_next_calls_only() -> None:
    cloud = MemoryCloud()
    cloud.order_fault("ensure_volume", CloudError("no space"), times=2)
    one = new_id()
    for _ in range(2):
        with pytest.raises(CloudError, match="no space"):
            cloud.ensure_volume(one, size_gib=1, volume_type=None)
    assert cloud.leftovers().volumes == ()
    cloud.ensure_volume(one, size_gib=1, volume_type=None)
    assert cloud.leftovers().volumes == (one,)


def test_a_fault_may_come_after_the_deed() -> None:
    cloud = MemoryCloud()
    cloud.order_fault("ensure_volume", Unavailable("time-out"), after=True)
    one = new_id()
    with pytest.raises(Unavailable):
        cloud.ensure_volume(one, size_gib=1, volume_type=None)
    assert cloud.leftovers().volumes == (one,)


def test_a_lasting_fault_can_be_taken_back() -> None:
    cloud = MemoryCloud()
    cloud.order_fault("find_server", Unavailable("down"), times=None)
    for _ in range(3):
        with pytest.raises(Unavailable):
            cloud.find_server(new_id())
    cloud.clear_faults()
    assert cloud.find_server(new_id()) is None


def test_an_unknown_verb_cannot_be_ordered() -> None:
    with pytest.raises(InvalidInput):
        MemoryCloud().order_fault("make_coffee")


def test_a_delayed_verb_does_not_hold_up_the_others() -> None:
    cloud = MemoryCloud()
    release = threading.Event()
    cloud.order_fault("ensure_volume", delay_s=0.2)
    worker = threading.Thread(target=lambda: (cloud.ensure_volume(new_id(), size_gib=1, volume_type=None), release.set()))
    worker.start()
    cloud.flavors()
    assert not release.is_set()
    worker.join()
    assert release.is_set()


def test_a_broken_server_tells_its_fault_and_can_be_started_again() -> None:
    cloud = MemoryCloud()
    one = booted(cloud)
    cloud.break_server(one, "no valid host")
    server = cloud.find_server(one)
    assert server is not None
    assert (server.status, server.fault) == (ServerStatus.ERROR, "no valid host")
    assert cloud.start_server(one).status is ServerStatus.ACTIVE
    with pytest.raises(NotFound):
        cloud.break_server(new_id())


def test_names_mean_public_addresses_before_private_ones() -> None:
    cloud, one = MemoryCloud(), new_id()
    private, public = Address(address="10.0.0.5"), Address(address="203.0.113.7", type="public")
    for addresses, meant in (((private,), private), ((private, public), public), ((private,), private)):
        assert cloud.ensure_name(one, addresses).startswith(f"{one}.")
        assert cloud.names == {one: (meant.address,)}
    assert cloud.held_names() == (one,)
    cloud.delete_name(one)
    cloud.delete_name(one)
    assert cloud.held_names() == ()


def test_it_remembers_calls_and_what_was_booted() -> None:
    boots: list[ServerSpec] = []
    cloud = MemoryCloud(on_boot=boots.append)
    one = booted(cloud)
    cloud.ensure_server(make_spec(one))
    assert [verb for verb, _ in cloud.calls] == ["ensure_port", "ensure_server", "ensure_server"]
    assert [spec.instance_id for spec in boots] == [one]
    assert cloud.specs[one].files["guest_info.conf"]
