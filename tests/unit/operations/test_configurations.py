"""Attaching, changing and detaching configuration groups: what guests are told, and what is shown of how that went."""

from dataclasses import replace

import pytest
from tests.support.world import CALLER, PROJECT, World, request

from trove.core.errors import InvalidInput, NotReady, Unsupported
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.status import Task
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.mariadb import spec
from trove.operations.configuration import create as create_group
from trove.operations.configuration import delete as delete_group
from trove.operations.configuration import edit, update
from trove.operations.configuration.saving import Change
from trove.operations.instance import (
    attach_configuration,
    create,
    delete,
    detach_configuration,
    resize_flavor,
    resize_volume,
    restart,
)
from trove.operations.operation import cancel
from trove.store import instances, operations

VALUES = {"max_connections": 77, "ft_min_word_len": 5}


@pytest.fixture
def built(here: World) -> str:
    """The id of an instance that is ACTIVE."""
    instance = create.start(here.doors, CALLER, request())
    run(here)
    here.guests.jobs.clear()
    return instance.id


@pytest.fixture
def group(here: World) -> str:
    return new_group(here)


@pytest.fixture
def attached(here: World, built: str, group: str) -> str:
    attach_configuration.start(here.doors, CALLER, built, group)
    assert run(here).state is OperationState.SUCCEEDED
    here.guests.jobs.clear()
    return built


def new_group(here: World, **values: object) -> str:
    wanted = create_group.CreateConfiguration(name="tuned", values=values or VALUES)  # type: ignore[arg-type]
    return create_group.start(here.doors, CALLER, wanted).id


def run(here: World) -> Operation:
    """Run what was accepted last, and return how it ended."""
    with here.database.reading() as tx:
        operation = operations.page(tx, project_id=PROJECT, limit=1).items[0]
    here.runner().run_now(operation.id)
    with here.database.reading() as tx:
        return operations.get(tx, operation.id)


def found(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)


def told(here: World) -> list[tuple[str, dict[str, str]]]:
    """Return the kinds of the guests' jobs that write the configuration, and which options of interest they were given."""
    read = registry.spec("mariadb").read_config
    jobs = []
    for _, kind, args in here.guests.jobs:
        if "config" not in args:
            continue
        options = read(str(args["config"]))
        jobs.append((kind, {name: options[name] for name in VALUES if name in options}))
    return jobs


DEFAULT = {"max_connections": "85"}
OURS = {"max_connections": "77", "ft_min_word_len": "5"}


def test_a_group_is_attached_while_the_server_runs(here: World, built: str, group: str) -> None:
    attach_configuration.start(here.doors, CALLER, built, group)
    accepted = found(here, built)
    assert (accepted.task, accepted.configuration_id, accepted.configuration_name) == (Task.UPDATING, group, "tuned")
    assert run(here).state is OperationState.SUCCEEDED
    assert told(here) == [("configure", OURS)]
    assert "ft_min_word_len" in here.guests.jobs[0][2]["at_restart"]  # type: ignore[operator]
    assert "max_connections" not in here.guests.jobs[0][2]["at_restart"]  # type: ignore[operator]
    assert (found(here, built).task, found(here, built).fault) == (Task.NONE, None)


def test_what_waits_for_a_restart_is_shown_until_there_was_one(here: World, built: str, group: str) -> None:
    here.script.restart_required = True
    attach_configuration.start(here.doors, CALLER, built, group)
    run(here)
    assert found(here, built).task is Task.RESTART_REQUIRED
    # What does not restart the database server does not make it forgotten, whether it works or not.
    resize_volume.start(here.doors, CALLER, built, 3)
    assert found(here, built).task is Task.RESIZING
    run(here)
    assert found(here, built).task is Task.RESTART_REQUIRED
    here.script.failing["restart"] = "It does not want to."
    restart.start(here.doors, CALLER, built)
    assert run(here).state is OperationState.FAILED
    assert found(here, built).task is Task.RESTART_REQUIRED
    here.script.failing.clear()
    restart.start(here.doors, CALLER, built)
    run(here)
    assert found(here, built).task is Task.NONE
    assert told(here)[-1] == ("restart", OURS)


def test_a_guest_that_says_nothing_waits_any_more_is_believed(here: World, built: str, group: str) -> None:
    here.script.restart_required = True
    attach_configuration.start(here.doors, CALLER, built, group)
    run(here)
    here.script.restart_required = False
    detach_configuration.start(here.doors, CALLER, built)
    run(here)
    assert found(here, built).task is Task.NONE


def test_every_start_has_the_groups_values(here: World, attached: str) -> None:
    restart.start(here.doors, CALLER, attached)
    run(here)
    flavors = [flavor.id for flavor in here.cloud.flavors()]
    resize_flavor.start(here.doors, CALLER, attached, flavors[flavors.index("2") + 1])
    run(here)
    assert told(here) == [("restart", OURS), ("restart", OURS)]


def test_an_instance_is_built_with_its_group(here: World, group: str) -> None:
    instance = create.start(here.doors, CALLER, request(configuration_id=group))
    assert instance.configuration_name == "tuned"
    run(here)
    assert told(here) == [("prepare", OURS)]
    first = here.cloud.specs[instance.id].files
    assert any(b"ft_min_word_len = 5" in content for content in first.values())
    assert found(here, instance.id).task is Task.NONE


def test_a_refused_group_is_taken_back_and_the_fault_says_why(here: World, built: str, group: str) -> None:
    here.script.failing["configure"] = "The database server refuses max_connections."
    attach_configuration.start(here.doors, CALLER, built, group)
    ended = run(here)
    assert (ended.state, ended.error) == (OperationState.FAILED, "The database server refuses max_connections.")
    after = found(here, built)
    assert (after.task, after.configuration_id) == (Task.NONE, None)
    assert after.fault is not None
    assert after.fault.message == ended.error
    assert told(here) == [("configure", OURS), ("configure", DEFAULT)]
    here.script.failing.clear()
    attach_configuration.start(here.doors, CALLER, built, group)
    run(here)
    assert (found(here, built).configuration_id, found(here, built).fault) == (group, None)


def test_an_attachment_can_be_cancelled_and_leaves_nothing(here: World, built: str, group: str) -> None:
    attach_configuration.start(here.doors, CALLER, built, group)
    with here.database.reading() as tx:
        (operation,) = operations.unfinished(tx, limit=9)
    cancel.start(here.doors, CALLER, operation.id)
    assert run(here).state is OperationState.CANCELLED
    assert (found(here, built).task, found(here, built).configuration_id) == (Task.NONE, None)
    delete_group.start(here.doors, CALLER, group)


def test_a_changed_group_is_applied_to_each_of_its_instances_by_itself(here: World, attached: str, group: str) -> None:
    other = create.start(here.doors, CALLER, request(name="other", configuration_id=group)).id
    run(here)
    here.guests.jobs.clear()
    here.announcer.announced.clear()
    edit.start(here.doors, CALLER, group, Change(values={"max_connections": 88}))
    assert len(here.announcer.announced) == 2
    assert {found(here, each).task for each in (attached, other)} == {Task.UPDATING}
    here.script.failing["configure"] = "No."
    here.runner().run_now(here.announcer.announced[0])
    here.script.failing.clear()
    here.runner().run_now(here.announcer.announced[1])
    assert told(here) == [("configure", {**OURS, "max_connections": "88"})] * 2
    with here.database.reading() as tx:
        ended = [operations.get(tx, each) for each in here.announcer.announced]
    assert [each.state for each in ended] == [OperationState.FAILED, OperationState.SUCCEEDED]
    failed, done = (found(here, each.resource_id) for each in ended)
    assert failed.fault is not None
    assert failed.fault.message == "The new values of the configuration group are not in effect: No."
    assert (failed.configuration_id, done.configuration_id, done.fault) == (group, group, None)
    # The group has the new values; saying them again tries again.
    update.start(here.doors, CALLER, group, Change(values={"max_connections": 88}))
    for each in here.announcer.announced[2:]:
        here.runner().run_now(each)
    assert found(here, failed.id).fault is None


def test_a_group_that_cannot_be_detached_now_waits_for_a_restart(here: World, attached: str, group: str) -> None:
    here.script.failing["configure"] = "The disk is full."
    detach_configuration.start(here.doors, CALLER, attached)
    assert found(here, attached).configuration_id is None
    assert run(here).state is OperationState.FAILED
    after = found(here, attached)
    assert (after.task, after.configuration_id) == (Task.RESTART_REQUIRED, None)
    assert after.fault is not None
    assert "until a restart: The disk is full." in after.fault.message
    restart.start(here.doors, CALLER, attached)
    run(here)
    assert (found(here, attached).task, told(here)[-1]) == (Task.NONE, ("restart", DEFAULT))


def test_what_is_not_idle_is_left_alone(here: World, attached: str, group: str) -> None:
    restart.start(here.doors, CALLER, attached)
    with pytest.raises(NotReady):
        detach_configuration.start(here.doors, CALLER, attached)
    with pytest.raises(NotReady, match=attached):
        edit.start(here.doors, CALLER, group, Change(values={"max_connections": 88}))
    run(here)
    assert told(here) == [("restart", OURS)]


def test_a_deletion_frees_the_group_at_once(here: World, attached: str, group: str) -> None:
    edit.start(here.doors, CALLER, group, Change(values={"max_connections": 88}))
    delete.start(here.doors, CALLER, attached)
    delete_group.start(here.doors, CALLER, group)
    assert run(here).state is OperationState.SUCCEEDED


def test_a_member_of_a_cluster_is_configured_through_its_cluster(here: World, built: str, group: str) -> None:
    with here.database.transaction() as tx:
        tx.connection.exec_driver_sql("UPDATE instances SET cluster_id = 'c'")
    with pytest.raises(Unsupported):
        attach_configuration.start(here.doors, CALLER, built, group)
    with pytest.raises(Unsupported):
        detach_configuration.start(here.doors, CALLER, built)


def test_an_engine_without_configuration_groups_says_so(
    here: World, built: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "SPEC", replace(spec.SPEC, facets=frozenset()))
    with pytest.raises(InvalidInput, match="no configuration groups"):
        attach_configuration.start(here.doors, CALLER, built, group)


def test_an_instance_that_failed_gets_the_values_when_it_starts_again(here: World, attached: str, group: str) -> None:
    with here.database.transaction() as tx:
        instances.apply(tx, attached, Event.RESTART_ACCEPTED)
        instances.apply(tx, attached, Event.ABANDONED)
    here.announcer.announced.clear()
    edit.start(here.doors, CALLER, group, Change(values={"max_connections": 88}))
    assert here.announcer.announced == []
    with here.database.transaction() as tx:
        instances.apply(tx, attached, Event.STATUS_RESET)
    restart.start(here.doors, CALLER, attached)
    run(here)
    assert told(here) == [("restart", {**OURS, "max_connections": "88"})]
