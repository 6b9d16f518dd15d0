"""The members of a cluster: taken together for one operation, each worked on by the steps of a plain instance.

While the task of a cluster is not NONE nobody else may begin anything on its members (`booking.book`), so members keep their
own tasks until it is their turn.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, ClusterVerb
from trove.core.errors import InvalidInput, NotFound, NotReady, TroveError, Unsupported
from trove.core.json import JSON
from trove.core.operations import Operation
from trove.core.quotas import Resource
from trove.core.status import IDLE_TASKS, Task, shown_status
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet, Spec
from trove.operations.booking import CLUSTER, Subject, book_on
from trove.operations.steps import Deed, step
from trove.operations.work import Work
from trove.store import clusters, instances, operations
from trove.store.session import Tx

MEMBERS, OWED = "members", "members_owed_restart"
"""Arguments of an operation on a cluster: the members that it works on, with what was asked for each; those that waited for a
restart when it was accepted."""


def cluster_of(tx: Tx, caller: Caller, cluster_id: str) -> Cluster:
    """Return the cluster if the caller may see it: its own project's, any for an administrator. Raises `NotFound`."""
    return clusters.get(tx, cluster_id, project_id=None if caller.is_admin else caller.project_id)


def clustering_spec(manager: str) -> Spec:
    """Return the spec of an engine that has clusters. Raises `Unsupported`."""
    spec = registry.spec(manager)
    if Facet.CLUSTERING not in spec.facets:
        raise Unsupported(f"Clusters are not supported for the datastore version of {spec.title}.")
    return spec


def need_verb(cluster: Cluster, verb: ClusterVerb) -> Spec:
    """Return the spec of the cluster's engine. Raises `InvalidInput` unless its clusters know the verb (contract 10.3)."""
    spec = clustering_spec(cluster.datastore_version.manager)
    if verb not in spec.clusters.verbs:
        raise InvalidInput(f"{verb.value}: is not supported for clusters of {spec.title}.")
    return spec


def take(tx: Tx, cluster: Cluster, event: ClusterEvent, *, but: Collection[str] = ()) -> dict[str, JSON]:
    """Let the cluster be taken, if all members are idle; return those that wait for a restart, as arguments of the operation.

    Of the members in `but` nothing is asked. Raises `NotReady` naming the task of the cluster, or the member and its status.
    """
    clusters.apply(tx, cluster.id, event)
    need_quiet(tx, cluster.id, f"Cluster {cluster.id}")
    owed: list[JSON] = []
    for member_id, (name, task, server) in clusters.hold_members(tx, cluster.id).items():
        if member_id in but:
            continue
        if task not in IDLE_TASKS:
            raise NotReady(
                f"Cluster {cluster.id} is not ready for this action: the status of its member {name} ({member_id}) is "
                f"{shown_status(task, server)}."
            )
        need_quiet(tx, member_id, f"Member {name} ({member_id}) of cluster {cluster.id}")
        if task is Task.RESTART_REQUIRED:
            owed.append(member_id)
    return {OWED: owed}


def need_quiet(tx: Tx, resource_id: str, what: str) -> None:
    """Raise `NotReady` while an operation has not ended although it holds the task of its resource no more."""
    unfinished = operations.unfinished(tx, limit=1, resource_id=resource_id)
    if unfinished:
        raise NotReady(f"{what} is not ready for this action: its {unfinished[0].kind} has not ended yet.")


def book_cluster(  # noqa: PLR0913
    tx: Tx,
    caller: Caller,
    cluster: Cluster,
    kind: str,
    *,
    timeout_s: float,
    args: Mapping[str, JSON],
    secrets: Mapping[str, JSON] | None = None,
    reserved: Mapping[Resource, int] | None = None,
) -> Operation:
    """Store an operation on a cluster; see `booking.book_on`."""
    subject = Subject(type=CLUSTER, id=cluster.id, project_id=cluster.project_id)
    return book_on(
        tx,
        caller,
        subject,
        kind,
        timeout_s=timeout_s,
        args=args,
        secrets=secrets,
        reserved=reserved,
    )


def all_members(cluster: Cluster) -> list[JSON]:
    """Return all members as the argument `MEMBERS` of an operation that asks nothing special for any of them."""
    return [{"id": member.id} for member in cluster.members]


def member_ids(work: Work) -> tuple[str, ...]:
    """Return the ids of the members that the operation works on, in its order."""
    return tuple(str(each["id"]) for each in _asked(work))


def as_member(work: Work, member_id: str) -> Work:
    """Return the work as the steps of a plain instance see it: on this member, with what was asked for it."""
    own = {key: value for each in _asked(work) if each["id"] == member_id for key, value in each.items() if key != "id"}
    shared = {key: value for key, value in work.operation.args.items() if key not in {MEMBERS, OWED}}
    operation = replace(work.operation, resource_type="instance", resource_id=member_id, args={**shared, **own}, secrets={})
    return replace(work, operation=operation)


def owed_restart(work: Work) -> tuple[str, ...]:
    """Return the ids of the members that waited for a restart when the operation was accepted."""
    owed = work.operation.args.get(OWED) or []
    assert isinstance(owed, list)
    return tuple(str(each) for each in owed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What happens to the task of a member whose turn it is."""

    accepted: Event
    task: Task
    done: Event
    failed: Event


def turn_steps(work: Work, do: Deed, *, waiting_for: str, undo: Deed | None = None) -> Iterator[Any]:
    """Yield a step for each member in turn; `do` gets the work as that member sees it."""
    for number, member_id in enumerate(member_ids(work), start=1):
        member, name = as_member(work, member_id), f"{do.__name__}_{number}"
        yield step(member, do, waiting_for=waiting_for, name=name, undo=undo)


def begin_turn(member: Work, turn: Turn) -> None:
    """Show that the member is being worked on. May run twice. Raises `NotReady`, `NotFound`."""
    member.doors.database.run(_begin_turn, member, turn)


def end_turn(tx: Tx, member: Work, turn: Turn) -> None:
    """Show that the member is done, without the fault of an earlier time, unless somebody has freed it. Raises `Fenced`."""
    member_id = member.operation.resource_id
    with suppress(NotReady, NotFound):
        instances.apply_to_member(tx, member_id, turn.done, fence=member.fence)
        instances.clear_fault(tx, member_id)


def fail_turns(tx: Tx, work: Work, turn: Turn, error: TroveError) -> None:
    """Show why, on the members whose turn had begun and did not end. The others are as they were, or done."""
    for member_id in member_ids(work):
        with suppress(NotReady, NotFound):
            if instances.get(tx, member_id).task is not turn.task:
                continue
            instances.apply_to_member(tx, member_id, turn.failed, fence=work.fence)
            record_fault(tx, work, member_id, error)
            if member_id in owed_restart(work):
                instances.apply_to_member(tx, member_id, Event.RESTART_OWED, fence=work.fence)


def record_fault(tx: Tx, work: Work, member_id: str, error: TroveError) -> None:
    """Store why the operation failed as the fault of a member."""
    instances.record_fault(tx, member_id, error.message, f"Operation {work.operation.id}", fence=work.fence)


def conclude(tx: Tx, work: Work, event: ClusterEvent, error: TroveError | None = None) -> bool:
    """Show the end of an operation on its cluster; return False when that is gone or was taken by another operation.

    `error` is why it failed. Raises `Fenced`.
    """
    try:
        clusters.apply(tx, work.operation.resource_id, event, fence=work.fence, fault=None if error is None else error.message)
    except (NotReady, NotFound):
        return False
    return True


def _begin_turn(tx: Tx, member: Work, turn: Turn) -> None:
    member_id = member.operation.resource_id
    if instances.get(tx, member_id).task is not turn.task:
        instances.apply_to_member(tx, member_id, turn.accepted, fence=member.fence)


def _asked(work: Work) -> Sequence[Mapping[str, JSON]]:
    asked = work.operation.args[MEMBERS]
    assert isinstance(asked, list)
    return [each for each in asked if isinstance(each, Mapping)]
