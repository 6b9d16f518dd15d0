"""Growing volumes and changing flavors: what grew stays, what did not work is as before, and quotas tell the truth."""

import threading
from collections.abc import Mapping

import pytest
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.core.errors import CloudError, NotReady, QuotaExceeded, Unavailable
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.quotas import Resource
from trove.core.status import ServerStatus, Task
from trove.operations.instance import create, delete, reset_status, resize_flavor, resize_volume
from trove.operations.operation import cancel
from trove.operations.rendering import config_of
from trove.store import instances, operations, quotas


@pytest.fixture
def built(here: World) -> Instance:
    """An instance of 2 GiB and flavor 2 that is ACTIVE."""
    instance = create.start(here.doors, CALLER, request())
    run(here)
    here.guests.jobs.clear()
    here.cloud.calls.clear()
    return found(here, instance.id)


def run(here: World) -> Operation:
    """Run what was accepted last, and return how it ended."""
    here.runner().run_now(newest(here).id)
    return newest(here)


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def found(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)


def counted(here: World, resource: Resource) -> tuple[int, int]:
    """Return what of a resource is in use, and reserved."""
    with here.database.reading() as tx:
        (quota,) = [each for each in quotas.limits_of(tx, PROJECT, {}) if each.resource is resource]
    return quota.in_use, quota.reserved


def assert_counts_hold(here: World) -> None:
    with here.database.transaction() as tx:
        assert quotas.recount(tx, PROJECT, repair=False) == ()


def size(here: World, instance_id: str) -> tuple[int | None, str]:
    instance = found(here, instance_id)
    return instance.volume and instance.volume.size_gib, instance.flavor_id


def configs(here: World) -> list[object]:
    return [args["config"] for _, kind, args in here.guests.jobs if kind == "restart"]


def flavors(here: World) -> Mapping[str, int]:
    return {flavor.id: flavor.ram_mib for flavor in here.cloud.flavors()}


def smaller_and_larger(here: World) -> tuple[str, str]:
    sizes = flavors(here)
    ids = sorted(sizes, key=lambda each: sizes[each])
    return ids[ids.index("2") - 1], ids[ids.index("2") + 1]


def test_a_volume_grows_and_the_row_tells_it_when_it_has(here: World, built: Instance) -> None:
    resize_volume.start(here.doors, CALLER, built.id, 5)
    assert size(here, built.id) == (2, "2")
    assert found(here, built.id).task is Task.RESIZING
    assert counted(here, Resource.VOLUMES) == (2, 3)
    assert_counts_hold(here)
    assert run(here).state is OperationState.SUCCEEDED
    assert size(here, built.id) == (5, "2")
    assert found(here, built.id).task is Task.NONE
    assert here.cloud.find_volume(built.id).size_gib == 5  # type: ignore[union-attr]
    assert counted(here, Resource.VOLUMES) == (5, 0)
    assert [(each[0], each[1]) for each in here.guests.jobs] == [(built.id, "start")]  # for it may have been stopped
    assert_counts_hold(here)


def test_a_volume_that_cannot_grow_is_as_it_was_and_its_owner_learns_why(here: World, built: Instance) -> None:
    here.cloud.order_fault("grow_volume", CloudError("The storage is full."))
    resize_volume.start(here.doors, CALLER, built.id, 5)
    assert run(here).state is OperationState.FAILED
    after = found(here, built.id)
    assert (after.task, after.server_status) == (Task.NONE, ServerStatus.ACTIVE)
    assert after.fault is not None
    assert after.fault.message == "The storage is full."
    assert size(here, built.id) == (2, "2")
    assert counted(here, Resource.VOLUMES) == (2, 0)
    resize_volume.start(here.doors, CALLER, built.id, 5)
    run(here)
    assert size(here, built.id) == (5, "2")
    assert found(here, built.id).fault is None


def test_a_cloud_that_is_away_is_waited_for(here: World, built: Instance) -> None:
    here.cloud.order_fault("grow_volume", Unavailable("The cloud is away."), times=3)
    resize_volume.start(here.doors, CALLER, built.id, 3)
    assert run(here).state is OperationState.SUCCEEDED


def test_a_volume_that_grew_stays_grown_whatever_fails_then(here: World, built: Instance) -> None:
    here.cloud.order_fault("grow_volume", CloudError("The server does not start."), after=True)
    resize_volume.start(here.doors, CALLER, built.id, 5)
    assert run(here).state is OperationState.FAILED
    assert size(here, built.id) == (5, "2")
    assert counted(here, Resource.VOLUMES) == (5, 0)
    assert found(here, built.id).fault is not None
    assert_counts_hold(here)


def test_a_server_that_was_left_stopped_is_started(here: World, built: Instance) -> None:
    for fault in (None, CloudError("The storage is full.")):
        here.cloud.order_fault("grow_volume", fault)
        resize_volume.start(here.doors, CALLER, built.id, found(here, built.id).volume.size_gib + 1)  # type: ignore[union-attr]
        here.cloud.stop_server(built.id, timeout_s=1)
        run(here)
        assert here.cloud.find_server(built.id).status is ServerStatus.ACTIVE  # type: ignore[union-attr]


def test_growth_is_not_cancelled_but_a_deletion_ends_it(here: World, built: Instance) -> None:
    resize_volume.start(here.doors, CALLER, built.id, 5)
    growing = newest(here).id
    with pytest.raises(NotReady):
        cancel.start(here.doors, CALLER, growing)
    delete.start(here.doors, CALLER, built.id)
    run(here)
    with here.database.reading() as tx:
        assert operations.get(tx, growing).state is OperationState.CANCELLED
    assert ("grow_volume", built.id) not in here.cloud.calls
    for resource in Resource:
        assert counted(here, resource) == (0, 0)
    assert here.cloud.leftovers().volumes == ()


def test_a_reset_meanwhile_does_not_make_the_row_lie(here: World, built: Instance) -> None:
    resize_volume.start(here.doors, CALLER, built.id, 5)
    reset_status.start(here.doors, CALLER, built.id)
    ended = run(here)
    grown = here.cloud.find_volume(built.id)
    assert grown is not None
    assert size(here, built.id) == (grown.size_gib, "2"), ended
    assert counted(here, Resource.VOLUMES) == (grown.size_gib, 0)


@pytest.mark.parametrize("grows", [True, False])
def test_a_flavor_changes_the_server_and_its_configuration(here: World, built: Instance, grows: bool) -> None:
    wanted = smaller_and_larger(here)[grows]
    before, after = flavors(here)["2"], flavors(here)[wanted]
    resize_flavor.start(here.doors, CALLER, built.id, wanted)
    assert found(here, built.id).task is Task.RESIZING
    assert counted(here, Resource.RAM) == (before, max(0, after - before))
    assert_counts_hold(here)
    assert run(here).state is OperationState.SUCCEEDED
    assert size(here, built.id) == (2, wanted)
    assert here.cloud.find_server(built.id).flavor_id == wanted  # type: ignore[union-attr]
    assert counted(here, Resource.RAM) == (after, 0)
    assert_counts_hold(here)
    assert len(configs(here)) == 1
    resize_flavor.start(here.doors, CALLER, built.id, "2")
    run(here)
    assert len(set(configs(here))) == 2, "each flavor has its own configuration"


@pytest.mark.parametrize("grows", [True, False])
def test_the_database_never_has_more_memory_configured_than_its_server(here: World, built: Instance, grows: bool) -> None:
    order: list[str] = []
    here.cloud.calls = Recorder(order)  # type: ignore[assignment]
    do = here.guests._do
    here.guests._do = lambda one, args: (order.append("restart"), do(one, args))  # type: ignore[method-assign,assignment,func-returns-value]
    resize_flavor.start(here.doors, CALLER, built.id, smaller_and_larger(here)[grows])
    run(here)
    told = list(dict.fromkeys(order))
    assert told == (["resize_server", "restart"] if grows else ["restart", "resize_server"])


class Recorder(list[tuple[str, str]]):
    """Notes when a server changes its size."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    def append(self, call: tuple[str, str]) -> None:
        super().append(call)
        if call[0] == "resize_server":
            self._order.append(call[0])


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("where", ["cloud", "guest"])
def test_a_flavor_that_does_not_work_out_is_taken_back(here: World, built: Instance, grows: bool, where: str) -> None:
    words = "No valid host was found."
    if where == "cloud":
        here.cloud.order_fault("resize_server", CloudError(words))
    else:
        here.script.failing["restart"] = words
    resize_flavor.start(here.doors, CALLER, built.id, smaller_and_larger(here)[grows])
    assert run(here).state is OperationState.FAILED
    after = found(here, built.id)
    assert after.task is Task.NONE
    assert after.fault is not None
    assert after.fault.message == words
    assert size(here, built.id) == (2, "2")
    assert here.cloud.find_server(built.id).flavor_id == "2"  # type: ignore[union-attr]
    assert counted(here, Resource.RAM) == (flavors(here)["2"], 0)
    assert_counts_hold(here)
    told = configs(here)
    if where == "guest" or not grows:
        assert len(told) == 2, "the database got its old configuration back"
        assert told[0] != told[1]
    else:
        assert told == []


def test_a_flavor_that_is_cancelled_before_the_database_knows_of_it_is_taken_back(here: World, built: Instance) -> None:
    resize_flavor.start(here.doors, CALLER, built.id, smaller_and_larger(here)[1])
    operation_id = newest(here).id

    def stop(task: str, moment: str) -> None:
        if (task, moment) == ("ensure_running", "before do"):
            cancel.start(here.doors, CALLER, operation_id)

    here.runner(probe=stop).run_now(operation_id)
    assert_taken_back(here, built)
    assert configs(here) == [], "the database has its old configuration still"


def test_a_flavor_that_is_cancelled_while_the_database_restarts_is_taken_back(here: World, built: Instance) -> None:
    here.script.silent.add("restart")
    asked = here.guests.calls.count((built.id, "start_job"))
    resize_flavor.start(here.doors, CALLER, built.id, smaller_and_larger(here)[1])
    thread = threading.Thread(target=here.runner().run_now, args=(newest(here).id,))
    thread.start()
    try:
        until(lambda: here.guests.calls.count((built.id, "start_job")) > asked, what="the request to restart")
        cancel.start(here.doors, CALLER, newest(here).id)
        until(lambda: newest(here).state is OperationState.REVERTING, what="the way back")
    finally:
        here.script.silent.clear()
        thread.join()
    assert_taken_back(here, built)
    with here.database.reading() as tx:
        old = config_of(tx, instances.get(tx, built.id), ram_mib=flavors(here)["2"])
    assert configs(here)[-1] == old


def assert_taken_back(here: World, built: Instance) -> None:
    assert newest(here).state is OperationState.CANCELLED
    assert here.cloud.find_server(built.id).flavor_id == "2"  # type: ignore[union-attr]
    assert size(here, built.id) == (2, "2")
    assert counted(here, Resource.RAM) == (flavors(here)["2"], 0)
    assert_counts_hold(here)


def test_a_deletion_ends_a_change_of_flavor(here: World, built: Instance) -> None:
    resize_flavor.start(here.doors, CALLER, built.id, smaller_and_larger(here)[1])
    delete.start(here.doors, CALLER, built.id)
    run(here)
    assert here.cloud.leftovers().servers == ()
    for resource in Resource:
        assert counted(here, resource) == (0, 0)


def test_what_a_project_may_not_have_is_not_begun(here: World, built: Instance) -> None:
    with here.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, Resource.RAM, flavors(here)["2"])
        quotas.set_limit(tx, PROJECT, Resource.VOLUMES, 3)
    smaller, larger = smaller_and_larger(here)
    with pytest.raises(QuotaExceeded, match="ram"):
        resize_flavor.start(here.doors, CALLER, built.id, larger)
    with pytest.raises(QuotaExceeded, match="volumes"):
        resize_volume.start(here.doors, CALLER, built.id, 4)
    assert found(here, built.id).task is Task.NONE
    resize_flavor.start(here.doors, CALLER, built.id, smaller)
    assert run(here).state is OperationState.SUCCEEDED
