"""Delete a backup and all that build on it, those first. A row goes only after its objects: no object is ever lost sight of."""

from datetime import timedelta
from functools import partial
from typing import Any

from trove.core.backups import RUNNING, Backup, BackupType
from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import NotFound, NotReady, TroveError
from trove.core.quotas import Resource
from trove.operations.backup import create
from trove.operations.booking import Subject, book_on
from trove.operations.doors import Doors
from trove.operations.steps import line, step
from trove.operations.work import Pauses, Work
from trove.store import backups, operations, quotas
from trove.store.session import Tx

KIND = "backup.delete"
BACKUP = "backup"


def start(doors: Doors, caller: Caller, backup_id: str) -> None:
    """Accept the deletion of a backup and of all that build on it.

    Raises `NotFound`; `NotReady` while one of them is being made, unless that takes longer than any may, or it is being deleted
    already.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, backup_id))


def flow(work: Work) -> Any:
    """Return the flow: each backup is a step of its own, after what still writes to any of them has ended."""
    ids = _ids(work)
    waiting_for = "the object store to delete the backup"
    removals = [
        step(work, partial(remove, backup_id=each), waiting_for=waiting_for, name=f"remove_{number}_of_{len(ids)}")
        for number, each in enumerate(ids, start=1)
    ]
    return line(work, step(work, await_writers, waiting_for="the backup that is being made to end"), *removals)


def succeed(_tx: Tx, _work: Work) -> None:
    """Do nothing more: each row went with its objects."""


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show what could not be deleted as DELETE_FAILED; it can be deleted again."""
    operations.check(tx, work.fence)
    backups.deletion_failed(tx, _ids(work), error.message)


def await_writers(work: Work) -> None:
    """Wait until nothing makes any of these backups any more: it could store objects after they were deleted."""
    pauses = Pauses()
    while True:
        with work.doors.database.reading() as tx:
            writers = [each for each in _ids(work) if _is_being_made(tx, each)]
            if not writers:
                return
            work.check(tx, waiting_for="the backup that is being made to end", heard=f"backup {writers[0]} is being made")
        work.pause(next(pauses))


def remove(work: Work, *, backup_id: str) -> None:
    """Delete the objects of a backup, then hide its row and give its quota back. What was imported is not ours to delete."""
    with work.doors.database.reading() as tx:
        try:
            backup = backups.get(tx, backup_id)
        except NotFound:
            return
    if backup.type is not BackupType.IMPORTED and backup.container is not None:
        create.remove_objects(work, backup.container, backup.id)
    work.doors.database.run(_hide, work, backup)


def _hide(tx: Tx, work: Work, backup: Backup) -> None:
    if backups.mark_deleted(tx, backup.id, fence=work.fence):
        quotas.release(tx, backup.project_id, {Resource.BACKUPS: 1})


def _book(tx: Tx, doors: Doors, caller: Caller, backup_id: str) -> str:
    backups.get(tx, backup_id, project_id=None if caller.is_admin else caller.project_id)
    tree = backups.with_descendants(tx, backup_id)
    asked = tree[-1]
    if asked.deleting:
        raise NotReady(f"Backup {asked.id} is being deleted already.")
    oldest = utcnow() - timedelta(days=doors.settings.backups.running_expires_days)
    for each in tree:
        if each.state in RUNNING and each.updated > oldest:
            raise NotReady(f"Backup {each.id} cannot be deleted: its status is {each.state.value}.")
    for each in tree:
        if each.state in RUNNING and each.instance_id is not None:
            _cancel_making(tx, each)
    ids = [each.id for each in tree]
    backups.mark_deleting(tx, ids)
    subject = Subject(type=BACKUP, id=asked.id, project_id=asked.project_id)
    timeout_s = doors.settings.delete_timeout_s
    return book_on(tx, caller, subject, KIND, timeout_s=timeout_s, args={"backup_id": asked.id, "ids": ids}).id


def _cancel_making(tx: Tx, backup: Backup) -> None:
    for operation in operations.unfinished(tx, limit=100, resource_id=str(backup.instance_id)):
        if operation.kind == create.KIND and operation.args.get("backup_id") == backup.id:
            operations.request_cancel(tx, operation.id)


def _is_being_made(tx: Tx, backup_id: str) -> bool:
    try:
        instance_id = backups.get(tx, backup_id).instance_id
    except NotFound:
        return False
    found = operations.unfinished(tx, limit=100, resource_id=str(instance_id)) if instance_id else ()
    return any(each.kind == create.KIND and each.args.get("backup_id") == backup_id for each in found)


def _ids(work: Work) -> list[str]:
    ids = work.operation.args["ids"]
    assert isinstance(ids, list)
    return [str(each) for each in ids]
