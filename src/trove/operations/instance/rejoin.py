"""Bring a server back into a replicated set as a replica: a source that was ejected, or a replica that follows no more.

Its server is made anew from its image, because one that starts as it is might take writes as a second source; the new one keeps
its database server down until it is told whom to follow. Then it follows with the data that it has, if the engine can bring
them to where the histories parted. If not, the server is stopped again and its data are as they were. Only who asks for it has
them thrown away: with `rebuild` it is built as any new replica, on an empty volume.
"""

from contextlib import suppress
from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, NotFound, TroveError
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.status import ServerStatus
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.guest_jobs import await_serving, forget_job, run_job
from trove.operations.instance import create, failover_steps, replica_building, replica_set, replica_snapshot, replica_verbs
from trove.operations.instance.replicate import need_replication
from trove.operations.module.applying import WAITING_FOR, apply_modules_again
from trove.operations.rendering import config_of
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.tls.inheriting import inherited
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx

KIND = "instance.rejoin"
REBUILD = "rebuild"
LEFT, RAN = "left", "ran"
"""Arguments: whom the instance replicated before, and whether its server ran: so it is shown again where nothing was done."""

BEGUN = "It was to replicate {} and its server was made anew for that, and it is not known what its database server does."
FENCED = "It was to replicate {} and its server was stopped again."


def start(doors: Doors, caller: Caller, instance_id: str, source_id: str, *, rebuild: bool = False) -> None:
    """Accept that the instance becomes a replica of the source; with `rebuild` its own data are thrown away.

    Raises `NotFound`, `Unsupported` for a cluster's member, `InvalidInput` for instances that cannot be source and replica,
    `NotReady` naming the one that is not ready and its state, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, source_id, rebuild))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, source_id: str, rebuild: bool) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    source = instances.get(tx, source_id, project_id=instance.project_id)
    _need_match(instance, source)
    # In the order in which every operation on a set takes its members, so that two of them do not wait for each other.
    for each, event in sorted(((instance.id, Event.REJOIN_ACCEPTED), (source.id, Event.REPLICATE_ACCEPTED))):
        instances.apply(tx, each, event)
        replica_set.need_quiet(tx, each)
    instances.record_source(tx, instance.id, source.id, fence=None)
    ran = instance.server_status is ServerStatus.ACTIVE
    args: dict[str, JSON] = {replica_building.REPLICA_OF: source.id, LEFT: instance.replica_of, RAN: ran, REBUILD: rebuild}
    timeout_s = doors.settings.failover_timeout_s
    if rebuild:
        args |= replica_snapshot.snapshot_args(doors, instance.datastore_version.manager)
        args |= inherited(tx, source.id, instance.id)
        timeout_s = doors.settings.build_timeout_s
    secrets = replica_verbs.new_accounts([instance.id])
    return book(tx, caller, instance, KIND, timeout_s=timeout_s, args=args, secrets=secrets).id


def flow(work: Work) -> Any:
    """Return the flow. The source is spoken to first: nothing is done to the instance as long as it does not answer."""
    again = step(work, apply_modules_again, waiting_for=WAITING_FOR)
    let_in = step(work, let_in_at_source, waiting_for=replica_verbs.OPENING, undo=forget_at_source)
    if not work.operation.args[REBUILD]:
        closed = step(work, make_server_closed, waiting_for="the server to be made anew", undo=fence_again)
        return line(work, let_in, closed, step(work, follow_source, waiting_for=replica_verbs.FOLLOWING), again)
    volume_s = work.doors.settings.volume_timeout_s
    return line(
        work,
        let_in,
        step(work, remove_server, waiting_for="the old server to be deleted"),
        step(work, create.remove_volume, waiting_for="the old volume to be deleted", timeout_s=volume_s),
        step(work, create.ensure_volume, waiting_for="the volume", timeout_s=volume_s),
        step(work, create.ensure_server, waiting_for="the server"),
        *replica_building.steps(work),
        again,
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the instance as a replica, in the transaction that ends the operation."""
    if conclude(tx, work, Event.REJOINED, restarted=True):
        instances.clear_fault(tx, work.operation.resource_id)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show why. An instance whose data are as they were replicates whom it replicated before, and runs or is stopped."""
    instance_id = work.operation.resource_id
    with suppress(NotFound):
        event = _end_of(tx, work)
        if event is not Event.REJOIN_FAILED:
            left = work.operation.args[LEFT]
            instances.record_source(tx, instance_id, None if left is None else str(left), fence=work.fence)
        if conclude(tx, work, event):
            instances.record_fault(tx, instance_id, error.message, f"Operation {work.operation.id}", fence=work.fence)


def _end_of(tx: Tx, work: Work) -> Event:
    if not replica_set.is_marked(tx, work, work.operation.resource_id):
        return Event.REJOIN_GIVEN_UP if work.operation.args[RAN] else Event.REJOIN_REFUSED
    fault = instances.get(tx, work.operation.resource_id).fault
    fenced = fault is not None and fault.message == FENCED.format(_source_id(work))
    return Event.REJOIN_REFUSED if fenced else Event.REJOIN_FAILED


def let_in_at_source(work: Work) -> None:
    """Have the source let the replica log in."""
    account = replica_verbs.account(work, work.operation.resource_id)
    replica_verbs.enable_as_master(work, _source_id(work), accounts=[account])


def forget_at_source(work: Work) -> None:
    """Tell the source that the replica does not come. Losing this does no harm."""
    replica_building.clean_up_source(work, _source_id(work), tag="release")


def make_server_closed(work: Work) -> None:
    """Have the cloud make the server anew, with a guest agent that starts nothing by itself."""
    instance_id, doors = work.operation.resource_id, work.doors
    replica_set.mark(work, [instance_id], BEGUN.format(_source_id(work)))
    with doors.database.reading() as tx:
        instance = instances.get(tx, instance_id)
        key = instances.guest_key(tx, instance_id)
    server = doors.cloud.rebuild_server(create.server_spec(work, instance, key, may_begin=False))
    with doors.database.transaction() as tx:
        instances.record_server(tx, instance_id, fence=work.fence, server_id=server.id)


def fence_again(work: Work) -> None:
    """Have the cloud stop the server again, if it does not follow the source."""
    instance_id = work.operation.resource_id
    with work.doors.database.reading() as tx:
        if not replica_set.is_marked(tx, work, instance_id):
            return
    with suppress(NotFound):
        work.doors.cloud.stop_server(instance_id, timeout_s=failover_steps.STOP_TIMEOUT_S)
    replica_set.mark(work, [instance_id], FENCED.format(_source_id(work)))


def follow_source(work: Work) -> None:
    """Have the guest follow the source with the data that are there, and wait until it serves."""
    instance_id = work.operation.resource_id
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, instance_id)
        config = config_of(tx, instance, ram_mib=work.doors.cloud.flavor(instance.flavor_id).ram_mib)
    source = replica_building.source_of(work, _source_id(work), instance_id)
    args: dict[str, JSON] = {"config": config, "source": source.to_json()}
    run_job(work, "rejoin_replica", args, waiting_for=replica_verbs.FOLLOWING)
    await_serving(work, waiting_for="the report of the replica")
    forget_job(work)
    replica_set.unmark(work, [instance_id])


def remove_server(work: Work) -> None:
    """Have the cloud delete the server; its address stays."""
    replica_set.mark(work, [work.operation.resource_id], BEGUN.format(_source_id(work)))
    work.doors.cloud.delete_server(work.operation.resource_id)


def _source_id(work: Work) -> str:
    return str(work.operation.args[replica_building.REPLICA_OF])


def _need_match(instance: Instance, source: Instance) -> None:
    for each in (instance, source):
        need_no_cluster(each)
    need_replication(instance)
    if instance.id == source.id:
        raise InvalidInput("rejoin: an instance cannot replicate itself.")
    if source.replica_of is not None:
        raise InvalidInput(f"rejoin: {source.id} is a replica itself; name its source {source.replica_of}.")
    if instance.replicas:
        raise InvalidInput(f"rejoin: {instance.id} has replicas itself; detach or delete them first.")
    if instance.replica_of not in {None, source.id}:
        raise InvalidInput(f"rejoin: {instance.id} replicates {instance.replica_of}; detach it first.")
    theirs, ours = source.datastore_version, instance.datastore_version
    if theirs.id != ours.id:
        raise InvalidInput(f"rejoin: the source runs {theirs.datastore_name} {theirs.name}, the instance {ours.name}.")
    if instance.volume is None:
        raise InvalidInput(f"rejoin: instance {instance.id} has no volume: its data would be lost with its server.")
    if source.volume is not None and instance.volume.size_gib < source.volume.size_gib:
        raise InvalidInput(
            f"rejoin: the volume of {instance.id} has {instance.volume.size_gib} GiB, which is less than the source's "
            f"{source.volume.size_gib} GiB; resize it first."
        )
