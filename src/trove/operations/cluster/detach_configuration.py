"""Detach the configuration group of a cluster: on each member its template's values come back, at once or from a restart on."""

from contextlib import suppress
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import NotFound, NotReady, TroveError
from trove.core.json import JSON
from trove.core.transitions import Event
from trove.operations.booking import need_room
from trove.operations.cluster.configuring import TURN, configure_member, set_group
from trove.operations.cluster.members import (
    MEMBERS,
    all_members,
    as_member,
    book_cluster,
    cluster_of,
    conclude,
    fail_turns,
    member_ids,
    need_verb,
    take,
    turn_steps,
)
from trove.operations.doors import Doors
from trove.operations.guest_jobs import ONLY, is_done
from trove.operations.instance.configuring import WAITING_FOR
from trove.operations.steps import line
from trove.operations.work import Work
from trove.store import clusters, instances
from trove.store.session import Tx

KIND = "cluster.detach_configuration"


def start(doors: Doors, caller: Caller, cluster_id: str) -> Cluster:
    """Accept it: cluster and members show no group from now on. A cluster without one is left alone. Return the cluster.

    Raises `NotFound`, `InvalidInput` where clusters of the engine take no groups; `NotReady` naming the task of the cluster or
    the member that is not idle, `Overloaded`.
    """
    cluster, operation_id = doors.database.run(_book, doors, caller, cluster_id)
    if operation_id is not None:
        doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow that takes the group's values back on each member."""
    return line(work, *turn_steps(work, configure_member, waiting_for=WAITING_FOR))


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the cluster, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster, which has no group any more: a restart ends what could not be done now."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    fail_turns(tx, work, TURN, error)
    for member_id in member_ids(work):
        if not is_done(tx, as_member(work, member_id), ONLY):
            with suppress(NotReady, NotFound):
                instances.apply_to_member(tx, member_id, Event.RESTART_OWED, fence=work.fence)


def _book(tx: Tx, doors: Doors, caller: Caller, cluster_id: str) -> tuple[Cluster, str | None]:
    cluster = cluster_of(tx, caller, cluster_id)
    need_verb(cluster, ClusterVerb.DETACH)
    if cluster.configuration_id is None:
        return cluster, None
    need_room(tx, doors.settings.limits)
    owed = take(tx, cluster, ClusterEvent.CONFIGURE_ACCEPTED)
    set_group(tx, cluster, None)
    args: dict[str, JSON] = {**owed, MEMBERS: all_members(cluster), "configuration_id": cluster.configuration_id}
    timeout_s = len(cluster.members) * doors.settings.restart_timeout_s
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args)
    return clusters.get(tx, cluster.id), operation.id
