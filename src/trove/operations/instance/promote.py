"""Make a replica the source of its set: the old source becomes a replica, and no write that it acknowledged is lost."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, TroveError
from trove.core.failover import PROMOTION
from trove.core.transitions import Event
from trove.operations.booking import book, need_room
from trove.operations.doors import Doors
from trove.operations.instance import failover_steps, replica_set
from trove.operations.instance.replica_verbs import new_accounts
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.work import Work
from trove.store.session import Tx

KIND = "instance.promote_to_replica_source"
ENDS = replica_set.Ends(idle=Event.PROMOTED, failed=Event.PROMOTE_FAILED, own={})


def start(doors: Doors, caller: Caller, instance_id: str) -> None:
    """Accept the promotion; the source and all its replicas are taken together.

    Raises `NotFound`, `InvalidInput` for what is no replica, `Unsupported` for a cluster's member, `NotReady` naming the member
    that is not ready and its state, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str) -> str:
    need_room(tx, doors.settings.limits)
    replica = instance_of(tx, caller, instance_id)
    need_no_cluster(replica)
    if replica.replica_of is None:
        raise InvalidInput(f"Instance {replica.id} is not a replica, so it cannot be promoted.")
    args = replica_set.take(tx, replica.replica_of, lambda _: Event.PROMOTE_ACCEPTED, needed=replica.id)
    followers = [member for member in replica_set.listed(args) if member != replica.id]
    secrets, timeout_s = new_accounts(followers), doors.settings.failover_timeout_s
    return book(tx, caller, replica, KIND, timeout_s=timeout_s, args=args, secrets=secrets).id


def flow(work: Work) -> Any:
    """Return the flow of a promotion."""
    return failover_steps.flow_of(work, PROMOTION)


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the set, in the transaction that ends the operation; a member that does not follow shows ERROR and why."""
    failover_steps.note_what_is_done(tx, work)
    replica_set.let_go(tx, work, ENDS)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the set: as before if the roles were not recorded, else as far as it came. Whoever is left halfway says so."""
    failover_steps.note_what_is_done(tx, work)
    replica_set.let_go_after(tx, work, ENDS, error)
