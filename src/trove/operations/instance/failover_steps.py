"""The deeds of `core/failover.py`, carried out: what promoting a replica and ejecting a source have in common."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from trove.core.errors import CloudError, GuestError, NotFound, TroveError, Unavailable
from trove.core.failover import UNDO, Deed, Undo, best_replica, may_take_back, others
from trove.core.transitions import Event
from trove.operations.guest_jobs import Errand, cast_job, is_done
from trove.operations.instance import replica_set, replica_verbs
from trove.operations.instance.replica_building import source_of
from trove.operations.steps import Deed as Do
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

STOP_TIMEOUT_S = 60.0

CLOSED = "It was closed to writes for a promotion, and it is not known whether it takes writes again."
PARTED = "It was parted from its source in order to become the source itself, and it is not known whether it follows it again."
NOT_OPEN = "It was recorded as the new source, and it is not known whether it takes writes."
NOT_FOLLOWING = "It does not follow the new source {} yet."


def flow_of(work: Work, deeds: Sequence[Deed]) -> Any:
    """Return the flow of these deeds, each with what takes it back."""
    steps = []
    for deed in deeds:
        undo = _UNDOES[UNDO[deed]] if deed in UNDO else None
        do, waiting_for = _DOES[deed]
        steps.append(step(work, do, waiting_for=waiting_for, undo=undo))
    return line(work, *steps)


def candidate_of(work: Work) -> str:
    """Return the id of the member that becomes the source: the operation's own, or when that is ejected the best replica.

    Which is the best is asked once: the guests' answers are kept, and once the roles are recorded these tell. Raises
    `TroveError` when it cannot be told.
    """
    source_id, own = replica_set.source_of(work), work.operation.resource_id
    if own != source_id:
        return own
    with work.doors.database.reading() as tx:
        recorded = replica_set.roles(tx, work)
    switched = recorded.get(source_id)
    if switched is not None:
        return switched
    replicas = sorted(member for member in recorded if member != source_id)
    return best_replica({each: replica_verbs.get_last_txn(work, each) for each in replicas})


def let_near(work: Work) -> None:
    """Have the candidate catch up while the source still takes writes, so that it is closed for a short time only."""
    _catch_up(work, tag="near")


def close_source(work: Work) -> None:
    """Have the source take no more writes."""
    source_id = replica_set.source_of(work)
    replica_set.mark(work, [source_id], CLOSED)
    replica_verbs.make_read_only(work, source_id, read_only=True)


def reopen_source(work: Work) -> None:
    """Have the source take writes again, unless another one may have taken some by now."""
    source_id = replica_set.source_of(work)
    if _may_take_back(work):
        replica_verbs.make_read_only(work, source_id, read_only=False)
        replica_set.unmark(work, [source_id])


def catch_up(work: Work) -> None:
    """Have the candidate apply the last write that the source took."""
    _catch_up(work, tag="last")


def fence_source(work: Work) -> None:
    """Have the cloud stop the server of the source, so that it cannot come back as a second source."""
    with suppress(NotFound):
        work.doors.cloud.stop_server(replica_set.source_of(work), timeout_s=STOP_TIMEOUT_S)


def unfence_source(work: Work) -> None:
    """Have the cloud start the server of the source again, unless another one may have taken writes by now."""
    if _may_take_back(work):
        with suppress(NotFound):
            work.doors.cloud.start_server(replica_set.source_of(work))


def choose_candidate(work: Work) -> None:
    """Ask all replicas what they have received, and choose the one with most."""
    candidate_of(work)


def part_candidate(work: Work) -> None:
    """Have the candidate apply all that it has received and follow nobody; it takes no writes yet."""
    candidate = candidate_of(work)
    replica_set.mark(work, [candidate], PARTED)
    replica_verbs.detach_replica(work, candidate, for_failover=True)


def rejoin_candidate(work: Work) -> None:
    """Have the candidate follow the source again, unless it may have taken writes by now."""
    if _may_take_back(work):
        with work.doors.database.reading() as tx:
            parted = [member for member in replica_set.roles(tx, work) if replica_set.is_marked(tx, work, member)]
        for member in parted:
            if member != replica_set.source_of(work):
                replica_verbs.attach_replica(work, member, None)
                replica_set.unmark(work, [member])


def switch_roles(work: Work) -> None:
    """Record the candidate as the source of all others. From here on the way leads only forward."""
    work.doors.database.run(_switch, work, candidate_of(work))


def open_candidate(work: Work) -> None:
    """Have the candidate take writes, and let all others log in as its replicas."""
    candidate = candidate_of(work)
    followers = [replica_verbs.account(work, each) for each in _followers(work, candidate)]
    replica_verbs.enable_as_master(work, candidate, accounts=followers)
    replica_set.unmark(work, [candidate])


def let_others_follow(work: Work) -> None:
    """Have every other member follow the candidate. One that fails is left behind, and says so; it does not stop the others.

    All are told before any is waited for, so that one that stays silent keeps none from following.
    """
    candidate = candidate_of(work)
    followers = _followers(work, candidate)
    for follower in followers:
        args = {"source": source_of(work, candidate, follower).to_json()}
        with suppress(Unavailable):  # it is cast again where it is waited for
            cast_job(work, "attach_replica", args, errand=replica_verbs.of(replica_verbs.FOLLOW, follower))
    for follower in followers:
        try:
            _follow(work, candidate, follower)
        except (GuestError, CloudError, NotFound) as error:
            replica_set.mark(work, [follower], f"It does not follow the new source {candidate}: {error.message}")


def note_what_is_done(tx: Tx, work: Work) -> None:
    """Take away what was written down of members whose guests have reported meanwhile that they are as they should be.

    Whoever ends the operation asks this first: nobody may have been left to look at what was reported last.
    """
    recorded = replica_set.roles(tx, work)
    if may_take_back(replica_set.source_of(work), recorded):
        return
    for member, source_id in recorded.items():
        job = replica_verbs.OPEN if source_id is None else replica_verbs.FOLLOW
        if is_done(tx, work, replica_verbs.of(job, member)):
            replica_set.unmark_in(tx, work, member)


def _follow(work: Work, candidate: str, follower: str) -> None:
    replica_verbs.attach_replica(work, follower, source_of(work, candidate, follower))
    if follower == replica_set.source_of(work):
        replica_verbs.demote_replication_master(work, follower)
    replica_set.unmark(work, [follower])


def _followers(work: Work, candidate: str) -> tuple[str, ...]:
    """Return who shall follow the candidate: all that still exist, but an ejected source, whose server is stopped."""
    with work.doors.database.reading() as tx:
        there = list(replica_set.roles(tx, work))
    gone = work.operation.resource_id if candidate != work.operation.resource_id else candidate
    return others(there, but=[candidate, gone])


def _catch_up(work: Work, *, tag: str) -> None:
    candidate = candidate_of(work)
    txn = replica_verbs.get_latest_txn_id(work, replica_set.source_of(work), tag=tag)
    replica_verbs.wait_for_txn(work, candidate, txn, tag=tag)


def _may_take_back(work: Work) -> bool:
    with work.doors.database.reading() as tx:
        return may_take_back(replica_set.source_of(work), replica_set.roles(tx, work))


def _switch(tx: Tx, work: Work, candidate: str) -> None:
    if not is_done(tx, work, Errand(guest=candidate, tag=replica_verbs.PART.tag)):
        raise TroveError(f"Instance {candidate} has not parted from its source; the set has changed meanwhile.")
    recorded = replica_set.roles(tx, work)
    if recorded.get(replica_set.source_of(work)) == candidate:
        return
    if candidate == work.operation.resource_id:
        instances.apply(tx, candidate, Event.SOURCE_SWITCHED, fence=work.fence)
    else:
        instances.apply_to_member(tx, candidate, Event.SOURCE_SWITCHED, fence=work.fence)
    for member in sorted(recorded):
        instances.record_source(tx, member, None if member == candidate else candidate, fence=work.fence)
        if member == candidate:
            replica_set.mark_in(tx, work, member, NOT_OPEN)
        elif member != work.operation.resource_id:
            replica_set.mark_in(tx, work, member, NOT_FOLLOWING.format(candidate))


_DOES: Mapping[Deed, tuple[Do, str]] = {
    Deed.NEAR: (let_near, replica_verbs.CATCHING_UP),
    Deed.CLOSE: (close_source, replica_verbs.CLOSING),
    Deed.CATCH_UP: (catch_up, replica_verbs.CATCHING_UP),
    Deed.FENCE: (fence_source, "the server of the source to stop"),
    Deed.CHOOSE: (choose_candidate, replica_verbs.TELLING),
    Deed.PART: (part_candidate, replica_verbs.PARTING),
    Deed.SWITCH: (switch_roles, "the new roles to be recorded"),
    Deed.OPEN: (open_candidate, replica_verbs.OPENING),
    Deed.FOLLOW: (let_others_follow, replica_verbs.FOLLOWING),
}
_UNDOES: Mapping[Undo, Callable[[Work], None]] = {
    Undo.REOPEN: reopen_source,
    Undo.UNFENCE: unfence_source,
    Undo.REJOIN: rejoin_candidate,
}
