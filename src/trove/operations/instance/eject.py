"""Give up a source that is dead, and make the replica that has received most the source of the others."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from trove.core.callers import Caller
from trove.core.clock import utcnow, wire_time
from trove.core.errors import InvalidInput, NotFound, TroveError
from trove.core.failover import EJECTION
from trove.core.instances import Instance
from trove.core.transitions import Event
from trove.operations.booking import book, need_room
from trove.operations.doors import Doors
from trove.operations.instance import failover_steps, replica_set
from trove.operations.instance.replica_verbs import new_accounts
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.eject_replica_source"
EJECTED = (
    "It was ejected from its replicated set, because nothing was heard of it, and its server was stopped. "
    "Restart it to look at its data, or delete it."
)


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the ejection; the source and all its replicas are taken together.

    Raises `NotFound`, `InvalidInput` for what has no replicas, or whose guest was heard of within the expiry, `Unsupported` for
    a cluster's member, `NotReady` naming the member that is not ready and its state, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    need_room(tx, doors.settings.limits)
    source = instance_of(tx, caller, instance_id)
    need_no_cluster(source)
    if not source.replicas:
        raise InvalidInput(f"Instance {source.id} has no replicas, so there is nothing to eject it from.")
    _need_silence(doors, source)

    def event_of(member: str) -> Event:
        return Event.EJECT_SOURCE_ACCEPTED if member == source.id else Event.EJECT_ACCEPTED

    args = replica_set.take(tx, source.id, event_of, needed=source.id)
    secrets, timeout_s = new_accounts(replica_set.listed(args)), doors.settings.failover_timeout_s
    return book(tx, caller, source, KIND, timeout_s=timeout_s, args=args, secrets=secrets).id


def flow(work: Work) -> Any:
    """Return the flow of an ejection."""
    return failover_steps.flow_of(work, EJECTION)


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the set, in the transaction that ends the operation. The old source stands alone, its server stopped."""
    failover_steps.note_what_is_done(tx, work)
    _part_from_source(tx, work)
    replica_set.let_go(tx, work, _ends(work, ejected=True))
    _explain(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the set: as before if the roles were not recorded, else as far as it came. Whoever is left halfway says so."""
    failover_steps.note_what_is_done(tx, work)
    ejected = _part_from_source(tx, work)
    if ejected:
        replica_set.let_go(tx, work, _ends(work, ejected=True))
        _explain(tx, work)
    else:
        replica_set.let_go_after(tx, work, _ends(work, ejected=False), error)


def _ends(work: Work, *, ejected: bool) -> replica_set.Ends:
    own = {replica_set.source_of(work): Event.SOURCE_EJECTED} if ejected else {}
    return replica_set.Ends(idle=Event.EJECTED, failed=Event.EJECT_FAILED, own=own)


def _part_from_source(tx: Tx, work: Work) -> bool:
    """Let the old source belong to the set no more, if the new roles were recorded; return whether they were."""
    source_id = replica_set.source_of(work)
    if replica_set.roles(tx, work).get(source_id) is None:
        return False
    with suppress(NotFound):
        instances.record_source(tx, source_id, None, fence=work.fence)
    return True


def _explain(tx: Tx, work: Work) -> None:
    """Tell the ejected instance's owner why its server is stopped."""
    with suppress(NotFound):
        instances.record_fault(tx, replica_set.source_of(work), EJECTED, f"Operation {work.operation.id}", fence=work.fence)


def _need_silence(doors: Doors, source: Instance) -> None:
    heard, expiry_s = source.guest.heard_at, doors.settings.heartbeat_expiry_s
    if heard is not None and utcnow() - heard <= timedelta(seconds=expiry_s):
        raise InvalidInput(
            f"The source {source.id} was heard at {wire_time(heard)}Z: only one that has been silent for {expiry_s:g} s can be "
            "ejected. Promote a replica instead."
        )
