"""What administrators do to servers: stop, reboot, rebuild, migrate; and that nothing is lost when it fails."""

from collections.abc import Callable

import pytest
from tests.support.world import CALLER, PROJECT, World, request

from trove.core.callers import Caller
from trove.core.errors import CloudError, InvalidInput, NotFound, NotReady, Unsupported
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.status import ServerStatus, Task, shown_status
from trove.core.transitions import Event
from trove.operations.doors import Doors
from trove.operations.instance import create, migrate, reboot, rebuild, restart, stop
from trove.store import instances, operations, quotas

ADMIN = Caller(project_id="admins", user_id="u3", request_id="req-3", is_admin=True)
STRANGER = Caller(project_id="other", user_id="u2", request_id="req-2")

VERBS: dict[str, Callable[[Doors, Caller, str], None]] = {
    stop.KIND: stop.start,
    reboot.KIND: reboot.start,
    rebuild.KIND: lambda doors, caller, one: rebuild.start(doors, caller, one, "host"),
    migrate.KIND: lambda doors, caller, one: migrate.start(doors, caller, one, None),
}


@pytest.fixture
def built(here: World) -> Instance:
    """An instance that is ACTIVE."""
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    here.guests.jobs.clear()
    return found(here, instance.id)


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def found(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)


def shown(here: World, instance_id: str) -> str:
    row = found(here, instance_id)
    return shown_status(row.task, row.server_status)


def run(here: World) -> Operation:
    here.runner().run_now(newest(here).id)
    return newest(here)


@pytest.mark.parametrize(
    ("kind", "job"), [(stop.KIND, "stop"), (reboot.KIND, "start"), (rebuild.KIND, "prepare"), (migrate.KIND, "start")]
)
def test_each_is_done_by_cloud_and_guest_and_costs_no_quota(here: World, built: Instance, kind: str, job: str) -> None:
    with here.database.reading() as tx:
        before = quotas.limits_of(tx, PROJECT, {})
    VERBS[kind](here.doors, ADMIN, built.id)
    assert run(here).state is OperationState.SUCCEEDED
    assert [each[1] for each in here.guests.jobs] == [job]
    after = found(here, built.id)
    assert (after.task, after.server_status, after.fault) == (Task.NONE, ServerStatus.ACTIVE, None)
    assert (after.addresses, after.server_id, after.volume and after.volume.volume_id) == (
        built.addresses,
        built.server_id,
        built.volume and built.volume.volume_id,
    )
    with here.database.reading() as tx:
        assert quotas.limits_of(tx, PROJECT, {}) == before


@pytest.mark.parametrize("kind", VERBS)
def test_what_is_busy_or_not_seen_is_refused(here: World, built: Instance, kind: str) -> None:
    with pytest.raises(NotFound):
        VERBS[kind](here.doors, STRANGER, built.id)
    restart.start(here.doors, CALLER, built.id)
    with pytest.raises(NotReady, match="REBOOT"):
        VERBS[kind](here.doors, ADMIN, built.id)
    assert newest(here).kind == restart.KIND


@pytest.mark.parametrize("kind", [stop.KIND, reboot.KIND, migrate.KIND])
def test_a_guest_that_fails_leaves_the_instance_with_the_reason(here: World, built: Instance, kind: str) -> None:
    here.script.failing |= {"stop": "It hangs.", "start": "It hangs."}
    VERBS[kind](here.doors, ADMIN, built.id)
    assert run(here).state is OperationState.FAILED
    after = found(here, built.id)
    assert after.fault is not None
    assert (shown(here, built.id), after.fault.message) == ("ACTIVE", "It hangs.")


def test_a_broken_instance_is_rebooted_into_use(here: World, built: Instance) -> None:
    here.cloud.break_server(built.id)
    with here.database.transaction() as tx:
        instances.apply(tx, built.id, Event.RESTART_ACCEPTED)
        instances.apply(tx, built.id, Event.ABANDONED)
    assert shown(here, built.id) == "ERROR"
    with pytest.raises(NotReady):
        migrate.start(here.doors, ADMIN, built.id, None)
    reboot.start(here.doors, ADMIN, built.id)
    assert shown(here, built.id) == "REBOOT"
    assert run(here).state is OperationState.SUCCEEDED
    assert shown(here, built.id) == "ACTIVE"
    server = here.cloud.find_server(built.id)
    assert server is not None
    assert server.status is ServerStatus.ACTIVE


def test_a_rebuild_that_fails_shows_an_error_keeps_the_volume_and_can_be_tried_again(here: World, built: Instance) -> None:
    here.cloud.order_fault("rebuild_server", CloudError("No valid host was found."))
    rebuild.start(here.doors, ADMIN, built.id, "host")
    assert shown(here, built.id) == "BUILD"
    assert run(here).state is OperationState.FAILED
    after = found(here, built.id)
    assert after.fault is not None
    assert (shown(here, built.id), after.fault.message) == ("ERROR", "No valid host was found.")
    assert here.cloud.find_volume(built.id) is not None
    here.cloud.delete_server(built.id)
    rebuild.start(here.doors, ADMIN, built.id, "host")
    assert run(here).state is OperationState.SUCCEEDED
    assert shown(here, built.id) == "ACTIVE"
    assert here.cloud.find_server(built.id) is not None


def test_a_rebuild_needs_an_image_and_a_volume(here: World, built: Instance) -> None:
    with pytest.raises(InvalidInput, match="ghost"):
        rebuild.start(here.doors, ADMIN, built.id, "ghost")
    with here.database.transaction() as tx:
        instances.forget_server(tx, built.id, fence=None, server_status=ServerStatus.ERROR)
    with pytest.raises(InvalidInput, match="no volume"):
        rebuild.start(here.doors, ADMIN, built.id, "host")
    assert newest(here).kind == create.KIND


def test_a_migration_goes_where_there_is_most_room_or_where_it_is_told(
    here: World, built: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.start(here.doors, ADMIN, built.id, None)
    assert run(here).args == {"host": "memory-2"}
    for wrong in ("ghost", "memory-2"):
        with pytest.raises(InvalidInput, match="memory-1"):
            migrate.start(here.doors, ADMIN, built.id, wrong)
    migrate.start(here.doors, ADMIN, built.id, "memory-1")
    assert run(here).state is OperationState.SUCCEEDED
    server = here.cloud.find_server(built.id)
    assert server is not None
    assert server.host == "memory-1"
    only = here.cloud.hosts()[:1]
    monkeypatch.setattr(here.cloud, "hosts", lambda: only)
    with pytest.raises(Unsupported, match="memory-1"):
        migrate.start(here.doors, ADMIN, built.id, None)
