"""Bring a cluster to another version of its datastore, one member after the other."""

from contextlib import suppress
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import NotFound, NotReady, TroveError, Unsupported
from trove.core.json import JSON
from trove.core.status import Task
from trove.core.transitions import Event
from trove.datastores.contract import Facet
from trove.operations.booking import need_room
from trove.operations.cluster.members import (
    MEMBERS,
    Turn,
    as_member,
    begin_turn,
    book_cluster,
    cluster_of,
    conclude,
    end_turn,
    member_ids,
    need_verb,
    take,
    turn_steps,
)
from trove.operations.doors import Doors
from trove.operations.instance import version_steps
from trove.operations.instance.restart import ensure_running
from trove.operations.instance.upgrade import end_of, need_fitting_group, need_image, wanted_version
from trove.operations.instance.version_steps import OLD_VERSION, VERSION
from trove.operations.steps import Deed, line, step
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
    with doors.database.reading() as tx:
        found = cluster_of(tx, caller, cluster_id)
        need_verb(found, ClusterVerb.UPGRADE)
        need_image(doors, wanted_version(tx, found.datastore_version, version))
    cluster, operation_id = doors.database.run(_book, doors, caller, cluster_id, version)
    doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow: every member is asked first what may stand in the way, then one after the other is upgraded.

    A member that fails gets its old version back. Those before it have the new one, and keep it.
    """
    steps = list(turn_steps(work, check_member, waiting_for=version_steps.CHECKING))
    for number, member_id in enumerate(member_ids(work), start=1):
        steps += _steps_of(as_member(work, member_id), number)
    return line(work, *steps)


def succeed(tx: Tx, work: Work) -> None:
    """Show the new version of the cluster, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)
    cluster_id = work.operation.resource_id
    if clusters.exists(tx, cluster_id):
        clusters.record_version(tx, cluster_id, str(work.operation.args[VERSION]), fence=work.fence)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the cluster with its old version, and of the member whose turn it was with the one that serves, if any does."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    for member_id in member_ids(work):
        with suppress(NotReady, NotFound):
            if instances.get(tx, member_id).task is TURN.task:
                event, fault = end_of(tx, as_member(work, member_id), error)
                instances.apply_to_member(tx, member_id, event, fence=work.fence)
                instances.record_fault(tx, member_id, fault, f"Operation {work.operation.id}", fence=work.fence)


def check_member(work: Work) -> None:
    """Have one member find out, without changing anything, whether it can be upgraded."""
    ensure_running(work)
    version_steps.check_database(work)


def begin_member(work: Work) -> None:
    """Show that it is the turn of one member."""
    begin_turn(work, TURN)


def end_member(work: Work) -> None:
    """Show that one member is done."""
    work.doors.database.run(end_turn, work, TURN)


def _steps_of(member: Work, number: int) -> list[Any]:
    table: tuple[tuple[Deed, str, Deed | None], ...] = (
        (begin_member, "the turn of the member", None),
        (version_steps.stop_database, version_steps.STOPPING, version_steps.serve_again),
        (version_steps.rebuild_server, version_steps.REBUILDING, version_steps.restore_server),
        (version_steps.upgrade_database, version_steps.UPGRADING, None),
        (version_steps.record_upgrade, version_steps.RECORDING, None),
        (version_steps.clear_up, version_steps.CLEARING, None),
        (end_member, "the turn of the next member", None),
    )
    return [
        step(member, do, waiting_for=waiting_for, undo=undo, name=f"{do.__name__}_{number}") for do, waiting_for, undo in table
    ]


def _book(tx: Tx, doors: Doors, caller: Caller, cluster_id: str, wanted: str) -> tuple[Cluster, str]:
    need_room(tx, doors.settings.limits)
    cluster = cluster_of(tx, caller, cluster_id)
    spec = need_verb(cluster, ClusterVerb.UPGRADE)
    version = wanted_version(tx, cluster.datastore_version, wanted)
    if Facet.UPGRADES not in spec.facets:
        raise Unsupported(f"upgrade: a cluster of {spec.title} cannot be upgraded to another version here.")
    owed = take(tx, cluster, ClusterEvent.UPGRADE_ACCEPTED)
    members: list[JSON] = []
    for each in cluster.members:
        member = instances.get(tx, each.id)
        need_fitting_group(tx, member, version)
        # After an upgrade that broke off some members are ahead of their cluster.
        members.append({"id": each.id, OLD_VERSION: member.datastore_version.id})
    args: dict[str, JSON] = {**owed, MEMBERS: members, VERSION: version.id}
    timeout_s = len(cluster.members) * doors.settings.build_timeout_s
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args)
    return clusters.get(tx, cluster.id), operation.id
