"""The table of transitions, as a whole: nothing is a dead end, nothing is lost on the way, every state has a name for users."""

import pytest

from trove.core.errors import NotReady
from trove.core.status import ServerStatus, ServiceStatus, Task, shown_status
from trove.core.transitions import TRANSITIONS, Event, State, Target, target

EVERY_SERVER = [None, *ServerStatus]


def edges() -> list[tuple[Event, Task | None, Target]]:
    return [(event, task, to) for event, rule in TRANSITIONS.items() for task, to in rule.targets.items()]


def test_every_event_has_a_rule_and_every_rule_a_source() -> None:
    assert set(TRANSITIONS) == set(Event)
    assert all(rule.targets for rule in TRANSITIONS.values())


def test_every_task_is_reached_from_the_beginning() -> None:
    reached: set[Task | None] = {None}
    for _ in Task:
        reached |= {to.task for _, task, to in edges() if task in reached}
    assert reached - {None} == set(Task)


def test_deleted_is_final_and_everything_else_can_be_left_and_ends_there() -> None:
    assert not [event for event, task, _ in edges() if task is Task.DELETED]
    for task in set(Task) - {Task.DELETED}:
        ways = {event for event, source, to in edges() if source is task and to.task is not task}
        assert ways, f"{task} is a dead end"
        assert Event.DELETED in ways
        assert task is Task.DELETING or Event.DELETE_ACCEPTED in ways


def test_an_administrator_can_reset_and_a_tenant_then_delete_whatever_hangs() -> None:
    for task in set(Task) - {Task.DELETED}:
        reset = target(Event.STATUS_RESET, "i", State(task=task))
        assert target(Event.DELETE_ACCEPTED, "i", State(task=reset.task)).task is Task.DELETING


def test_a_reset_makes_nothing_usable_that_is_half_built_or_half_deleted() -> None:
    for task in (Task.BUILDING, Task.DELETING):
        reset = target(Event.STATUS_RESET, "i", State(task=task, server=ServerStatus.ACTIVE))
        again = target(Event.STATUS_RESET, "i", State(task=reset.task, server=reset.server))
        for each in (reset, again):
            assert each.shown(reset.server) == "ERROR"
            with pytest.raises(NotReady, match="ERROR"):
                target(
                    Event.RESTART_ACCEPTED,
                    "i",
                    State(task=each.task, server=each.server or reset.server, service=ServiceStatus.HEALTHY),
                )


@pytest.mark.parametrize(
    "event",
    [
        *(Event.BUILT, Event.REBUILT, Event.RESTARTED, Event.RESTART_FAILED, Event.RESIZED, Event.RESIZE_FAILED),
        *(Event.STOPPED, Event.STOP_FAILED, Event.MIGRATED, Event.MIGRATE_FAILED),
    ],
)
def test_what_ends_well_late_changes_nothing_after_a_reset_or_a_deletion(event: Event) -> None:
    for before in (Task.BUILDING, Task.REBOOTING, Task.RESIZING, Task.UPDATING, Task.MIGRATING):
        for meanwhile in (Event.STATUS_RESET, Event.DELETE_ACCEPTED):
            now = target(meanwhile, "i", State(task=before)).task
            with pytest.raises(NotReady):
                target(event, "i", State(task=now))


def test_a_task_without_a_runner_is_never_for_ever() -> None:
    """What is busy is either given up or, when it is being deleted, taken up again."""
    settled = {Task.NONE, Task.RESTART_REQUIRED, Task.FAILED, Task.DELETED}
    abandoned = TRANSITIONS[Event.ABANDONED].targets
    assert set(abandoned) == set(Task) - settled - {Task.DELETING}
    assert {to.task for to in abandoned.values()} == {Task.FAILED}
    assert set(TRANSITIONS[Event.DELETE_RESUMED].targets) == {Task.DELETING}


@pytest.mark.parametrize(
    ("event", "state", "words"),
    [
        (Event.RESTART_ACCEPTED, State(task=Task.BUILDING, server=ServerStatus.BUILD), "BUILD"),
        (Event.RESTART_ACCEPTED, State(task=Task.REBOOTING, server=ServerStatus.ACTIVE), "REBOOT"),
        (Event.RESTART_ACCEPTED, State(task=Task.DELETING, server=ServerStatus.ACTIVE), "SHUTDOWN"),
        (Event.RESTART_ACCEPTED, State(task=Task.FAILED, server=ServerStatus.ACTIVE), "ERROR"),
        (Event.RESTART_ACCEPTED, State(task=Task.NONE, server=ServerStatus.ERROR), "ERROR"),
        (Event.RESTART_ACCEPTED, State(task=Task.NONE, server=ServerStatus.BUILD), "BUILD"),
        (Event.RESIZE_ACCEPTED, State(task=Task.RESIZING, server=ServerStatus.ACTIVE), "RESIZE"),
        (Event.RESIZE_ACCEPTED, State(task=Task.NONE, server=ServerStatus.SHUTDOWN), "SHUTDOWN"),
        (Event.RESTART_ACCEPTED, State(task=Task.NONE, server=ServerStatus.ACTIVE, service=ServiceStatus.NEW), "'new'"),
        (Event.DELETE_ACCEPTED, State(task=Task.DELETING, server=ServerStatus.ACTIVE), "SHUTDOWN"),
        (Event.CREATE_ACCEPTED, State(task=Task.NONE, server=ServerStatus.ACTIVE), "ACTIVE"),
    ],
)
def test_what_is_impossible_is_refused_with_the_state_that_stands_in_its_way(event: Event, state: State, words: str) -> None:
    with pytest.raises(NotReady, match=words) as caught:
        target(event, "the-id", state)
    assert "the-id" in caught.value.message


SEEN = {
    (Event.CREATE_ACCEPTED, None): "BUILD",
    (Event.BUILT, Task.BUILDING): "ACTIVE",
    (Event.BUILD_FAILED, Task.BUILDING): "ERROR",
    (Event.RESTART_ACCEPTED, Task.NONE): "REBOOT",
    (Event.RESTARTED, Task.REBOOTING): "ACTIVE",
    (Event.RESTART_FAILED, Task.REBOOTING): "ACTIVE",
    (Event.REBOOT_ACCEPTED, Task.FAILED): "REBOOT",
    (Event.STOP_ACCEPTED, Task.NONE): "ACTIVE",
    (Event.STOPPED, Task.UPDATING): "ACTIVE",
    (Event.STOP_FAILED, Task.UPDATING): "ACTIVE",
    (Event.MIGRATE_ACCEPTED, Task.NONE): "ACTIVE",
    (Event.MIGRATED, Task.MIGRATING): "ACTIVE",
    (Event.MIGRATE_FAILED, Task.MIGRATING): "ACTIVE",
    (Event.REBUILD_ACCEPTED, Task.FAILED): "BUILD",
    (Event.REBUILT, Task.BUILDING): "ACTIVE",
    (Event.REBUILD_FAILED, Task.BUILDING): "ERROR",
    (Event.ATTACH_ACCEPTED, Task.NONE): "ACTIVE",
    (Event.CONFIGURE_ACCEPTED, Task.RESTART_REQUIRED): "ACTIVE",
    (Event.CONFIGURED, Task.UPDATING): "ACTIVE",
    (Event.CONFIGURE_FAILED, Task.UPDATING): "ACTIVE",
    (Event.RESTART_OWED, Task.NONE): "RESTART_REQUIRED",
    (Event.RESIZE_ACCEPTED, Task.NONE): "RESIZE",
    (Event.RESIZED, Task.RESIZING): "ACTIVE",
    (Event.RESIZE_FAILED, Task.RESIZING): "ACTIVE",
    (Event.BACKUP_ACCEPTED, Task.RESTART_REQUIRED): "BACKUP",
    (Event.BACKUP_ENDED, Task.BACKUP): "ACTIVE",
    (Event.REPLICATE_ACCEPTED, Task.NONE): "ACTIVE",
    (Event.DETACH_ACCEPTED, Task.NONE): "DETACH",
    (Event.DETACHED, Task.DETACHING): "ACTIVE",
    (Event.DETACH_FAILED, Task.DETACHING): "ACTIVE",
    (Event.PROMOTE_ACCEPTED, Task.NONE): "PROMOTE",
    (Event.SOURCE_SWITCHED, Task.PROMOTING): "PROMOTE",
    (Event.PROMOTED, Task.PROMOTING): "ACTIVE",
    (Event.PROMOTE_FAILED, Task.PROMOTING): "ERROR",
    (Event.EJECT_SOURCE_ACCEPTED, Task.FAILED): "EJECT",
    (Event.EJECT_ACCEPTED, Task.NONE): "EJECT",
    (Event.SOURCE_EJECTED, Task.EJECTING): "SHUTDOWN",
    (Event.EJECTED, Task.EJECTING): "ACTIVE",
    (Event.EJECT_FAILED, Task.EJECTING): "ERROR",
    (Event.REJOIN_ACCEPTED, Task.FAILED): "BUILD",
    (Event.REJOINED, Task.BUILDING): "ACTIVE",
    (Event.REJOIN_REFUSED, Task.BUILDING): "SHUTDOWN",
    (Event.REJOIN_GIVEN_UP, Task.BUILDING): "ACTIVE",
    (Event.REJOIN_FAILED, Task.BUILDING): "ERROR",
    (Event.UPGRADE_ACCEPTED, Task.NONE): "UPGRADE",
    (Event.UPGRADED, Task.UPGRADING): "ACTIVE",
    (Event.UPGRADE_TAKEN_BACK, Task.UPGRADING): "ACTIVE",
    (Event.UPGRADE_FAILED, Task.UPGRADING): "ERROR",
    (Event.ACCESS_ACCEPTED, Task.NONE): "ACTIVE",
    (Event.ACCESS_UPDATED, Task.UPDATING): "ACTIVE",
    (Event.ACCESS_FAILED, Task.UPDATING): "ACTIVE",
    (Event.TLS_ACCEPTED, Task.RESTART_REQUIRED): "ACTIVE",
    (Event.TLS_CHANGED, Task.UPDATING): "ACTIVE",
    (Event.TLS_FAILED, Task.UPDATING): "ACTIVE",
    (Event.DELETE_ACCEPTED, Task.BUILDING): "SHUTDOWN",
    (Event.DELETED, Task.DELETING): "SHUTDOWN",
    (Event.DELETE_FAILED, Task.DELETING): "ERROR",
    (Event.STATUS_RESET, Task.REBOOTING): "ACTIVE",
    (Event.STATUS_RESET, Task.BUILDING): "ERROR",
    (Event.ABANDONED, Task.REBOOTING): "ERROR",
    (Event.DELETE_RESUMED, Task.DELETING): "SHUTDOWN",
}
"""What a user sees after an event on an instance whose server is ACTIVE."""


@pytest.mark.parametrize(("event", "task"), SEEN)
def test_users_see_what_the_contract_says(event: Event, task: Task | None) -> None:
    assert TRANSITIONS[event].targets[task].shown(ServerStatus.ACTIVE) == SEEN[event, task]


def test_every_event_is_in_the_list_of_what_users_see() -> None:
    assert {event for event, _ in SEEN} == set(Event)


def test_a_server_that_was_shut_down_behind_our_back_can_be_restarted_and_is_active_then() -> None:
    state = State(task=Task.NONE, server=ServerStatus.SHUTDOWN, service=ServiceStatus.SHUTDOWN)
    begun = target(Event.RESTART_ACCEPTED, "i", state)
    assert begun.shown(state.server) == "REBOOT"
    assert target(Event.RESTARTED, "i", State(task=begun.task, server=state.server)).shown(state.server) == "ACTIVE"
    assert target(Event.RESTART_FAILED, "i", State(task=begun.task, server=state.server)).shown(state.server) == "SHUTDOWN"


CONTRACT = {
    Task.BUILDING: "BUILD",
    Task.DELETING: "SHUTDOWN",
    Task.DELETED: "SHUTDOWN",
    Task.FAILED: "ERROR",
    Task.REBOOTING: "REBOOT",
    Task.RESIZING: "RESIZE",
    Task.UPGRADING: "UPGRADE",
    Task.RESTART_REQUIRED: "RESTART_REQUIRED",
    Task.PROMOTING: "PROMOTE",
    Task.EJECTING: "EJECT",
    Task.DETACHING: "DETACH",
    Task.BACKUP: "BACKUP",
}


@pytest.mark.parametrize("task", Task)
def test_every_task_is_shown_in_the_words_of_the_contract(task: Task) -> None:
    """A task without a word of its own shows its server; one that is built shows it only when the server broke."""
    for server in EVERY_SERVER:
        shown = shown_status(task, server)
        if task is Task.BUILDING and server is ServerStatus.ERROR:
            assert shown == "ERROR"
        elif task in CONTRACT:
            assert shown == CONTRACT[task]
        else:
            expected = {None: "SHUTDOWN", ServerStatus.VERIFY_RESIZE: "RESIZE", ServerStatus.DELETED: "UNKNOWN"}
            assert shown == expected.get(server, str(server))
