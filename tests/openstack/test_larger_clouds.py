"""What a cloud must have routers, or a second host for; one without says that it was left out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.conformance.cloud.conftest import Form
from tests.conformance.cloud.test_contract import build, destroy
from tests.openstack.conftest import settings_of

from trove.cloud.contract import NicRequest, PortInfo
from trove.cloud.openstack import OpenStackCloud
from trove.core.errors import CloudError
from trove.core.ids import new_id
from trove.core.instances import Access
from trove.core.status import ServerStatus


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A network behind a router, and the public one before it."""

    inside: str
    public: str


@pytest.fixture
def routed(lab: Any) -> Iterator[Routed]:
    if "router" not in {each.alias for each in lab.network.extensions()}:
        pytest.skip("this cloud's Neutron has no routers, so no floating addresses")
    made: list[Any] = []
    router = None
    try:
        for name, cidr, external in (("public", "203.0.113.0/24", True), ("inside", "10.88.0.0/24", False)):
            made.append(
                lab.network.create_network(
                    name=f"{name}-{new_id()}", is_router_external=external, provider_network_type="local"
                )
            )
            subnet = lab.network.create_subnet(network_id=made[-1].id, ip_version=4, cidr=cidr)
        router = lab.network.create_router(external_gateway_info={"network_id": made[0].id})
        lab.network.add_interface_to_router(router, subnet_id=subnet.id)
        yield Routed(public=made[0].id, inside=made[1].id)
    finally:
        if router is not None:
            for port in lab.network.ports(device_id=router.id, device_owner="network:router_interface"):
                lab.network.remove_interface_from_router(router, port_id=port.id)
            lab.network.delete_router(router)
        for network in made:
            lab.network.delete_network(network)


def public_of(port: PortInfo) -> list[str]:
    return [each.address for each in port.addresses if each.type == "public"]


def test_a_public_instance_has_a_floating_address_while_it_is_public(lab: Any, form: Form, routed: Routed) -> None:
    cloud, one = OpenStackCloud(replace(settings_of(lab), public_network=routed.public)), new_id()
    nic, public = NicRequest(network_id=routed.inside), Access(is_public=True)

    def given() -> list[str]:
        return [str(each.floating_ip_address) for each in lab.network.ips(floating_network_id=routed.public)]

    port = cloud.ensure_port(one, nic, public, (3306,))
    assert public_of(port) == given()
    assert len(given()) == 1
    assert cloud.ensure_port(one, nic, public, (3306,)) == port
    assert public_of(cloud.update_access(one, None, (3306,))) == []
    assert given() == []
    assert public_of(cloud.update_access(one, public, (3306,))) == given()
    cloud.delete_port(one)
    assert given() == []


def test_a_port_that_was_there_before_keeps_the_floating_address_it_had(lab: Any, form: Form, routed: Routed) -> None:
    cloud, one = OpenStackCloud(replace(settings_of(lab), public_network=routed.public)), new_id()
    port = lab.network.create_port(network_id=routed.inside, name="his")
    try:
        before = lab.network.create_ip(floating_network_id=routed.public, port_id=port.id)
        made = cloud.ensure_port(one, NicRequest(port_id=port.id), Access(is_public=True), (3306,))
        assert public_of(made) == [before.floating_ip_address]
        assert public_of(cloud.update_access(one, None, (3306,))) == [before.floating_ip_address]
        cloud.delete_port(one)
        assert lab.network.get_ip(before.id).port_id == port.id
        lab.network.delete_ip(before)
    finally:
        lab.network.delete_port(port)


def test_a_server_moves_to_another_host_with_its_volume(form: Form) -> None:
    hosts = {each.name for each in form.cloud.hosts()}
    if len(hosts) < 2:
        pytest.skip("this cloud has one host, so none to migrate to")
    one = new_id()
    build(form, one)
    other = min(hosts - {form.cloud.find_server(one).host})
    for _ in range(2):
        assert form.cloud.migrate_server(one, other).host == other
    assert form.cloud.find_volume(one).attached
    with pytest.raises(CloudError, match="nowhere"):
        form.cloud.migrate_server(one, "nowhere")
    server = form.cloud.find_server(one)
    assert (server.host, server.status) == (other, ServerStatus.ACTIVE)
    destroy(form, one)
