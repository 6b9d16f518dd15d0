"""Ports that were made before the instance: taken as they are, never another tenant's, and left as they were when it goes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import openstack
import pytest
from tests.conformance.cloud.conftest import Form
from tests.conformance.cloud.test_contract import built, destroy
from tests.openstack.accounts import Accounts, accounts
from tests.openstack.conftest import NOTHING, clear, settings_of
from tests.support.clouds import make_spec

from trove.cloud.contract import NicRequest
from trove.cloud.openstack import OpenStackCloud
from trove.core.errors import CloudError, InvalidInput, NotFound
from trove.core.ids import new_id
from trove.core.instances import Access
from trove.core.status import ServerStatus

MakePort = Callable[..., Any]


@pytest.fixture(scope="module")
def both(lab: Any) -> Iterator[Accounts]:
    """The service's own user, who has the least roles, and a tenant."""
    with accounts(lab, trove_url="http://127.0.0.1:1") as made:
        yield made


@pytest.fixture
def form(lab: Any, both: Accounts) -> Iterator[Form]:
    """The cloud, as that user."""
    settings = replace(settings_of(lab), auth=both.service.auth(lab.config.auth["auth_url"]))
    cloud = OpenStackCloud(settings)
    try:
        yield Form(name="openstack", cloud=cloud)
    finally:
        clear(cloud)
    assert cloud.leftovers() == NOTHING


@pytest.fixture
def tenant(lab: Any, both: Accounts) -> Any:
    """A connection of the tenant."""
    auth = both.tenant.auth(lab.config.auth["auth_url"])
    return openstack.connection.Connection(auth=auth, region_name=lab.config.region_name)


@pytest.fixture
def owner(form: Form) -> Any:
    """Neutron, for whom the service's ports are made: its own user, as an operator may be."""
    cloud: Any = form.cloud
    return cloud._connection.network


@pytest.fixture
def network(form: Form) -> str:
    """The network where instances are whose tenants name none."""
    cloud: Any = form.cloud
    return str(cloud._ports._named(cloud._settings.network))


@pytest.fixture
def make_port(form: Form, both: Accounts, owner: Any, network: str) -> Iterator[MakePort]:
    """Return what makes a port for the tenant in the service's project; they go before the cloud is looked over."""
    made = []

    def make(**more: Any) -> Any:
        made.append(owner.create_port(network_id=network, name="his", **more))
        owner.set_tags(made[-1], ["kept", f"trove_project_id_{both.tenant.project_id}"])
        return made[-1]

    yield make
    for port in made:
        owner.delete_port(port)


def as_it_is(owner: Any, port: Any) -> tuple[Any, ...]:
    """Return what a port is like."""
    seen = owner.get_port(port.id)
    return seen.name, set(seen.tags), seen.fixed_ips, sorted(seen.security_group_ids), seen.device_id


def test_an_instance_lives_on_a_port_that_is_left_as_it_was(
    form: Form, both: Accounts, owner: Any, make_port: MakePort
) -> None:
    one, port, project = new_id(), make_port(), both.tenant.project_id
    before, nic = as_it_is(owner, port), NicRequest(port_id=port.id)
    form.cloud.check_nic(nic, project)
    form.cloud.ensure_volume(one, size_gib=1, volume_type=None)
    for _ in range(2):
        info = form.cloud.ensure_port(one, nic, Access(allowed_cidrs=("10.1.0.0/16",)), (3306,))
        assert (info.id, [each.address for each in info.addresses]) == (port.id, [port.fixed_ips[0]["ip_address"]])
    assert form.cloud.leftovers().ports == (one,)
    form.cloud.ensure_server(make_spec(one))
    built(form, one)
    server = form.cloud.find_server(one)
    assert server.status is ServerStatus.ACTIVE, server.fault
    (group,) = owner.security_groups(name=f"trove_sg-{one}")
    name, tags, addresses, groups, device = as_it_is(owner, port)
    assert (name, addresses, device) == (before[0], before[2], server.id)
    assert tags == before[1] | {"trove_instance", f"trove_instance_id_{one}"}
    assert groups == sorted([*before[3], group.id])
    form.cloud.update_access(one, Access(allowed_cidrs=("10.2.0.0/16",)), (3306,))
    rules = owner.security_group_rules(security_group_id=group.id, direction="ingress")
    assert [each.remote_ip_prefix for each in rules] == ["10.2.0.0/16"]
    for _ in range(2):
        destroy(form, one)
        assert as_it_is(owner, port) == before
    form.cloud.check_nic(nic, project)


def test_a_port_that_an_instance_cannot_have_is_refused_by_its_field(
    form: Form, lab: Any, tenant: Any, owner: Any, make_port: MakePort, network: str
) -> None:
    project, port = tenant.current_project_id, make_port()
    own, hers, ours = NicRequest(port_id=port.id), tenant.network.create_port(network_id=network), make_port()
    owner.set_tags(ours, [])
    try:
        for nic, whose, words in (
            (NicRequest(port_id=new_id()), project, "port-id.*cannot be found"),
            (own, lab.current_project_id, "port-id.*cannot be found"),
            (NicRequest(port_id=ours.id), project, "port-id.*cannot be found"),
            (NicRequest(port_id=hers.id), project, "port-id.*Nova gives no port of your project"),
            (NicRequest(port_id=make_port(fixed_ips=[]).id), project, "port-id.*has no address"),
            (NicRequest(port_id=make_port(device_id="router").id), project, "port-id.*is in use"),
            (replace(own, network_id=new_id()), project, "network_id.*not that of the port"),
            (replace(own, subnet_id=new_id()), project, "subnet_id.*not that of the port"),
            (replace(own, ip_address="10.99.0.1"), project, "ip_address.*not that of the port"),
        ):
            with pytest.raises(InvalidInput, match=words):
                form.cloud.check_nic(nic, whose)
        fixed = port.fixed_ips[0]
        agreed = replace(own, network_id=network, subnet_id=fixed["subnet_id"], ip_address=fixed["ip_address"])
        form.cloud.check_nic(agreed, project)
    finally:
        tenant.network.delete_port(hers)


def test_one_port_serves_one_instance(form: Form, both: Accounts, make_port: MakePort) -> None:
    one, two, port = new_id(), new_id(), make_port()
    nic = NicRequest(port_id=port.id)
    form.cloud.ensure_port(one, nic, None, (3306,))
    with pytest.raises(InvalidInput, match=r"port-id.*another instance's"):
        form.cloud.check_nic(nic, both.tenant.project_id)
    with pytest.raises(CloudError, match="another instance's"):
        form.cloud.ensure_port(two, nic, None, (3306,))
    form.cloud.delete_port(two)
    assert form.cloud.ensure_port(one, nic, None, (3306,)).id == port.id
    form.cloud.delete_port(one)


def test_what_a_tenant_writes_on_his_ports_makes_none_an_instances(form: Form, tenant: Any, network: str) -> None:
    one = new_id()
    his = tenant.network.create_port(network_id=network, name=f"trove-{one}")
    try:
        tenant.network.set_tags(his, ["trove_instance", f"trove_instance_id_{one}"])
        assert form.cloud.leftovers().ports == ()
        with pytest.raises(NotFound):
            form.cloud.update_access(one, None, (3306,))
        assert form.cloud.ensure_port(one, NicRequest(), None, (3306,)).id != his.id
        form.cloud.delete_port(one)
        assert tenant.network.get_port(his.id).name == f"trove-{one}"
    finally:
        tenant.network.delete_port(his)


def test_a_taker_who_died_before_the_port_was_his_finishes_it(
    form: Form, owner: Any, make_port: MakePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, port = new_id(), make_port()
    nic, before = NicRequest(port_id=port.id), as_it_is(owner, port)
    with monkeypatch.context() as patched:
        patched.setattr(type(owner), "update_port", _dies)
        with pytest.raises(SystemError):
            form.cloud.ensure_port(one, nic, None, (3306,))
    assert form.cloud.leftovers().ports == (one,)
    assert form.cloud.ensure_port(one, nic, None, (3306,)).id == port.id
    (group,) = owner.security_groups(name=f"trove_sg-{one}")
    assert group.id in owner.get_port(port.id).security_group_ids
    form.cloud.delete_port(one)
    assert as_it_is(owner, port) == before


def test_a_network_of_somebody_else_cannot_be_named(form: Form, lab: Any, both: Accounts) -> None:
    mine = lab.network.create_network(name="private", provider_network_type="local")
    project = both.tenant.project_id
    try:
        subnet = lab.network.create_subnet(network_id=mine.id, ip_version=4, cidr="10.78.0.0/24")
        nics = {"network_id": NicRequest(network_id=mine.id), "subnet_id": NicRequest(subnet_id=subnet.id)}
        for field, nic in nics.items():
            with pytest.raises(InvalidInput, match=f"{field}.*cannot be found"):
                form.cloud.check_nic(nic, project)
            form.cloud.check_nic(nic, lab.current_project_id)
        given = {"object_type": "network", "object_id": mine.id, "action": "access_as_shared", "target_project_id": project}
        lab.network.create_rbac_policy(**given)
        for nic in nics.values():  # which only an administrator sees
            OpenStackCloud(settings_of(lab)).check_nic(nic, project)
    finally:
        lab.network.delete_network(mine)


def _dies(*_: object, **__: object) -> None:
    raise SystemError("killed here")
