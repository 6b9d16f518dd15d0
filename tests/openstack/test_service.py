"""The whole service on a cloud whose servers have no guest: what it makes there, what it survives, what it says of failures."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.openstack.lab import need_lab
from tests.openstack.service import GONE_S, TASK_MANAGERS, Deployment, away, until

from trove.core.ids import new_id


def test_a_creation_makes_one_of_each_and_its_deletion_leaves_nothing(service: Deployment) -> None:
    with service.asked() as creating:
        one = service.create("one")
        server = service.await_server(one)
    assert creating.changes() == {
        "block_storage POST /v3/volumes": 1,
        "compute POST /v2.1/servers": 1,
        "network POST /v2.0/ports": 1,
        "network POST /v2.0/security-group-rules": 1,
        "network POST /v2.0/security-groups": 1,
        "network PUT /v2.0/ports/…/tags": 1,
    }
    assert server.project_id == service.owner.current_project_id
    assert {"trove_instance", "trove_mariadb", f"trove_project_id_{service.project()}"} <= set(server.tags)
    (port,) = service.owner.network.ports(name=f"trove-{one}")
    (group,) = service.owner.network.security_groups(name=f"trove_sg-{one}")
    assert (port.device_id, port.security_group_ids) == (server.id, [group.id])
    (volume,) = service.owner.block_storage.volumes(details=True)
    assert [each["server_id"] for each in volume.attachments] == [server.id]
    # Nobody in the server answers: it is given up while it is built.
    service.delete(one)
    service.await_gone(one)
    assert service.leftovers() == []


def test_lists_ask_the_cloud_for_nothing(service: Deployment) -> None:
    one = service.create("one")
    service.await_server(one)
    service.kill(*TASK_MANAGERS)  # whose work goes on meanwhile
    try:
        with service.asked() as listing:
            for path in ("/instances", "/instances/detail", "/backups", "/configurations", "/datastores"):
                assert service.request("GET", path).status == 200
        assert not listing.kinds
    finally:
        service.start(*TASK_MANAGERS)


@pytest.mark.parametrize("moment", ["volume", "server"])
def test_killed_task_managers_go_on_with_what_there_is(service: Deployment, moment: str) -> None:
    one = service.create("one")
    if moment == "volume":
        until(lambda: list(service.owner.block_storage.volumes(name=f"trove-{one}")), "there is a volume")
    else:
        until(lambda: service.server(one), "there is a server")
    service.kill(*TASK_MANAGERS)
    service.start(*TASK_MANAGERS)
    server = service.await_server(one)
    assert len(list(service.owner.network.ports(name=f"trove-{one}"))) == 1
    assert [volume["id"] for volume in server.attached_volumes] == [
        volume.id for volume in service.owner.block_storage.volumes(details=True)
    ]


def test_a_deletion_whose_task_managers_are_killed_is_finished(service: Deployment) -> None:
    one = service.create("one")
    service.await_server(one)
    service.delete(one)
    service.kill(*TASK_MANAGERS)
    service.start(*TASK_MANAGERS)
    service.await_gone(one)


@pytest.mark.parametrize(
    ("name", "step"),
    [("keystone", "the address"), ("neutron", "the address"), ("cinder", "the volume"), ("nova", "the server")],
)
def test_an_api_that_is_away_for_a_while_is_waited_for(service: Deployment, name: str, step: str) -> None:
    need_lab()
    service.kill(*TASK_MANAGERS)  # So that what stops has not been asked yet.
    one = service.create("one")
    with away(service, name, words=f"Waiting for {step}: it fails for now"):
        service.start(*TASK_MANAGERS)
    service.await_server(one)


def test_a_volume_that_nova_left_attached_to_a_server_that_is_gone_is_deleted(service: Deployment) -> None:
    need_lab()
    one = service.create("one")
    service.await_server(one)
    service.kill(*TASK_MANAGERS)
    service.delete(one)
    with away(service, "cinder"):
        service.start(*TASK_MANAGERS)
    service.await_gone(one, timeout_s=GONE_S)
    assert service.leftovers() == []


@pytest.mark.parametrize(
    ("service_name", "resource"), [("network", "port"), ("block_storage", "volumes"), ("compute", "instances")]
)
def test_a_spent_quota_of_the_cloud_is_told_as_one(service: Deployment, service_name: str, resource: str) -> None:
    with quota(service, service_name, resource, 0):
        one = service.create("one")
        fault = service.await_error(one)
    assert "quota is spent" in fault
    service.delete(one)
    service.await_gone(one)


def test_a_server_that_no_host_can_take_fails_in_novas_words(service: Deployment) -> None:
    admin = service.admin
    made = admin.compute.create_flavor(name=f"huge-{new_id()}", vcpus=1, ram=512, disk=1_000_000)
    try:
        one = service.create("one", flavorRef=made.id)
        assert "No valid host" in service.await_error(one)
        # What was made for it is gone before anybody deletes it.
        assert service.leftovers() == []
    finally:
        admin.compute.delete_flavor(made.id)


def test_a_server_that_breaks_while_it_boots_fails_the_creation(service: Deployment) -> None:
    one = service.create("one")
    server = service.await_server(one)
    service.admin.compute.reset_server_state(server.id, "error")
    assert "ERROR" in service.await_error(one)
    assert service.server(one) is None


@contextmanager
def quota(service: Deployment, name: str, resource: str, limit: int) -> Iterator[None]:
    """Let the service's project have `limit` of a resource."""
    project = service.owner.current_project_id

    def set_to(value: int) -> None:
        if name == "network":
            service.admin.network.update_quota(project, **{resource: value})
        else:
            getattr(service.admin, name).update_quota_set(project, **{resource: value})

    set_to(limit)
    try:
        yield
    finally:
        set_to(-1)
