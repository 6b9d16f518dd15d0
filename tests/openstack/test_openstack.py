"""What is OpenStack's own: names and tags, security and server groups, user data, faults and quotas in the cloud's words."""

import base64
from typing import Any

import pytest
import yaml
from tests.conformance.cloud.conftest import Form
from tests.conformance.cloud.test_contract import build, built, destroy
from tests.openstack.conftest import settings_of
from tests.support.clouds import eventually, make_spec

from trove.cloud.contract import NicRequest
from trove.cloud.openstack import OpenStackCloud
from trove.core.errors import CloudError, InvalidInput
from trove.core.flavors import Flavor
from trove.core.ids import new_id
from trove.core.instances import Access
from trove.core.status import ServerStatus


def test_everything_is_named_and_tagged_after_its_instance(form: Form, lab: Any) -> None:
    one = new_id()
    build(form, one)
    (server,) = lab.compute.servers(details=True, tags=f"trove_instance_id_{one}")
    assert (server.name, server.metadata["trove_instance_id"]) == ("one", one)
    assert {"trove_instance", "trove_fake", "trove_project_id_project"} <= set(server.tags)
    (port,) = lab.network.ports(name=f"trove-{one}")
    assert set(port.tags) == {"trove_instance", f"trove_instance_id_{one}"}
    assert port.device_id == server.id
    (volume,) = lab.block_storage.volumes(details=True, name=f"trove-{one}")
    assert volume.metadata["trove_instance_id"] == one
    assert [each["server_id"] for each in volume.attachments] == [server.id]
    destroy(form, one)
    assert list(lab.network.security_groups(name=f"trove_sg-{one}")) == []


def test_a_guest_finds_its_files_and_what_the_operator_adds(lab: Any, form: Form) -> None:
    extra = {"fake": "#cloud-config\nruncmd: [[true]]\nwrite_files: [{path: /etc/motd, content: hi}]\n"}
    cloud = OpenStackCloud(settings_of(lab, extra_userdata=extra))
    one = new_id()
    cloud.ensure_port(one, NicRequest(), None, (3306,))
    cloud.ensure_server(make_spec(one, files={"guest_info.conf": b"[DEFAULT]\nguest_id = x\n"}))
    built(form, one)
    (server,) = lab.compute.servers(details=True, tags=f"trove_instance_id_{one}")
    text = base64.b64decode(lab.compute.get_server(server.id).user_data).decode()
    assert text.startswith("#cloud-config\n")
    read = yaml.safe_load(text)
    first, second = read["write_files"]
    assert (first["path"], first["permissions"]) == ("/etc/trove/conf.d/guest_info.conf", "0600")
    assert base64.b64decode(first["content"]) == b"[DEFAULT]\nguest_id = x\n"
    assert (second["path"], read["runcmd"]) == ("/etc/motd", [[True]])


def test_only_whom_access_names_is_let_in(form: Form, lab: Any) -> None:
    one = new_id()

    def let_in() -> set[tuple[str, int, str]]:
        (group,) = lab.network.security_groups(name=f"trove_sg-{one}")
        rules = lab.network.security_group_rules(security_group_id=group.id, direction="ingress")
        return {(rule.remote_ip_prefix, rule.port_range_min, rule.ether_type) for rule in rules}

    form.cloud.ensure_port(one, NicRequest(), None, (3306, 3307))
    assert let_in() == {("0.0.0.0/0", 3306, "IPv4"), ("0.0.0.0/0", 3307, "IPv4")}
    for _ in range(2):
        form.cloud.update_access(one, Access(allowed_cidrs=("10.1.0.0/16", "2001:db8::/32")), (3306,))
        assert let_in() == {("10.1.0.0/16", 3306, "IPv4"), ("2001:db8::/32", 3306, "IPv6")}
    form.cloud.update_access(one, None, (3306,))
    assert let_in() == {("0.0.0.0/0", 3306, "IPv4")}


def test_a_port_that_somebody_died_over_is_finished(form: Form, lab: Any) -> None:
    one = new_id()
    (network,) = lab.network.networks(name="lab")
    lab.network.create_port(name=f"trove-{one}", network_id=network.id)
    port = form.cloud.ensure_port(one, NicRequest(), None, (3306,))
    assert len(list(lab.network.ports(name=f"trove-{one}"))) == 1
    assert form.cloud.leftovers().ports == (one,)
    assert port.addresses[0].network == network.id


@pytest.mark.parametrize("nic", [{"network_id": new_id()}, {"subnet_id": new_id()}])
def test_a_network_that_is_not_there_is_named(form: Form, nic: dict[str, str]) -> None:
    ((field, value),) = nic.items()
    with pytest.raises(InvalidInput, match=f"{field}.*{value}"):
        form.cloud.check_nic(NicRequest(**nic), new_id())


@pytest.mark.parametrize("locality", ["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"])
def test_a_set_of_servers_is_placed_as_asked(form: Form, lab: Any, locality: str) -> None:
    one, two = new_id(), new_id()
    for each in (one, two):
        form.cloud.ensure_port(each, NicRequest(), None, (3306,))
        form.cloud.ensure_server(make_spec(each, locality=locality, server_group=one))
        built(form, each)
    (group,) = [each for each in lab.compute.server_groups() if each.name == f"locality_{one}"]
    assert group.policy == locality
    server = form.cloud.find_server(two)
    if locality == "anti-affinity":  # the cloud under test has one host
        assert server.status is ServerStatus.ERROR
        assert "valid host" in server.fault
    else:
        assert server.status is ServerStatus.ACTIVE
        assert len(group.member_ids) == 2
    form.cloud.delete_server(two)
    form.cloud.delete_server(one)
    assert f"locality_{one}" not in {each.name for each in lab.compute.server_groups()}


def test_a_server_that_no_host_can_take_says_so_and_is_made_once_more(form: Form, lab: Any) -> None:
    one = new_id()
    made = lab.compute.create_flavor(name=f"huge-{one}", vcpus=1, ram=512, disk=1_000_000)
    try:
        huge = Flavor(id=made.id, name=made.name, ram_mib=made.ram, vcpus=1)
        form.cloud.ensure_port(one, NicRequest(), None, (3306,))
        form.cloud.ensure_server(make_spec(one, flavor=huge))
        eventually(lambda: form.cloud.find_server(one).status is ServerStatus.ERROR, "the server fails", 120)
        first = form.cloud.find_server(one)
        assert "valid host" in first.fault
        form.cloud.ensure_server(make_spec(one))
        built(form, one)
        second = form.cloud.find_server(one)
        assert (second.status, second.id != first.id) == (ServerStatus.ACTIVE, True)
        with pytest.raises(CloudError, match=r"[Nn]o valid host|resize"):
            form.cloud.resize_server(one, huge)
        assert form.cloud.find_server(one).status is ServerStatus.ACTIVE
    finally:
        lab.compute.delete_flavor(made.id)


def test_a_quota_of_the_cloud_is_told_as_one(form: Form, lab: Any) -> None:
    project = lab.current_project_id
    before = lab.block_storage.get_quota_set(project).gigabytes
    lab.block_storage.update_quota_set(project, gigabytes=1)
    try:
        with pytest.raises(CloudError, match="quota is spent"):
            form.cloud.ensure_volume(new_id(), size_gib=2, volume_type=None)
    finally:
        lab.block_storage.update_quota_set(project, gigabytes=before)
