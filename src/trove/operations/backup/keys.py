"""Keys of backups on their way to guests: in the arguments of jobs, which are sealed, and nowhere else."""

from base64 import b64encode
from dataclasses import asdict

from trove.core.backups import Backup
from trove.core.errors import GuestError, InvalidInput, NotFound
from trove.core.json import JSON
from trove.core.manifests import Manifest
from trove.operations.backup.chain import Link
from trove.operations.doors import Doors
from trove.operations.work import Work
from trove.store import backup_keys


def for_backup(work: Work, backup: Backup) -> dict[str, JSON]:
    """Return what a guest is told in order to encrypt a backup: a fresh key, and what to write of it into the manifest."""
    made = work.doors.database.run(backup_keys.new_backup_key, backup.project_id, backup.id)
    return {"data_key": b64encode(made.key).decode(), **asdict(made.encryption)}


def of_link(work: Work, project_id: str, link: Link) -> str | None:
    """Return the key of a backup that a guest is to restore; None for one that is not encrypted. Raises `GuestError`."""
    manifest = link.manifest
    if manifest.encryption is None:
        return None
    try:
        with work.doors.database.reading() as tx:
            key = backup_keys.open_backup_key(tx, project_id, manifest.backup_id, manifest.encryption)
    except (NotFound, InvalidInput) as error:
        raise GuestError(error.message) from error
    return b64encode(key).decode()


def need_key(doors: Doors, manifest: Manifest) -> None:
    """Raise `InvalidInput` for a backup that is encrypted by a key that is not known here."""
    if manifest.encryption is None:
        return
    try:
        with doors.database.reading() as tx:
            backup_keys.open_backup_key(tx, manifest.project_id, manifest.backup_id, manifest.encryption)
    except NotFound as error:
        raise InvalidInput(f"restore_from: {error.message}") from error
