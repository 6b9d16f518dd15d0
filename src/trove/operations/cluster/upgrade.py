"""Bring a cluster to another version of its datastore, one member after the other."""

from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import TroveError, Unsupported
from trove.core.json import JSON
from trove.core.status import Task
from trove.core.transitions import Event
from trove.datastores.contract import Facet
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
from trove.operations.instance.restart import ensure_running
from trove.operations.instance.upgrade import CHECKING, VERSION, check_database, upgrade_database, wanted_version
from trove.operations.steps import line
from trove.operations.work import Work
from trove.store import clusters, instances
from trove.store.session import Tx

KIND = "cluster.upgrade"
TURN = Turn(accepted=Event.UPGRADE_ACCEPTED, task=Task.UPGRADING, done=Event.UPGRADED, failed=Event.UPGRADE_FAILED)


def start(doors: Doors, caller: Caller, cluster_id: str, version: str) -> Cluster:
    """Accept the upgrade to the version, of the same datastore, that an id or a name means. Return the cluster.

    Raises `NotFound`, `InvalidInput` for a version that there is not or where clusters of the engine are not upgraded,
    `Unsupported` where the engine has no upgrades, `NotReady` naming the task of the cluster or the member that is not idle,
    `Overloaded`.
    """
    cluster, operation_id = doors.database.run(_book, doors, caller, cluster_id, version)
    doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow: every member is asked first what may stand in the way, then one after the other is upgraded."""
    return line(
        work,
        *turn_steps(work, check_member, waiting_for=CHECKING),
        *turn_steps(work, upgrade_member, waiting_for="the guest agent to upgrade the database"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the new version of the cluster, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)
    cluster_id = work.operation.resource_id
    if clusters.exists(tx, cluster_id):
        clusters.record_version(tx, cluster_id, str(work.operation.args[VERSION]), fence=work.fence)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster with its old version. The member whose turn it was shows ERROR: its data may be of either."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    fail_turns(tx, work, TURN, error)


def check_member(work: Work) -> None:
    """Have one member find out, without changing anything, whether it can be upgraded."""
    ensure_running(work)
    check_database(work)


def upgrade_member(work: Work) -> None:
    """Upgrade one member, wait until it serves, and show its version."""
    begin_turn(work, TURN)
    upgrade_database(work)
    work.doors.database.run(_upgraded, work)


def _upgraded(tx: Tx, work: Work) -> None:
    instances.record_version(tx, work.operation.resource_id, str(work.operation.args[VERSION]), fence=work.fence)
    end_turn(tx, work, TURN)


def _book(tx: Tx, doors: Doors, caller: Caller, cluster_id: str, wanted: str) -> tuple[Cluster, str]:
    need_room(tx, doors.settings.limits)
    cluster = cluster_of(tx, caller, cluster_id)
    spec = need_verb(cluster, ClusterVerb.UPGRADE)
    version = wanted_version(tx, cluster.datastore_version, wanted)
    if Facet.UPGRADES not in spec.facets:
        raise Unsupported(f"upgrade: a cluster of {spec.title} cannot be upgraded to another version here.")
    owed = take(tx, cluster, ClusterEvent.UPGRADE_ACCEPTED)
    args: dict[str, JSON] = {**owed, MEMBERS: all_members(cluster), VERSION: version.id}
    timeout_s = len(cluster.members) * doors.settings.build_timeout_s
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args)
    return clusters.get(tx, cluster.id), operation.id
