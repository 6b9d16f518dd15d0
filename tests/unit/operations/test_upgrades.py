"""Upgrades through what may come of them, with guests that follow a script: done, taken back, and where neither is known."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.scenes import replicated_set
from tests.support.stepped import SteppedWorld, idle_instance, stepped_world, unseen
from tests.support.world import CALLER

from trove.core.backups import Backup, BackupState
from trove.core.configurations import Configuration
from trove.core.errors import CloudError, InvalidInput, QuotaExceeded
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.parameters import Parameter, ParameterType
from trove.core.quotas import Resource
from trove.core.status import ServiceStatus, shown_status
from trove.operations.configuration import create as create_configuration
from trove.operations.instance import upgrade
from trove.store import backups, instances, operations, parameters, quotas
from trove.workflow.crash import Point


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    with stepped_world(tmp_path) as made:
        yield made


@pytest.fixture
def idle(here: SteppedWorld) -> str:
    return idle_instance(here)


def get(here: SteppedWorld, instance_id: str) -> Instance:
    with here.store.reading() as tx:
        return instances.get(tx, instance_id)


def last_operation(here: SteppedWorld) -> Operation:
    with here.store.reading() as tx:
        return operations.page(tx, project_id=CALLER.project_id, limit=1).items[0]


def kept(here: SteppedWorld) -> list[Backup]:
    with here.store.reading() as tx:
        return [backups.get(tx, each) for each in backups.live_ids(tx)]


def jobs(here: SteppedWorld, instance_id: str) -> list[str]:
    return [kind for guest, kind, _ in here.guests.jobs if guest == instance_id]


def seen(here: SteppedWorld, instance_id: str) -> tuple[str, str, str | None]:
    one = get(here, instance_id)
    return shown_status(one.task, one.server_status), one.datastore_version.name, one.fault.message if one.fault else None


def run(here: SteppedWorld, idle: str, *, version: str = "2.0", backup: bool | None = None) -> Operation:
    upgrade.start(here.doors, CALLER, idle, version, backup=backup)
    here.run_until_quiet(unseen)
    assert not here.guests.versions.amiss
    return last_operation(here)


def test_an_upgrade_makes_a_backup_and_then_the_server_anew_with_the_image_of_its_version(
    here: SteppedWorld, idle: str
) -> None:
    upgrade.start(here.doors, CALLER, idle, "2.0")
    assert seen(here, idle)[:2] == ("UPGRADE", "1.0")
    here.run_until_quiet(unseen)
    assert seen(here, idle) == ("ACTIVE", "2.0", None)
    assert jobs(here, idle) == ["prepare", "pre_upgrade", "backup", "stop", "upgrade", "finish_upgrade"]
    assert here.cloud.specs[idle].image_id == "other"
    (backup,) = kept(here)
    assert (backup.state, backup.name) == (BackupState.COMPLETED, "before upgrade to 2.0 of idle")
    assert backup.datastore_version is not None
    assert backup.datastore_version.name == "1.0"


def test_the_backup_can_be_declined(here: SteppedWorld, idle: str) -> None:
    assert run(here, idle, backup=False).state is OperationState.SUCCEEDED
    assert "backup" not in jobs(here, idle)
    assert kept(here) == []


def test_a_backup_that_fails_ends_the_upgrade_before_anything_is_changed(here: SteppedWorld, idle: str) -> None:
    here.script.failing["backup"] = "The store is full."
    assert run(here, idle).state is OperationState.FAILED
    assert seen(here, idle) == ("ACTIVE", "1.0", "The store is full.")
    assert jobs(here, idle) == ["prepare", "pre_upgrade", "backup"]
    (backup,) = kept(here)
    assert (backup.state, backup.note) == (BackupState.FAILED, "The store is full.")


def test_without_quota_for_the_backup_nothing_begins(here: SteppedWorld, idle: str) -> None:
    with here.store.transaction() as tx:
        quotas.set_limit(tx, CALLER.project_id, Resource.BACKUPS, 0)
    with pytest.raises(QuotaExceeded):
        upgrade.start(here.doors, CALLER, idle, "2.0")
    assert seen(here, idle)[0] == "ACTIVE"
    assert run(here, idle, backup=False).state is OperationState.SUCCEEDED


def test_a_check_that_fails_changes_nothing(here: SteppedWorld, idle: str) -> None:
    here.script.failing["pre_upgrade"] = "It needs 3 GiB more."
    run(here, idle)
    assert seen(here, idle) == ("ACTIVE", "1.0", "It needs 3 GiB more.")
    assert jobs(here, idle) == ["prepare", "pre_upgrade"]


def test_an_upgrade_that_fails_is_taken_back(here: SteppedWorld, idle: str) -> None:
    here.script.failing["upgrade"] = "The data files are too old."
    assert run(here, idle).error == "The data files are too old."
    assert seen(here, idle) == ("ACTIVE", "1.0", "The data files are too old.")
    assert jobs(here, idle)[-2:] == ["revert_upgrade", "prepare"]
    assert here.cloud.specs[idle].image_id == "host"
    assert get(here, idle).guest.status is ServiceStatus.HEALTHY
    # Once the reason is gone, it is done again, and nothing of the first time is in the way.
    here.script.failing.clear()
    assert run(here, idle).error is None
    assert seen(here, idle) == ("ACTIVE", "2.0", None)


def test_a_cloud_that_cannot_make_the_server_anew_leaves_the_old_version(here: SteppedWorld, idle: str) -> None:
    here.cloud.order_fault("rebuild_server", CloudError("No valid host was found."))
    run(here, idle)
    assert seen(here, idle) == ("ACTIVE", "1.0", "No valid host was found.")


@pytest.mark.parametrize("broken", ["revert_upgrade", "prepare"])
def test_where_the_way_back_fails_too_it_is_an_error_that_says_both(here: SteppedWorld, idle: str, broken: str) -> None:
    here.script.failing |= {"upgrade": "Corrupt.", broken: "The disk is full."}
    run(here, idle)
    status, version, fault = seen(here, idle)
    assert (status, version) == ("ERROR", "1.0")
    assert str(fault).startswith("Corrupt. It")
    assert "2.0" in str(fault)


def test_what_has_served_with_the_new_version_is_not_taken_back(here: SteppedWorld, idle: str) -> None:
    """The guest did it, but its reports came too late: the data of the new version hold what tenants have written since."""

    def report_nothing(_point: Point) -> None:
        _, message = here.bus.order[0] if here.bus.order else ("", None)
        if message is not None and message.method == "report_job" and str(message.args["name"]).endswith(":upgrade"):
            here.bus.order.popleft()

    upgrade.start(here.doors, CALLER, idle, "2.0", backup=False)
    here.run_until_quiet(report_nothing)
    assert last_operation(here).state is OperationState.FAILED
    assert jobs(here, idle)[-4:] == ["upgrade", "revert_upgrade", "upgrade", "finish_upgrade"]
    assert seen(here, idle)[:2] == ("ACTIVE", "2.0")
    assert not here.guests.versions.amiss
    assert not here.guests.versions.kept


def test_what_could_not_be_cleared_up_is_told_and_the_upgrade_stands(here: SteppedWorld, idle: str) -> None:
    here.script.failing["finish_upgrade"] = "Read-only file system."
    assert run(here, idle).state is OperationState.FAILED
    assert seen(here, idle) == ("ACTIVE", "2.0", "Read-only file system.")


@pytest.mark.parametrize("place", ["stop_database", "rebuild_server", "upgrade_database", "record_upgrade"])
def test_it_can_be_cancelled_until_the_new_version_serves(here: SteppedWorld, idle: str, place: str) -> None:
    upgrade.start(here.doors, CALLER, idle, "2.0")

    def cancel(point: Point) -> None:
        if point == Point(place, "after do"):
            with here.store.transaction() as tx:
                operations.request_cancel(tx, last_operation(here).id)

    here.run_until_quiet(cancel)
    assert last_operation(here).state is OperationState.CANCELLED
    served = place in {"upgrade_database", "record_upgrade"}
    assert seen(here, idle)[:2] == ("ACTIVE", "2.0" if served else "1.0")
    assert not here.guests.versions.amiss


def test_its_own_version_is_done_again(here: SteppedWorld, idle: str) -> None:
    assert run(here, idle, version="1.0").error is None
    assert seen(here, idle) == ("ACTIVE", "1.0", None)


def test_members_of_a_replicated_set_are_not_upgraded(here: SteppedWorld) -> None:
    source = replicated_set(here, replicas=1)
    for member in (source, *get(here, source).replicas):
        with pytest.raises(InvalidInput, match="replicated set"):
            upgrade.start(here.doors, CALLER, member, "2.0")


def test_a_version_without_its_image_is_refused(here: SteppedWorld, idle: str) -> None:
    with here.store.transaction() as tx:
        tx.connection.exec_driver_sql("update datastore_versions set image_id = 'gone' where name = '2.0'")
    with pytest.raises(InvalidInput, match="gone"):
        upgrade.start(here.doors, CALLER, idle, "2.0")
    assert seen(here, idle) == ("ACTIVE", "1.0", None)


def attached_group(here: SteppedWorld, idle: str) -> Configuration:
    wanted = create_configuration.CreateConfiguration(
        name="group", values={"max_connections": 77}, datastore_type="everything", datastore_version="1.0"
    )
    group = create_configuration.start(here.doors, CALLER, wanted)
    here.store.run(instances.set_configuration, idle, group.id)
    return group


def test_the_attached_group_goes_along_if_it_fits(here: SteppedWorld, idle: str) -> None:
    group = attached_group(here, idle)
    assert run(here, idle).error is None
    assert get(here, idle).configuration_id == group.id
    assert "max_connections = 77" in str([args for _, kind, args in here.guests.jobs if kind == "upgrade"])


def test_a_group_that_does_not_fit_the_new_version_is_refused(here: SteppedWorld, idle: str) -> None:
    attached_group(here, idle)
    with here.store.transaction() as tx:
        (version_id,) = tx.connection.exec_driver_sql("select id from datastore_versions where name = '2.0'").scalars()
        small = Parameter(name="max_connections", type=ParameterType.INTEGER, restart_required=False, minimum=1, maximum=9)
        parameters.put(tx, version_id, small)
    with pytest.raises(InvalidInput, match="max_connections"):
        upgrade.start(here.doors, CALLER, idle, "2.0")
