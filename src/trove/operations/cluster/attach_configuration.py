"""Attach a configuration group to a cluster: every member takes its values, one after the other."""

from contextlib import suppress
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import InvalidInput, NotFound, TroveError
from trove.core.json import JSON
from trove.operations.booking import need_room
from trove.operations.cluster.configuring import TURN, configure_member, set_group
from trove.operations.cluster.members import (
    MEMBERS,
    all_members,
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
from trove.operations.instance.configuring import WAITING_FOR, apply_template, attachable
from trove.operations.steps import line
from trove.operations.work import Work
from trove.store import clusters, instances
from trove.store.session import Tx

KIND = "cluster.attach_configuration"


def start(doors: Doors, caller: Caller, cluster_id: str, configuration_id: str) -> Cluster:
    """Accept it: cluster and members show the group from now on. Return the cluster.

    Raises `NotFound` (cluster, group), `InvalidInput` when the group is for another version, another one is attached, or where
    clusters of the engine take none; `NotReady` naming the task of the cluster or the member that is not idle, `Overloaded`.
    """
    cluster, operation_id = doors.database.run(_book, doors, caller, cluster_id, configuration_id)
    doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow that applies the group's values on each member, or else the template again."""
    return line(work, *turn_steps(work, configure_member, waiting_for=WAITING_FOR, undo=apply_template))


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the cluster, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster without the group, and keep the fault."""
    group = str(work.operation.args["configuration_id"])
    conclude(tx, work, ClusterEvent.ENDED, error)
    fail_turns(tx, work, TURN, error)
    with suppress(NotFound):
        if clusters.get(tx, work.operation.resource_id).configuration_id == group:
            clusters.set_configuration(tx, work.operation.resource_id, None, fence=work.fence)
    for member_id in member_ids(work):
        with suppress(NotFound):
            if instances.get(tx, member_id).configuration_id == group:
                instances.set_configuration(tx, member_id, None, fence=work.fence)


def _book(tx: Tx, doors: Doors, caller: Caller, cluster_id: str, configuration_id: str) -> tuple[Cluster, str]:
    need_room(tx, doors.settings.limits)
    cluster = cluster_of(tx, caller, cluster_id)
    need_verb(cluster, ClusterVerb.ATTACH)
    group = attachable(tx, configuration_id, project_id=cluster.project_id, version=cluster.datastore_version)
    if cluster.configuration_id is not None:
        raise InvalidInput(
            f"configuration_id: cluster {cluster.id} has group {cluster.configuration_id} attached; detach it first."
        )
    owed = take(tx, cluster, ClusterEvent.CONFIGURE_ACCEPTED)
    set_group(tx, cluster, group.id)
    args: dict[str, JSON] = {**owed, MEMBERS: all_members(cluster), "configuration_id": group.id}
    timeout_s = len(cluster.members) * doors.settings.restart_timeout_s
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args)
    return clusters.get(tx, cluster.id), operation.id
