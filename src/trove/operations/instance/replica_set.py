"""A source and its replicas, taken together for one operation and let go together, each as it has become.

What may be left half done to a member is written down as its fault before it is done, and taken away once it is known to be
done or undone. So whoever ends the operation finds who cannot be let go as if nothing had happened, whenever somebody died.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trove.core.errors import InvalidInput, NotFound, NotReady, TroveError
from trove.core.json import JSON
from trove.core.status import IDLE_TASKS, Task
from trove.core.transitions import Event
from trove.operations.booking import conclude
from trove.operations.work import Work
from trove.store import instances, operations
from trove.store.session import Tx

SOURCE, MEMBERS, OWED = "source_id", "members", "members_owed_restart"
"""Arguments of an operation on a set: its source when it was taken, all members, those that waited for a restart."""


def take(tx: Tx, source_id: str, event_of: Callable[[str], Event], *, needed: str) -> dict[str, JSON]:
    """Let all members of a set be taken, or none, and return that as arguments of the operation.

    Raises `NotReady` naming the member that is not ready, `InvalidInput` when `needed` belongs to the set no more.
    """
    members = instances.hold_set(tx, source_id)
    if needed not in members:
        raise InvalidInput(f"Instance {needed} does not replicate {source_id}.")
    owed: list[JSON] = []
    for member in members:
        if instances.apply(tx, member, event_of(member)) is Task.RESTART_REQUIRED:
            owed.append(member)
        need_quiet(tx, member)
    return {SOURCE: source_id, MEMBERS: list(members), OWED: owed}


def listed(args: Mapping[str, JSON]) -> tuple[str, ...]:
    """Return the ids of all members from the arguments of an operation."""
    members = args[MEMBERS]
    assert isinstance(members, list)
    return tuple(str(each) for each in members)


def need_quiet(tx: Tx, instance_id: str) -> None:
    """Raise `NotReady` while an operation on the instance has not ended although it holds its task no more."""
    unfinished = operations.unfinished(tx, limit=1, resource_id=instance_id)
    if unfinished:
        raise NotReady(f"Instance {instance_id} is not ready for this action: its {unfinished[0].kind} has not ended yet.")


def source_of(work: Work) -> str:
    """Return the id of the source of the set when it was taken."""
    return str(work.operation.args[SOURCE])


def members_of(work: Work) -> tuple[str, ...]:
    """Return the ids of all members of the set when it was taken."""
    return listed(work.operation.args)


def roles(tx: Tx, work: Work) -> dict[str, str | None]:
    """Return the members that still exist, each with the id of the one that it replicates by the record."""
    return instances.sources(tx, members_of(work))


def mark(work: Work, instance_ids: Sequence[str], unless_done: str) -> None:
    """Write down what is wrong with members in case that what is about to be done to them is left half done."""
    work.doors.database.run(_mark, work, instance_ids, unless_done)


def unmark(work: Work, instance_ids: Sequence[str]) -> None:
    """Take away what was written down: it is known how the members are, and they are as they should be."""
    work.doors.database.run(_unmark, work, instance_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What lets a member go: `idle` one that is as it should be, `failed` any other; `own` are exceptions from `idle`."""

    idle: Event
    failed: Event
    own: Mapping[str, Event]


def let_go(tx: Tx, work: Work, ends: Ends) -> None:
    """Let go of all members that nobody else has freed or taken. Raises `Fenced`."""
    owed = work.operation.args[OWED]
    assert isinstance(owed, list)
    for member in members_of(work):
        with suppress(NotReady, NotFound):
            event = ends.failed if is_marked(tx, work, member) else ends.own.get(member, ends.idle)
            if member == work.operation.resource_id:
                conclude(tx, work, event)
                continue
            instances.apply_to_member(tx, member, event, fence=work.fence)
            if event is ends.idle and member in owed:
                instances.apply_to_member(tx, member, Event.RESTART_OWED, fence=work.fence)


def let_go_after(tx: Tx, work: Work, ends: Ends, error: TroveError) -> None:
    """Let go of all members after a failure, and keep on the operation's own, if it is as it was, why it failed."""
    let_go(tx, work, ends)
    own = work.operation.resource_id
    with suppress(NotFound):
        if not is_marked(tx, work, own) and instances.get(tx, own).task in IDLE_TASKS:
            instances.record_fault(tx, own, error.message, _details(work), fence=work.fence)


def is_marked(tx: Tx, work: Work, instance_id: str) -> bool:
    """Tell whether something may be left half done to a member. Raises `NotFound`."""
    fault = instances.get(tx, instance_id).fault
    return fault is not None and fault.details == _details(work)


def mark_in(tx: Tx, work: Work, instance_id: str, unless_done: str) -> None:
    """Do as `mark`, for one member, in a transaction."""
    instances.record_fault(tx, instance_id, unless_done, _details(work), fence=work.fence)


def unmark_in(tx: Tx, work: Work, instance_id: str) -> None:
    """Do as `unmark`, for one member, in a transaction."""
    operations.check(tx, work.fence)
    if is_marked(tx, work, instance_id):
        instances.clear_fault(tx, instance_id)


def _mark(tx: Tx, work: Work, instance_ids: Sequence[str], unless_done: str) -> None:
    for instance_id in instance_ids:
        with suppress(NotFound):
            mark_in(tx, work, instance_id, unless_done)


def _unmark(tx: Tx, work: Work, instance_ids: Sequence[str]) -> None:
    for instance_id in instance_ids:
        with suppress(NotFound):
            unmark_in(tx, work, instance_id)


def _details(work: Work) -> str:
    return f"Operation {work.operation.id}"
