"""What every cloud promises, on every cloud."""

import pytest
from tests.conformance.cloud.conftest import Form
from tests.support.clouds import eventually, make_spec

from trove.cloud.contract import Leftovers, NicRequest
from trove.core.errors import CloudError, InvalidInput, NotFound, Unavailable
from trove.core.ids import new_id
from trove.core.instances import Access
from trove.core.status import ServerStatus


def build(form: Form, instance_id: str, **changes: object) -> None:
    form.cloud.ensure_volume(instance_id, size_gib=1, volume_type=None)
    form.cloud.ensure_port(instance_id, NicRequest(), None, (3306,))
    form.cloud.ensure_server(make_spec(instance_id, **changes))
    built(form, instance_id)


def built(form: Form, instance_id: str) -> None:
    """Wait for a cloud that takes its time to build a server."""
    eventually(lambda: form.cloud.find_server(instance_id).status is not ServerStatus.BUILD, "the server is built", 120)


def destroy(form: Form, instance_id: str) -> None:
    form.cloud.delete_server(instance_id)
    form.cloud.delete_volume(instance_id)
    form.cloud.delete_port(instance_id)


def test_flavors_come_by_memory_and_one_by_its_id(form: Form) -> None:
    flavors = form.cloud.flavors()
    assert [flavor.ram_mib for flavor in flavors] == sorted(flavor.ram_mib for flavor in flavors)
    assert form.cloud.flavor(flavors[0].id) == flavors[0]
    with pytest.raises(NotFound):
        form.cloud.flavor("nope")


def test_a_whole_life(form: Form) -> None:
    one = new_id()
    build(form, one)
    server = form.cloud.find_server(one)
    assert server is not None
    assert (server.instance_id, server.name, server.status, server.fault) == (one, "one", ServerStatus.ACTIVE, None)
    assert form.cloud.leftovers() == Leftovers(servers=(one,), volumes=(one,), ports=(one,))
    for _ in range(2):
        form.cloud.stop_server(one, timeout_s=10)
        assert form.cloud.find_server(one).status is ServerStatus.SHUTDOWN
    for _ in range(2):
        assert form.cloud.start_server(one).status is ServerStatus.ACTIVE
    for _ in range(2):
        destroy(form, one)
    assert form.cloud.find_server(one) is None
    assert form.cloud.leftovers() == Leftovers(servers=(), volumes=(), ports=())


def test_a_volume_is_found_by_its_instance(form: Form) -> None:
    one = new_id()
    assert form.cloud.find_volume(one) is None
    made = form.cloud.ensure_volume(one, size_gib=1, volume_type=None)
    assert form.cloud.find_volume(one) == made
    form.cloud.ensure_port(one, NicRequest(), None, (3306,))
    form.cloud.ensure_server(make_spec(one))
    built(form, one)
    assert form.cloud.find_volume(one).attached
    destroy(form, one)
    assert form.cloud.find_volume(one) is None


def test_ensuring_twice_gives_the_same(form: Form) -> None:
    one = new_id()
    volumes = [form.cloud.ensure_volume(one, size_gib=size, volume_type=None) for size in (1, 2)]
    assert volumes[0] == volumes[1]
    assert (volumes[0].size_gib, volumes[0].attached) == (1, False)
    ports = [form.cloud.ensure_port(one, NicRequest(), Access(is_public=False), (3306,)) for _ in range(2)]
    assert ports[0] == ports[1]
    first = form.cloud.ensure_server(make_spec(one))
    built(form, one)
    assert form.cloud.ensure_server(make_spec(one)).id == first.id
    assert form.cloud.ensure_volume(one, size_gib=1, volume_type=None).attached


def test_a_stopped_server_stays_stopped_when_ensured(form: Form) -> None:
    one = new_id()
    build(form, one)
    form.cloud.stop_server(one, timeout_s=10)
    assert form.cloud.ensure_server(make_spec(one)).status is ServerStatus.SHUTDOWN


def test_every_instance_has_its_own_address(form: Form) -> None:
    ids = [new_id() for _ in range(5)]
    addresses = [form.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses[0].address for one in ids]
    assert len(set(addresses)) == 5
    form.cloud.delete_port(ids[0])
    again = form.cloud.ensure_port(ids[0], NicRequest(ip_address=addresses[0]), None, (3306,))
    assert again.addresses[0].address == addresses[0]
    with pytest.raises(CloudError, match="taken"):
        form.cloud.ensure_port(new_id(), NicRequest(ip_address=addresses[1]), None, (3306,))


def test_a_server_needs_its_port_first(form: Form) -> None:
    with pytest.raises(CloudError, match="port"):
        form.cloud.ensure_server(make_spec(new_id()))


def test_a_volume_in_use_is_not_deleted(form: Form) -> None:
    one = new_id()
    build(form, one)
    with pytest.raises(Unavailable, match="attached"):
        form.cloud.delete_volume(one)
    form.cloud.delete_server(one)
    form.cloud.delete_volume(one)


def test_what_is_missing_is_told(form: Form) -> None:
    assert form.cloud.find_server(new_id()) is None
    with pytest.raises(NotFound):
        form.cloud.start_server(new_id())
    with pytest.raises(NotFound):
        form.cloud.stop_server(new_id(), timeout_s=1)
    destroy(form, new_id())


def test_wrong_volumes_are_refused(form: Form) -> None:
    with pytest.raises(InvalidInput, match="size"):
        form.cloud.ensure_volume(new_id(), size_gib=0, volume_type=None)
    with pytest.raises(CloudError, match="gold"):
        form.cloud.ensure_volume(new_id(), size_gib=1, volume_type="gold")
    kind = form.cloud.volume_types()[0]
    assert form.cloud.ensure_volume(new_id(), size_gib=1, volume_type=kind).type == kind


def test_a_server_may_live_without_a_volume(form: Form) -> None:
    one = new_id()
    form.cloud.ensure_port(one, NicRequest(), None, (3306,))
    form.cloud.ensure_server(make_spec(one))
    built(form, one)
    assert form.cloud.find_server(one).status is ServerStatus.ACTIVE
    destroy(form, one)
    assert form.cloud.leftovers() == Leftovers(servers=(), volumes=(), ports=())


def test_a_volume_grows_and_never_shrinks(form: Form) -> None:
    one = new_id()
    build(form, one)
    for size_gib, size_then in ((2, 2), (2, 2), (1, 2)):
        assert form.cloud.grow_volume(one, size_gib=size_gib).size_gib == size_then
        volume = form.cloud.find_volume(one)
        assert (volume.size_gib, volume.attached) == (size_then, True)
        assert form.cloud.find_server(one).status is ServerStatus.ACTIVE
    with pytest.raises(NotFound):
        form.cloud.grow_volume(new_id(), size_gib=2)


def test_a_volume_grows_under_a_server_that_is_stopped_and_stays_so(form: Form) -> None:
    one = new_id()
    build(form, one)
    form.cloud.stop_server(one, timeout_s=10)
    assert form.cloud.grow_volume(one, size_gib=2).size_gib == 2
    assert form.cloud.find_server(one).status is ServerStatus.SHUTDOWN
    assert form.cloud.start_server(one).status is ServerStatus.ACTIVE


def test_a_server_changes_its_flavor_and_back(form: Form) -> None:
    one = new_id()
    build(form, one)
    old, new = form.cloud.find_server(one).flavor_id, form.cloud.flavors()[1]
    assert old == form.cloud.flavors()[0].id
    for flavor in (new, new, form.cloud.flavor(old)):
        assert form.cloud.resize_server(one, flavor).flavor_id == flavor.id
        server = form.cloud.find_server(one)
        assert (server.flavor_id, server.status) == (flavor.id, ServerStatus.ACTIVE)
    with pytest.raises(NotFound):
        form.cloud.resize_server(new_id(), new)


def test_access_is_opened_anew_on_the_same_address(form: Form) -> None:
    one = new_id()
    with pytest.raises(NotFound):
        form.cloud.update_access(one, Access(), (3306,))
    port = form.cloud.ensure_port(one, NicRequest(), Access(), (3306,))
    public = form.name != "openstack"  # the one under test has no public network
    for access in (Access(is_public=public, allowed_cidrs=("10.0.0.0/8",)), None, None):
        assert form.cloud.update_access(one, access, (3306,)) == port
    assert form.cloud.ensure_port(one, NicRequest(), None, (3306,)) == port
    form.cloud.delete_port(one)


def test_a_nic_that_cannot_be_is_refused_before_anything_is_reserved(form: Form) -> None:
    form.cloud.check_nic(NicRequest(), "project")
    with pytest.raises(InvalidInput, match="port-id"):
        form.cloud.check_nic(NicRequest(port_id=new_id()), "project")
    assert form.cloud.leftovers().ports == ()
