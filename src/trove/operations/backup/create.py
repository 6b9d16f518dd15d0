"""Back an instance up: its guest streams the data into the object store with a ticket; the manifest is checked at the end."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from trove.core.backups import RUNNING, USABLE, Backup, BackupState, BackupType, NewBackup
from trove.core.callers import Caller
from trove.core.errors import Conflict, GuestError, InvalidInput, NotFound, NotReady, TroveError, Unsupported
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.manifests import Parent, manifest_name, prefix_of, segment_name
from trove.core.quotas import Resource
from trove.core.tickets import Verb
from trove.core.transitions import Event
from trove.core.units import GIB
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.objectstore.names import check_container
from trove.operations.backup import chain, keys
from trove.operations.booking import book, commit_reserved, conclude, need_room, quota_defaults, release_reserved
from trove.operations.doors import Doors
from trove.operations.guest_jobs import forget_job, run_job, stop_job
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import backup_strategies, backups, instances, operations, quotas
from trove.store.session import Tx

KIND = "backup.create"
WAITING_FOR = "the guest agent to back the database up"
MORE_NAMES, SPARE_NAMES, MOST_NAMES = 1.25, 64, 50_000
UNKNOWN_VOLUME_GIB = 100
SWIFT = "swift"
"""What clients call whichever object store the service has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBackup:
    """What the tenant asked for. `incremental` builds on the newest whole backup, if there is one; `parent_id` on that one."""

    name: str
    instance_id: str
    description: str | None = None
    parent_id: str | None = None
    incremental: bool = False
    container: str | None = None
    storage_driver: str | None = None


def start(doors: Doors, caller: Caller, request: CreateBackup) -> Backup:
    """Accept the backup.

    Raises `NotFound` (instance, parent), `Unsupported` for an engine without backups, a member of a cluster or another storage
    driver, `InvalidInput`, `QuotaExceeded`, `NotReady` naming the state, `Overloaded`.
    """
    check_driver(request.storage_driver)
    if request.container is not None:
        check_container(request.container)
    backup, operation_id = doors.database.run(_book, doors, caller, request)
    doors.announcer.announce(operation_id)
    return backup


def check_driver(name: str | None) -> None:
    """Raise `Unsupported` for a storage driver that this service does not have."""
    if name not in {None, SWIFT}:
        raise Unsupported(f"storage_driver: backups by {name} are not supported; use {SWIFT}.")


def need_backups(instance: Instance) -> None:
    """Raise `Unsupported` when the instance's engine cannot be backed up."""
    spec = registry.spec(instance.datastore_version.manager)
    if Facet.BACKUPS not in spec.facets:
        raise Unsupported(f"Instance {instance.id} runs {spec.title}, which cannot be backed up.")


def flow(work: Work) -> Any:
    """Return the flow of a backup."""
    return line(
        work,
        step(work, take_backup, waiting_for=WAITING_FOR, undo=drop_objects),
        step(work, check_objects, waiting_for="the object store to show the whole backup"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the backup as whole and the instance as it was before, in the transaction that ends the operation."""
    conclude(tx, work, Event.BACKUP_ENDED)
    backups.record(tx, backup_id(work), fence=work.fence, state=BackupState.COMPLETED)
    _settle(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the backup as failed with its reason. It counts as used until it is deleted."""
    conclude(tx, work, Event.BACKUP_ENDED)
    backups.record(tx, backup_id(work), fence=work.fence, state=BackupState.FAILED, note=error.message)
    _settle(tx, work)


def take_backup(work: Work) -> None:
    """Have the guest store the backup with a ticket for its own objects alone, and keep what it reports."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        backup = _running(tx, work)
    _show(work, BackupState.BUILDING)
    stall_s = work.doors.settings.backups.stall_timeout_s
    result = run_job(work, "backup", backup_job(work, instance, backup), waiting_for=WAITING_FOR, stall_s=stall_s)
    size, checksum = result.get("data_bytes"), result.get("checksum")
    if not isinstance(size, int) or not isinstance(checksum, str):
        raise GuestError("The guest agent reported a backup in a form that is not understood.")
    objects = work.doors.objects.of(backup.project_id)
    location = objects.url(str(backup.container), manifest_name(backup.id))
    _show(work, BackupState.SAVING, location=location, checksum=checksum, size_bytes=max(0, size))
    forget_job(work)


def check_objects(work: Work) -> None:
    """See with our own eyes that the manifest and all that it names are in the object store."""
    with work.doors.database.reading() as tx:
        backup = _running(tx, work)
    objects = work.doors.objects.of(backup.project_id)
    # First, so that what was looked at stays as it is: a stolen guest still has the ticket.
    objects.seal(str(backup.container), prefix_of(backup.id))
    try:
        parts = chain.check_segments(objects, chain.chain_of(objects, backup)[-1])
    except (NotFound, InvalidInput, Conflict) as error:
        raise GuestError(f"The backup is not whole. {error.message}") from error
    objects.publish(str(backup.container), backup.id, parts)


def drop_objects(work: Work) -> None:
    """Have the guest stop, take nothing more of it, and remove what it stored so far."""
    with work.doors.database.reading() as tx:
        backup = backups.get(tx, backup_id(work)) if backups.exists(tx, backup_id(work)) else None
    if backup is not None and backup.container is not None:
        work.doors.objects.of(backup.project_id).seal(backup.container, prefix_of(backup.id))
    stop_job(work)
    if backup is not None and backup.container is not None:
        remove_objects(work, backup.container, backup.id)


def remove_objects(work: Work, container: str, owner_id: str) -> None:
    """Delete all objects of a backup, the manifest first: without it there is no backup any more. May run twice."""
    objects = work.doors.objects.of(work.operation.project_id)
    objects.delete(container, manifest_name(owner_id))
    objects.clear(container, prefix_of(owner_id))


def backup_id(work: Work) -> str:
    """Return the id of the backup that an operation on an instance makes."""
    return str(work.operation.args["backup_id"])


def _book(tx: Tx, doors: Doors, caller: Caller, request: CreateBackup) -> tuple[Backup, str]:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, request.instance_id)
    need_no_cluster(instance)
    need_backups(instance)
    parent = _parent(tx, caller, instance, request)
    reserved = {Resource.BACKUPS: 1}
    quotas.reserve(tx, instance.project_id, reserved, quota_defaults(doors.settings.limits))
    instances.apply(tx, instance.id, Event.BACKUP_ACCEPTED)
    backup = new_backup(tx, doors, instance, request, parent)
    args: dict[str, JSON] = {
        "backup_id": backup.id,
        "name": backup.name,
        "description": backup.description,
        "parent_id": backup.parent_id,
        "incremental": parent is not None,
    }
    return backup, book(tx, caller, instance, KIND, timeout_s=doors.settings.backups.timeout_s, args=args, reserved=reserved).id


def new_backup(tx: Tx, doors: Doors, instance: Instance, request: CreateBackup, parent: Backup | None = None) -> Backup:
    """Store the row of a backup that an operation on the instance, with its id as `backup_id`, is to make."""
    settings = doors.settings.backups
    container = request.container or backup_strategies.container(tx, instance.project_id, instance.id) or settings.container
    return backups.insert(
        tx,
        NewBackup(
            id=new_id(),
            name=request.name,
            description=request.description,
            project_id=instance.project_id,
            instance_id=instance.id,
            datastore_version_id=instance.datastore_version.id,
            parent_id=None if parent is None else parent.id,
            type=BackupType.FULL if parent is None else BackupType.INCREMENTAL,
            storage_driver=request.storage_driver or settings.storage_driver,
            container=container,
        ),
    )


def _parent(tx: Tx, caller: Caller, instance: Instance, request: CreateBackup) -> Backup | None:
    spec = registry.spec(instance.datastore_version.manager)
    if not spec.incremental_backups and (request.incremental or request.parent_id is not None):
        field = "incremental" if request.parent_id is None else "parent_id"
        raise InvalidInput(f"{field}: {spec.title} has full backups only.")
    if request.parent_id is None:
        return backups.newest_completed(tx, instance.id) if request.incremental else None
    visible = None if caller.is_admin else caller.project_id
    parent = backups.get(tx, request.parent_id, project_id=visible, hold=True)
    if parent.instance_id != instance.id:
        raise InvalidInput(f"parent_id: backup {parent.id} is not one of instance {instance.id}.")
    if parent.state in RUNNING or parent.deleting:
        raise NotReady(f"parent_id: backup {parent.id} is not ready: its status is {shown(parent)}.")
    if parent.state not in USABLE:
        raise InvalidInput(f"parent_id: backup {parent.id} cannot be built on: its status is {parent.state.value}.")
    return parent


def shown(backup: Backup) -> str:
    """Return the state of a backup in words for its owner."""
    return "being deleted" if backup.deleting else backup.state.value


def backup_job(work: Work, instance: Instance, backup: Backup) -> dict[str, JSON]:
    """Return the arguments of the guest's job, which are sealed on their way: the ticket is a secret."""
    objects, version = work.doors.objects.of(backup.project_id), instance.datastore_version
    container, settings = str(backup.container), work.doors.settings.backups
    parent = None
    if backup.parent_id is not None:
        with work.doors.database.reading() as tx:
            link = chain.chain_of(objects, backups.get(tx, backup.parent_id))[-1]
        built_on = Parent(container=link.container, name=link.name, digest=link.digest)
        parent = {"container": built_on.container, "name": built_on.name, "digest": built_on.digest}
        parent["positions"] = dict(link.manifest.positions)  # type: ignore[assignment]
    expires = work.operation.deadline + timedelta(seconds=work.doors.settings.revert_timeout_s)
    names = (
        _names(backup.id, instance.volume.size_gib if instance.volume else None, settings.segment_bytes)
        if objects.needs_names
        else None
    )
    return {
        "backup_id": backup.id,
        "project_id": backup.project_id,
        "manager": version.manager,
        "datastore": version.datastore_name,
        "datastore_version": version.version,
        "segment_bytes": settings.segment_bytes,
        "parent": parent,
        "encryption": keys.for_backup(work, backup) if settings.encrypted else None,
        "ticket": objects.ticket(container, prefix_of(backup.id), Verb.PUT, expires=expires, names=names).to_json(),
    }


def _names(backup_id: str, volume_gib: int | None, segment_bytes: int) -> list[str]:
    """Return the names that the guest may use for a backup of so much data at most.

    A name that it used before it died is of no use to it again where a ticket does not replace what is there.
    """
    most = (volume_gib or UNKNOWN_VOLUME_GIB) * GIB
    count = min(MOST_NAMES, SPARE_NAMES + math.ceil(MORE_NAMES * most / segment_bytes))
    return [manifest_name(backup_id), *(segment_name(backup_id, number) for number in range(count))]


def _running(tx: Tx, work: Work) -> Backup:
    """Return the row; raises `TroveError` when somebody has ended or deleted it."""
    backup = backups.get(tx, backup_id(work))
    if backup.state not in RUNNING:
        raise TroveError(backup.note or f"The backup ended as {backup.state.value}.")
    return backup


def _show(work: Work, state: BackupState, **values: Any) -> None:
    work.doors.database.run(_record, work, state, values)


def _record(tx: Tx, work: Work, state: BackupState, values: dict[str, Any]) -> None:
    if not backups.record(tx, backup_id(work), fence=work.fence, state=state, **values):
        raise TroveError("The backup was given up meanwhile.")


def _settle(tx: Tx, work: Work) -> None:
    operations.check(tx, work.fence)
    if backups.exists(tx, backup_id(work)):
        commit_reserved(tx, work)
    else:
        release_reserved(tx, work)
