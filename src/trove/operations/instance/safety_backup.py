"""A backup that an operation makes of its instance before it changes the data: the tenant's own, and kept whatever follows."""

from typing import Any

from trove.core.backups import RUNNING, BackupState
from trove.core.errors import TroveError
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.quotas import Resource
from trove.operations.backup import create as backup
from trove.operations.booking import commit_reserved, quota_defaults, release_reserved
from trove.operations.doors import Doors
from trove.operations.steps import step
from trove.operations.work import Work
from trove.store import backups, quotas
from trove.store.session import Tx

ARGUMENT = "backup_id"
RESERVED = {Resource.BACKUPS: 1}
"""What the operation must have reserved that makes one."""

_NAME_CHARACTERS = 255


def intend(tx: Tx, doors: Doors, instance: Instance, name: str) -> dict[str, JSON]:
    """Store the row of the backup, reserve its quota, and return the arguments of the operation. Raises `QuotaExceeded`."""
    quotas.reserve(tx, instance.project_id, RESERVED, quota_defaults(doors.settings.limits))
    request = backup.CreateBackup(name=name[:_NAME_CHARACTERS], instance_id=instance.id)
    return {ARGUMENT: backup.new_backup(tx, doors, instance, request).id}


def steps(work: Work) -> list[Any]:
    """Return the steps that make the backup; none for an operation that makes none."""
    if ARGUMENT not in work.operation.args:
        return []
    return [
        step(work, backup.take_backup, waiting_for="the guest agent to back the database up", undo=drop_unfinished),
        step(work, backup.check_objects, waiting_for="the object store to show the whole backup"),
        step(work, keep_backup, waiting_for="the backup to be recorded"),
    ]


def drop_unfinished(work: Work) -> None:
    """Remove what was stored of a backup that did not become whole."""
    with work.doors.database.reading() as tx:
        own = backup.backup_id(work)
        whole = backups.exists(tx, own) and backups.get(tx, own).state not in RUNNING
    if not whole:
        backup.drop_objects(work)


def keep_backup(work: Work) -> None:
    """Show the backup as whole: it stays, whatever becomes of the operation."""
    work.doors.database.run(_keep, work)


def settle(tx: Tx, work: Work, error: TroveError | None = None) -> None:
    """Count the backup as used, in the transaction that ends the operation; `error` is why one did not become whole."""
    if ARGUMENT not in work.operation.args:
        return
    own = backup.backup_id(work)
    if not backups.exists(tx, own):
        release_reserved(tx, work)
        return
    if error is not None and backups.get(tx, own).state in RUNNING:
        backups.record(tx, own, fence=work.fence, state=BackupState.FAILED, note=error.message)
    commit_reserved(tx, work)


def _keep(tx: Tx, work: Work) -> None:
    own = backup.backup_id(work)
    if backups.get(tx, own).state in RUNNING:
        backups.record(tx, own, fence=work.fence, state=BackupState.COMPLETED)
