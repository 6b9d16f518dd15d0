"""Grow a cluster: new members are built and join it; those that there are take note of them."""

from collections.abc import Sequence
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import InvalidInput, TroveError
from trove.core.flavors import Flavor
from trove.core.json import JSON
from trove.operations.booking import need_room
from trove.operations.cluster import building, joining
from trove.operations.cluster.building import MemberRequest
from trove.operations.cluster.members import MEMBERS, book_cluster, cluster_of, conclude, member_ids, need_verb, take
from trove.operations.doors import Doors
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import clusters
from trove.store.session import Tx

KIND = "cluster.grow"


def start(doors: Doors, caller: Caller, cluster_id: str, members: Sequence[MemberRequest]) -> Cluster:
    """Accept it, with new members that are alike in flavor, volume and network. Return the cluster with them.

    Raises `NotFound`, `InvalidInput` (also where clusters of the engine do not grow), `NotReady` naming the task of the cluster
    or the member that is not idle, `QuotaExceeded` counting all new members, `Overloaded`.
    """
    with doors.database.reading() as tx:
        cluster = cluster_of(tx, caller, cluster_id)
    spec = need_verb(cluster, ClusterVerb.GROW)
    if not members:
        raise InvalidInput("grow: names no new member.")
    flavor = building.checked_flavor(doors, spec, cluster.datastore_version.id, cluster.project_id, members, "grow")
    grown, operation_id = doors.database.run(_book, doors, caller, cluster_id, members, flavor)
    doors.announcer.announce(operation_id)
    return grown


def flow(work: Work) -> Any:
    """Return the flow. The members that there are learn of the new ones before these join, and unlearn it when they do not."""
    return line(
        work,
        *building.build_steps(work),
        step(work, announce_newcomers, waiting_for=joining.UPDATED, undo=withdraw_newcomers),
        step(work, building.join, waiting_for=joining.JOINED),
        step(work, building.settle, waiting_for=joining.SETTLED),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the new members as ACTIVE, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)
    building.newcomers_built(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the new members as ERROR, and let go of the cluster; they can be shrunk away."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    building.newcomers_failed(tx, work, error)


def announce_newcomers(work: Work) -> None:
    """Tell the members that there are who else belongs to the cluster now."""
    joining.update(work, _old_members(work))


def withdraw_newcomers(work: Work) -> None:
    """Tell them that the new ones do not come."""
    joining.update(work, _old_members(work), without=member_ids(work))


def _old_members(work: Work) -> list[str]:
    with work.doors.database.reading() as tx:
        members = clusters.get(tx, work.operation.resource_id).members
    return [member.id for member in members if member.id not in member_ids(work)]


def _book(
    tx: Tx, doors: Doors, caller: Caller, cluster_id: str, members: Sequence[MemberRequest], flavor: Flavor
) -> tuple[Cluster, str]:
    need_room(tx, doors.settings.limits)
    cluster = cluster_of(tx, caller, cluster_id)
    owed = take(tx, cluster, ClusterEvent.GROW_ACCEPTED)
    asked, reserved = building.add_members(tx, (doors, caller), cluster, flavor, members)
    args: dict[str, JSON] = {**owed, MEMBERS: asked}
    timeout_s = len(asked) * doors.settings.build_timeout_s
    secrets = joining.new_secret()
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args, secrets=secrets, reserved=reserved)
    return clusters.get(tx, cluster.id), operation.id
