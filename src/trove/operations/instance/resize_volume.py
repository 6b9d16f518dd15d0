"""Grow the data volume of an instance. It cannot shrink again: what fails after it grew leaves it grown, and says so."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, TroveError
from trove.core.quotas import Resource
from trove.core.transitions import Event
from trove.operations.booking import book, commit_reserved, conclude, need_room, quota_defaults, release_reserved
from trove.operations.doors import Doors
from trove.operations.guest_jobs import forget_job, run_job
from trove.operations.instance.create import check_volume_size
from trove.operations.instance.reboot import start_database
from trove.operations.instance.restart import ensure_running
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances, operations, quotas
from trove.store.session import Tx

KIND = "instance.resize_volume"

_FILLING = "the guest agent to grow the file system"


def start(doors: Doors, caller: Caller, instance_id: str, size_gib: int) -> None:
    """Accept that the volume grows to `size_gib`.

    Raises `NotFound`, `Unsupported` for a cluster's member, `InvalidInput` when it has no volume or one that is as large,
    `QuotaExceeded`, `NotReady` naming the state, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, size_gib))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, size_gib: int) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_no_cluster(instance)
    if instance.volume is None:
        raise InvalidInput(f"volume: instance {instance.id} has no data volume")
    if size_gib <= instance.volume.size_gib:
        raise InvalidInput(f"volume: size must be more than the {instance.volume.size_gib} GiB that the volume has")
    check_volume_size(doors, size_gib)
    reserved = {Resource.VOLUMES: size_gib - instance.volume.size_gib}
    quotas.reserve(tx, instance.project_id, reserved, quota_defaults(doors.settings.limits))
    instances.apply(tx, instance.id, Event.RESIZE_ACCEPTED)
    timeout_s, args = doors.settings.resize_timeout_s, {"size_gib": size_gib}
    return book(tx, caller, instance, KIND, timeout_s=timeout_s, args=args, reserved=reserved).id


def flow(work: Work) -> Any:
    """Return the flow that grows the volume."""
    reboot_s = work.doors.settings.reboot_timeout_s
    return line(
        work,
        step(work, grow_volume, waiting_for="the volume to grow", undo=keep_growth),
        step(work, ensure_running, waiting_for="the server to run", timeout_s=reboot_s),
        *([] if work.doors.settings.machines is None else [step(work, fill_volume, waiting_for=_FILLING)]),
        # Some clouds stop the server to grow the volume, and a full volume may have stopped the database before.
        step(work, start_database, waiting_for="the guest agent to start the database"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the new size, in the transaction that ends the operation, whatever was made of the instance meanwhile."""
    instance_id = work.operation.resource_id
    if conclude(tx, work, Event.RESIZED):
        instances.clear_fault(tx, instance_id)
    if instances.exists(tx, instance_id):
        instances.record_size(tx, instance_id, fence=work.fence, volume_size_gib=_wanted(work))
        commit_reserved(tx, work)
    else:
        release_reserved(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance and keep the fault; what was reserved is given back, unless the volume grew all the same."""
    instance_id = work.operation.resource_id
    if conclude(tx, work, Event.RESIZE_FAILED):
        instances.record_fault(tx, instance_id, error.message, f"Operation {work.operation.id}", fence=work.fence)
    if not _has_grown(tx, work):
        release_reserved(tx, work)


def grow_volume(work: Work) -> None:
    """Have the cloud grow the volume, with its file system where that is the cloud's."""
    work.doors.cloud.grow_volume(work.operation.resource_id, size_gib=_wanted(work))


def fill_volume(work: Work) -> None:
    """Have the guest agent let the file system fill the volume, where the cloud cannot do that."""
    run_job(work, "grow_volume", {"size_gib": _wanted(work)}, waiting_for=_FILLING)
    forget_job(work)


def keep_growth(work: Work) -> None:
    """Store the new size if the volume grew before something failed, and see that the server runs."""
    volume = work.doors.cloud.find_volume(work.operation.resource_id)
    if volume is not None and volume.size_gib >= _wanted(work):
        work.doors.database.run(_settle_growth, work)
    ensure_running(work)


def _settle_growth(tx: Tx, work: Work) -> None:
    operations.check(tx, work.fence)
    if instances.exists(tx, work.operation.resource_id) and not _has_grown(tx, work):
        instances.record_size(tx, work.operation.resource_id, fence=work.fence, volume_size_gib=_wanted(work))
        commit_reserved(tx, work)
        operations.forget_reserved(tx, work.fence)


def _has_grown(tx: Tx, work: Work) -> bool:
    """Tell whether the row has the new size already, and its quota is settled."""
    instance_id = work.operation.resource_id
    return instances.exists(tx, instance_id) and instances.charges(tx, instance_id)[Resource.VOLUMES] >= _wanted(work)


def _wanted(work: Work) -> int:
    size_gib = work.operation.args["size_gib"]
    assert isinstance(size_gib, int)
    return size_gib
