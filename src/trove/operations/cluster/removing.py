"""Removing members of a cluster for good: what shrinking and deleting one have in common."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from trove.core.errors import NotFound, NotReady, TroveError
from trove.core.status import Task
from trove.core.transitions import Event
from trove.operations.booking import cancel_unfinished
from trove.operations.cluster.members import as_member, member_ids, record_fault
from trove.operations.instance import delete, naming
from trove.operations.steps import step
from trove.operations.work import Pauses, Work
from trove.store import guests, instances, operations, quotas
from trove.store.session import Tx

WAITING_FOR = "what still works on the members to end"


def condemn(tx: Tx, ids: Sequence[str]) -> None:
    """Show members as being deleted, and cancel what somebody else does to them."""
    for member_id in ids:
        held = instances.get(tx, member_id).task
        instances.apply(tx, member_id, Event.DELETE_RESUMED if held is Task.DELETING else Event.DELETE_ACCEPTED)
        instances.set_configuration(tx, member_id, None)
        cancel_unfinished(tx, member_id)


def quiet_step(work: Work) -> Any:
    """Return the step that waits until nobody else works on the members."""
    return step(work, await_quiet, waiting_for=WAITING_FOR)


def remove_steps(work: Work) -> Iterator[Any]:
    """Yield the steps that remove the members one after the other."""
    for number, member_id in enumerate(member_ids(work), start=1):
        member = as_member(work, member_id)
        yield step(member, remove_member, waiting_for="the member to be removed", name=f"remove_member_{number}")


def removal_failed(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the members that are left as ERROR with what could not be freed."""
    for member_id in member_ids(work):
        with suppress(NotReady, NotFound):
            instances.apply_to_member(tx, member_id, Event.DELETE_FAILED, fence=work.fence)
            record_fault(tx, work, member_id, error)


def await_quiet(work: Work) -> None:
    """Wait until nobody else works on any of the members: a step in hand could make again what is removed."""
    pauses = Pauses()
    while True:
        with work.doors.database.reading() as tx:
            busy = [each for each in member_ids(work) if operations.unfinished(tx, limit=1, resource_id=each)]
            if not busy:
                return
            work.check(tx, waiting_for=WAITING_FOR, heard=f"an operation on instance {busy[0]} has not ended")
        work.pause(next(pauses))


def remove_member(work: Work) -> None:
    """Free all that was ever made for a member, then hide its row and give its quota back. Content with what is gone."""
    delete.remove_server(work)
    delete.remove_volume(work)
    naming.remove_name(work)
    delete.remove_port(work)
    delete.expel_guest(work)
    with suppress(NotFound):
        work.doors.database.run(_hide, work)


def _hide(tx: Tx, work: Work) -> None:
    member_id = work.operation.resource_id
    charges = instances.charges(tx, member_id)
    guests.forget(tx, member_id)
    instances.clear_fault(tx, member_id)
    instances.mark_deleted(tx, member_id, fence=work.fence)
    quotas.release(tx, work.operation.project_id, charges)
