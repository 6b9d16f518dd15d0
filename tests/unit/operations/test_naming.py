"""Names of instances in DNS: they come and go with their instances, and mean the addresses that these have."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.engines import EVERYTHING
from tests.support.world import CALLER, World, look, request, run, world

from trove.cloud.memory import ZONE
from trove.core.errors import CloudError, Unavailable
from trove.core.instances import Access, Address, Instance
from trove.core.operations import OperationState
from trove.core.status import Task, shown_status
from trove.operations.cluster import create as create_cluster
from trove.operations.cluster import delete as delete_cluster
from trove.operations.cluster.building import MemberRequest
from trove.operations.doors import Doors, Limits, Settings
from trove.operations.instance import create, delete, replicate, update_access

LOOSE = Settings(limits=Limits(max_instances=-1, max_volumes_gib=-1), default_datastore="mariadb", name_timeout_s=0.5)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return a world where instances get names."""
    with world(tmp_path, settings=LOOSE) as made:
        made.doors = replace(made.doors, names=made.cloud)
        yield made


def built(here: World, doors: Doors | None = None) -> Instance:
    made = create.start(doors or here.doors, CALLER, request(datastore_type=EVERYTHING))
    assert run(here, doors) is OperationState.SUCCEEDED
    return look(here, made.id)


def test_an_instance_gets_a_name_that_means_its_address(here: World) -> None:
    one = built(here)
    assert one.hostname == f"{one.id}.{ZONE}"
    assert here.cloud.names == {one.id: (one.addresses[0].address,)}


def test_a_replica_has_a_name_of_its_own(here: World) -> None:
    one = built(here)
    made = replicate.start(here.doors, CALLER, replicate.CreateReplicas(name="replica", source_id=one.id))
    assert run(here) is OperationState.SUCCEEDED
    assert look(here, made.id).hostname == f"{made.id}.{ZONE}"


def test_where_there_are_no_names_nobody_is_asked_for_any(here: World) -> None:
    nameless = replace(here.doors, names=None)
    one = built(here, nameless)
    delete.start(nameless, CALLER, one.id)
    assert run(here, nameless) is OperationState.SUCCEEDED
    assert one.hostname is None
    assert not [verb for verb, _ in here.cloud.calls if "name" in verb]


def test_an_instance_from_before_there_were_names_is_used_and_deleted_as_ever(here: World) -> None:
    one = built(here, replace(here.doors, names=None))
    update_access.start(here.doors, CALLER, one.id, Access(allowed_cidrs=("10.0.0.0/8",)))
    assert run(here) is OperationState.SUCCEEDED
    assert (look(here, one.id).hostname, here.cloud.names) == (None, {})
    delete.start(here.doors, CALLER, one.id)
    assert run(here) is OperationState.SUCCEEDED


def test_a_name_outlives_that_names_were_switched_off(here: World) -> None:
    one, nameless = built(here), replace(here.doors, names=None)
    delete.start(here.doors, CALLER, one.id)
    assert run(here, nameless) is OperationState.SUCCEEDED
    assert list(here.cloud.names) == [one.id]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CloudError("The cloud's quota is spent: cannot make the name."), "quota is spent"),
        (
            Unavailable("The name servers do not know it yet."),
            "waiting for the name in DNS. Last heard: The name servers do not",
        ),
    ],
)
def test_a_name_that_cannot_be_had_fails_the_build_and_leaves_nothing(here: World, error: Exception, told: str) -> None:
    here.cloud.order_fault("ensure_name", error, times=None, after=True)
    made = create.start(here.doors, CALLER, request())
    assert run(here) is OperationState.FAILED
    one = look(here, made.id)
    assert one.fault is not None
    assert told in one.fault.message
    assert (shown_status(one.task, one.server_status), one.hostname) == ("ERROR", None)
    assert (here.cloud.names, here.cloud.leftovers().ports) == ({}, ())


def test_a_service_for_names_that_is_away_for_a_moment_is_waited_for(here: World) -> None:
    here.cloud.order_fault("ensure_name", Unavailable("away"), times=2)
    assert built(here).hostname


def test_a_name_goes_before_the_address_that_it_means(here: World) -> None:
    one = built(here)
    delete.start(here.doors, CALLER, one.id)
    here.cloud.order_fault("delete_name", Unavailable("away"), times=2)
    assert run(here) is OperationState.SUCCEEDED
    assert here.cloud.names == {}
    verbs = [verb for verb, _ in here.cloud.calls]
    assert verbs.index("delete_port") > len(verbs) - 1 - verbs[::-1].index("delete_name")


def test_a_half_made_instance_is_deleted_with_its_name(here: World) -> None:
    here.cloud.order_fault("ensure_name", CloudError("failed, although it was made"), after=True)
    here.cloud.order_fault("delete_name", CloudError("not now"))
    made = create.start(here.doors, CALLER, request())
    assert run(here) is OperationState.FAILED
    assert list(here.cloud.names) == [made.id]
    delete.start(here.doors, CALLER, made.id)
    assert run(here) is OperationState.SUCCEEDED
    assert here.cloud.names == {}


def test_a_name_that_cannot_be_removed_is_told_and_removed_the_next_time(here: World) -> None:
    one = built(here)
    here.cloud.order_fault("delete_name", CloudError("The zone is being moved."))
    delete.start(here.doors, CALLER, one.id)
    assert run(here) is OperationState.FAILED
    fault = look(here, one.id).fault
    assert fault is not None
    assert "The zone is being moved." in fault.message
    delete.start(here.doors, CALLER, one.id)
    assert run(here) is OperationState.SUCCEEDED
    assert here.cloud.names == {}


def test_a_name_means_the_public_address_as_long_as_there_is_one(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, plain = built(here), here.cloud.update_access
    private, public = one.addresses[0], Address(address="203.0.113.7", type="public")

    def update(instance_id: str, access: Access | None, tcp_ports: tuple[int, ...]) -> object:
        """Give a floating address as Neutron does."""
        port = plain(instance_id, access, tcp_ports)
        return replace(port, addresses=(private, public)) if access is not None and access.is_public else port

    monkeypatch.setattr(here.cloud, "update_access", update)
    for is_public, meant in ((True, public), (False, private)):
        update_access.start(here.doors, CALLER, one.id, Access(is_public=is_public))
        assert run(here) is OperationState.SUCCEEDED
        assert here.cloud.names == {one.id: (meant.address,)}
    here.cloud.order_fault("ensure_name", CloudError("No."))
    update_access.start(here.doors, CALLER, one.id, Access(is_public=True))
    assert run(here) is OperationState.FAILED
    assert here.cloud.names == {one.id: (private.address,)}
    assert look(here, one.id).addresses == (private,)


def test_members_of_a_cluster_have_names_until_they_are_removed(here: World) -> None:
    members = tuple(MemberRequest(flavor_ref="2", volume_size_gib=1) for _ in range(3))
    wanted = create_cluster.CreateCluster(name="ring", datastore_type=EVERYTHING, datastore_version="1.0", members=members)
    ring = create_cluster.start(here.doors, CALLER, wanted)
    assert run(here) is OperationState.SUCCEEDED
    ids = {member.id for member in ring.members}
    assert {look(here, each).hostname for each in ids} == {f"{each}.{ZONE}" for each in ids}
    assert set(here.cloud.names) == ids
    delete_cluster.start(here.doors, CALLER, ring.id)
    assert run(here) is OperationState.SUCCEEDED
    assert here.cloud.names == {}


def test_an_operation_that_was_accepted_before_names_were_switched_on_goes_on(here: World) -> None:
    made = create.start(replace(here.doors, names=None), CALLER, request())
    assert run(here) is OperationState.SUCCEEDED
    assert (look(here, made.id).hostname, look(here, made.id).task) == (None, Task.NONE)
