"""Restart the database servers of a cluster, one after the other, so that the others go on serving."""

from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import TroveError
from trove.core.json import JSON
from trove.core.status import Task
from trove.core.transitions import Event
from trove.operations.booking import need_room
from trove.operations.cluster.members import (
    MEMBERS,
    Turn,
    all_members,
    begin_turn,
    book_cluster,
    cluster_of,
    conclude,
    end_turn,
    fail_turns,
    need_verb,
    take,
    turn_steps,
)
from trove.operations.doors import Doors
from trove.operations.instance.restart import ensure_running, restart_database
from trove.operations.steps import line
from trove.operations.work import Work
from trove.store import clusters
from trove.store.session import Tx

KIND = "cluster.restart"
TURN = Turn(accepted=Event.RESTART_ACCEPTED, task=Task.REBOOTING, done=Event.RESTARTED, failed=Event.RESTART_FAILED)


def start(doors: Doors, caller: Caller, cluster_id: str) -> Cluster:
    """Accept the restart and return the cluster.

    Raises `NotFound`, `InvalidInput` where clusters of the engine are not restarted, `NotReady` naming the task of the cluster
    or the member that is not idle, `Overloaded`.
    """
    cluster, operation_id = doors.database.run(_book, doors, caller, cluster_id)
    doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow: one step a member. The first that fails ends it, so that the others go on serving."""
    return line(work, *turn_steps(work, restart_member, waiting_for="the guest agent to restart the database"))


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the cluster, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster, and keep the fault on it and on the member whose turn it was."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    fail_turns(tx, work, TURN, error)


def restart_member(work: Work) -> None:
    """Restart one member, and wait until it serves."""
    begin_turn(work, TURN)
    ensure_running(work)
    restart_database(work)
    work.doors.database.run(end_turn, work, TURN)


def _book(tx: Tx, doors: Doors, caller: Caller, cluster_id: str) -> tuple[Cluster, str]:
    need_room(tx, doors.settings.limits)
    cluster = cluster_of(tx, caller, cluster_id)
    need_verb(cluster, ClusterVerb.RESTART)
    args: dict[str, JSON] = {**take(tx, cluster, ClusterEvent.RESTART_ACCEPTED), MEMBERS: all_members(cluster)}
    timeout_s = len(cluster.members) * doors.settings.restart_timeout_s
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args)
    return clusters.get(tx, cluster.id), operation.id
