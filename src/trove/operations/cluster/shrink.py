"""Shrink a cluster: members leave it and are removed; the others take note."""

from collections.abc import Sequence
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import InvalidInput, TroveError
from trove.core.json import JSON
from trove.core.status import IDLE_TASKS, SERVING
from trove.operations.booking import need_room
from trove.operations.cluster import joining
from trove.operations.cluster.members import MEMBERS, book_cluster, cluster_of, conclude, member_ids, need_verb, take
from trove.operations.cluster.removing import condemn, quiet_step, removal_failed, remove_steps
from trove.operations.doors import Doors
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import clusters, guests, instances
from trove.store.session import Tx

KIND = "cluster.shrink"
LEAVING = "leaving"
"""Argument: the members whose database servers are asked to leave in good order; the others did not run any more."""


def start(doors: Doors, caller: Caller, cluster_id: str, ids: Sequence[str]) -> Cluster:
    """Accept it for these members, also for such as have failed. Return the cluster.

    Raises `NotFound`, `InvalidInput` for what is no member, when too few would be left, or where clusters of the engine do not
    shrink; `NotReady` naming the task of the cluster or the other member that is not idle; `Overloaded`.
    """
    cluster, operation_id = doors.database.run(_book, doors, caller, cluster_id, ids)
    doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow. What has left does not come back: nothing is undone."""
    return line(
        work,
        quiet_step(work),
        step(work, part_members, waiting_for=joining.LEFT),
        step(work, tell_the_others, waiting_for=joining.UPDATED),
        *remove_steps(work),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the cluster, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster; the members that are left of those to be removed show ERROR, and can be shrunk away again."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    removal_failed(tx, work, error)


def part_members(work: Work) -> None:
    """Have those members leave in good order whose database servers run."""
    leaving = work.operation.args[LEAVING]
    assert isinstance(leaving, list)
    for guest in leaving:
        joining.leave(work, str(guest))


def tell_the_others(work: Work) -> None:
    """Tell those that stay who belongs to the cluster now."""
    leaving = member_ids(work)
    with work.doors.database.reading() as tx:
        members = clusters.get(tx, work.operation.resource_id).members
    joining.update(work, [member.id for member in members if member.id not in leaving], without=leaving)


def _book(tx: Tx, doors: Doors, caller: Caller, cluster_id: str, ids: Sequence[str]) -> tuple[Cluster, str]:
    need_room(tx, doors.settings.limits)
    cluster = cluster_of(tx, caller, cluster_id)
    least = need_verb(cluster, ClusterVerb.SHRINK).clusters.min_left
    leaving = list(dict.fromkeys(ids))
    known = {member.id for member in cluster.members}
    for number, each in enumerate(leaving):
        if each not in known:
            raise InvalidInput(f"shrink[{number}]: instance {each} is not a member of cluster {cluster.id}.")
    if not leaving:
        raise InvalidInput("shrink: names no member.")
    if len(known) - len(leaving) < least:
        raise InvalidInput(f"shrink: at least {least} of the {len(known)} members must be left; delete the cluster instead.")
    owed = take(tx, cluster, ClusterEvent.SHRINK_ACCEPTED, but=leaving)
    asked = [each for each in leaving if _can_be_asked(tx, each)]
    condemn(tx, leaving)
    args: dict[str, JSON] = {
        **owed,
        MEMBERS: [{"id": each} for each in leaving],
        "instance_ids": list(leaving),
        LEAVING: list(asked),
    }
    timeout_s = len(leaving) * doors.settings.delete_timeout_s
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args)
    return clusters.get(tx, cluster.id), operation.id


def _can_be_asked(tx: Tx, member_id: str) -> bool:
    return instances.get(tx, member_id).task in IDLE_TASKS and guests.service_status(tx, member_id) in SERVING
