"""What a new instance needs in order to begin with the data of a backup."""

from collections.abc import Mapping
from datetime import timedelta

from trove.core.backups import USABLE, Backup
from trove.core.callers import Caller
from trove.core.datastores import DatastoreVersion
from trove.core.errors import Conflict, Forbidden, InvalidInput, Unsupported
from trove.core.ids import is_id
from trove.core.json import JSON
from trove.core.tickets import Verb
from trove.core.units import GIB
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.backup import chain, keys
from trove.operations.doors import Doors
from trove.operations.work import Work
from trove.store import backups
from trove.store.session import Tx

BACKUP_ID = "backup_id"
"""Argument of a creation: the backup that it begins with."""


def wanted_backup(tx: Tx, caller: Caller, ref: str) -> Backup:
    """Return the backup that an id, or a link that ends in one, names. Raises `InvalidInput`, `NotFound`."""
    backup_id = ref.rstrip("/").rsplit("/", 1)[-1]
    if not is_id(backup_id):
        raise InvalidInput("restorePoint: backupRef must be the id of a backup, or a link that ends in one.")
    return backups.get(tx, backup_id.lower(), project_id=None if caller.is_admin else caller.project_id)


def check_restorable(doors: Doors, backup: Backup, version: DatastoreVersion, size_gib: int | None) -> None:
    """See that the backup is whole and fits into a volume of that size, for an instance of that version.

    Raises `Conflict` (its state, its checksum), `Forbidden` (its size), `NotFound` (its objects), `InvalidInput` (its
    datastore), `Unsupported`, `Unavailable`.
    """
    spec = registry.spec(version.manager)
    if Facet.BACKUPS not in spec.facets:
        raise Unsupported(f"restorePoint: {spec.title} cannot be restored from a backup.")
    if backup.state not in USABLE or backup.deleting:
        state = "being deleted" if backup.deleting else backup.state.value
        raise Conflict(f"Backup {backup.id} cannot be restored: its status is {state}.")
    needed = backup.size_bytes or 0
    if size_gib is not None and needed > size_gib * GIB:
        raise Forbidden(f"Backup {backup.id} holds {needed / GIB:.2f} GiB, which a volume of {size_gib} GiB cannot hold.")
    objects = chain.store_of(doors.objects, backup)
    for link in chain.chain_of(objects, backup):
        chain.check_segments(objects, link)
    ours = backup.datastore_version
    if ours is None or ours.datastore_name != version.datastore_name:
        theirs = "a datastore that is no longer on offer" if ours is None else ours.datastore_name
        raise InvalidInput(f"Backup {backup.id} is of {theirs}, and the instance of {version.datastore_name}.")
    if not spec.can_restore(ours.version, version.version):
        raise InvalidInput(
            f"datastore_version: backup {backup.id} is of {ours.datastore_name} {ours.version}, whose data {version.version} "
            f"cannot begin with. Restore it with its own version, and upgrade the instance then."
        )


def hold_restorable(tx: Tx, backup_id: str) -> None:
    """Raise `NotFound` or `Conflict` unless the backup still can be restored. Nobody else changes it until `tx` ends."""
    backup = backups.get(tx, backup_id, hold=True)
    if backup.state not in USABLE or backup.deleting:
        raise Conflict(f"Backup {backup.id} cannot be restored any more.")


def restore_job(work: Work) -> Mapping[str, JSON] | None:
    """Return what the guest's job `prepare` is told of the backup to begin with, tickets among it; None when there is none."""
    backup_id = work.operation.args.get(BACKUP_ID)
    if backup_id is None:
        return None
    with work.doors.database.reading() as tx:
        backup = backups.get(tx, str(backup_id))
    return restore_args(work, backup)


def restore_args(work: Work, backup: Backup) -> Mapping[str, JSON]:
    """Return what a guest is told of a backup that it is to restore, tickets among it."""
    objects = chain.store_of(work.doors.objects, backup)
    expires = work.operation.deadline + timedelta(seconds=work.doors.settings.revert_timeout_s)
    return {
        "chain": [
            {
                "manifest": link.name,
                "digest": link.digest,
                "data_key": keys.of_link(work, backup.project_id, link),
                "ticket": objects.ticket(link.container, link.prefix, Verb.GET, expires=expires, names=link.names).to_json(),
            }
            for link in chain.chain_of(objects, backup)
        ]
    }
