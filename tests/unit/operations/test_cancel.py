"""Cancelling an operation: by whom, of which kind, in which state."""

import pytest
from tests.support.world import CALLER, PROJECT, World, request

from trove.core.callers import Caller
from trove.core.errors import NotFound, NotReady
from trove.core.operations import Operation, OperationState
from trove.operations.instance import create, delete
from trove.operations.operation import cancel
from trove.store import operations


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def test_a_build_is_cancelled_undone_and_announced(here: World):
    here.script.silent.add("prepare")
    create.start(here.doors, CALLER, request())
    operation_id = newest(here).id

    def stop(task: str, moment: str) -> None:
        if (task, moment) == ("prepare_database", "before do"):
            assert cancel.start(here.doors, CALLER, operation_id).cancel_requested
            cancel.start(here.doors, CALLER, operation_id)

    here.runner(probe=stop).run_now(operation_id)
    assert newest(here).state is OperationState.CANCELLED
    assert newest(here).error == "Cancelled while waiting for the guest agent to prepare the database."
    assert here.announcer.announced == [operation_id] * 3
    left = here.cloud.leftovers()
    assert (left.servers, left.volumes, left.ports) == ((), (), ())


def test_only_its_project_and_administrators_may(here: World):
    create.start(here.doors, CALLER, request())
    operation_id = newest(here).id
    with pytest.raises(NotFound):
        cancel.start(here.doors, Caller(project_id="p2", user_id="u2", request_id="r"), operation_id)
    with pytest.raises(NotFound):
        cancel.start(here.doors, CALLER, "nope")
    assert not newest(here).cancel_requested
    cancel.start(here.doors, Caller(project_id="p2", user_id="u2", request_id="r", is_admin=True), operation_id)
    assert newest(here).cancel_requested


def test_a_deletion_is_not_its_users_to_cancel(here: World):
    instance = create.start(here.doors, CALLER, request())
    delete.start(here.doors, CALLER, instance.id)
    with pytest.raises(NotReady, match=r"instance\.delete"):
        cancel.start(here.doors, CALLER, newest(here).id)
    assert not newest(here).cancel_requested


def test_what_has_ended_cannot_be_cancelled_and_the_state_is_named(here: World):
    create.start(here.doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    with pytest.raises(NotReady, match="SUCCEEDED"):
        cancel.start(here.doors, CALLER, newest(here).id)
