"""The backup of a source from which a replica is built: made for it alone, in no list and no quota, and removed after that.

Only for engines whose replicas do not copy the data themselves (`ReplicaBuild.BACKUP`).
"""

import logging
from collections.abc import Mapping

from trove.core.backups import Backup, BackupState, BackupType
from trove.core.errors import Conflict, GuestError, InvalidInput, NotFound, Unavailable
from trove.core.json import JSON
from trove.core.manifests import prefix_of
from trove.datastores import registry
from trove.datastores.contract import ReplicaBuild
from trove.operations.backup import chain
from trove.operations.backup.create import backup_job, remove_objects
from trove.operations.backup.restore import restore_args
from trove.operations.doors import Doors
from trove.operations.guest_jobs import DONE, Errand, run_job, stop_job
from trove.operations.work import Pauses, Work
from trove.store import guests, instances, operations
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

BACKING_UP = "the source to be backed up for the replica"
SNAPSHOT_CONTAINER = "snapshot_container"
"""Argument of an operation that builds a replica: where the backup of the source is kept meanwhile. Only if one is needed."""

MOST_OPERATIONS = 1000
ATTEMPTS = 5
"""How often objects are removed before they are left where they are."""
_TAG = "dump"


def snapshot_args(doors: Doors, manager: str) -> dict[str, JSON]:
    """Return what an operation that builds a replica must be booked with, besides the id of the source."""
    if registry.spec(manager).replica_build is not ReplicaBuild.BACKUP:
        return {}
    return {SNAPSHOT_CONTAINER: doors.settings.backups.replica_container}


def needs_backup(work: Work) -> bool:
    """Tell whether the replica is built from a backup of its source."""
    return SNAPSHOT_CONTAINER in work.operation.args


def back_up(work: Work, source_id: str) -> None:
    """Have the guest of the source store a backup, and see that it is whole. May run twice."""
    backup = _made(work, source_id)
    # First, so that what was looked at stays as it is: a stolen guest still has the ticket.
    work.doors.objects.of(backup.project_id).seal(str(backup.container), prefix_of(backup.id))
    link = _link(work, backup)
    try:
        chain.check_segments(work.doors.objects.of(backup.project_id), link)
    except (NotFound, Conflict, InvalidInput) as error:
        raise GuestError(f"The backup of the source is not whole. {error.message}") from error


def to_restore(work: Work, source_id: str) -> tuple[Mapping[str, JSON], Mapping[str, JSON]]:
    """Return what the replica's guest is told of the backup, tickets among it, and where in the source's history it ends."""
    backup = _made(work, source_id)
    return restore_args(work, backup), _link(work, backup).manifest.positions


def give_up(work: Work, source_id: str) -> None:
    """Have the guest of the source stop, take nothing more of it, and remove what it stored."""
    backup = _backup(work, source_id)
    work.doors.objects.of(backup.project_id).seal(str(backup.container), prefix_of(backup.id))
    stop_job(work, Errand(guest=source_id, tag=_TAG))
    remove_objects(work, str(backup.container), backup.id)


def remove(work: Work) -> None:
    """Remove the backup from which the replica was built.

    The replica is not lost because that fails: its deletion tries once more.
    """
    place = [str(work.operation.args[SNAPSHOT_CONTAINER]), work.operation.id]
    remove_left_behind(work, [place])


def left_behind(tx: Tx, instance_id: str) -> list[JSON]:
    """Return the places, as container and id, that operations that built the instance may have left objects in."""
    found = operations.page(tx, project_id=None, resource_id=instance_id, limit=MOST_OPERATIONS).items
    return [[str(each.args[SNAPSHOT_CONTAINER]), each.id] for each in found if SNAPSHOT_CONTAINER in each.args]


def remove_left_behind(work: Work, places: JSON) -> None:
    """Remove what is of no use any more: `places` are those of `left_behind`. What cannot be removed is told to operators."""
    assert isinstance(places, list)
    for place in places:
        assert isinstance(place, list)
        container, owner_id = map(str, place)
        pauses = Pauses()
        for attempt in range(ATTEMPTS):
            try:
                remove_objects(work, container, owner_id)
                break
            except Unavailable as error:
                told = error.message
            if attempt + 1 < ATTEMPTS:
                work.pause(next(pauses))
        else:
            LOG.error(
                "What a replica was built from is left in container %s below %s: %s", container, prefix_of(owner_id), told
            )


def _made(work: Work, source_id: str) -> Backup:
    """Return the backup that the guest of the source has stored by now. Waits for it."""
    errand = Errand(guest=source_id, tag=_TAG)
    with work.doors.database.reading() as tx:
        source = instances.get(tx, source_id)
        known = guests.job(tx, source_id, errand.first_name(work))
    if known is not None and known.state == DONE:  # no ticket is to be had any more for what was looked at
        result = known.result or {}
    else:
        args = backup_job(work, source, _backup(work, source_id))
        result = run_job(work, "backup", args, waiting_for=BACKING_UP, errand=errand)
    checksum = result.get("checksum")
    if not isinstance(checksum, str):
        raise GuestError("The guest agent of the source reported a backup in a form that is not understood.")
    return _backup(work, source_id, checksum=checksum)


def _backup(work: Work, source_id: str, *, checksum: str | None = None) -> Backup:
    """Return the backup as if it were one of the tenant's."""
    return Backup(
        id=work.operation.id,
        name="replica",
        project_id=work.operation.project_id,
        state=BackupState.BUILDING if checksum is None else BackupState.COMPLETED,
        type=BackupType.FULL,
        storage_driver=work.doors.settings.backups.storage_driver,
        created=work.operation.created,
        updated=work.operation.created,
        instance_id=source_id,
        container=str(work.operation.args[SNAPSHOT_CONTAINER]),
        checksum=checksum,
    )


def _link(work: Work, backup: Backup) -> chain.Link:
    try:
        return chain.chain_of(work.doors.objects.of(backup.project_id), backup)[-1]
    except (NotFound, Conflict) as error:
        raise GuestError(f"The backup of the source is not whole. {error.message}") from error
