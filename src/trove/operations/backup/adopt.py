"""Take in a backup that was made elsewhere: it is RESTORED at once, and its objects are not ours to delete."""

from dataclasses import dataclass

from trove.core.backups import Backup, BackupState, BackupType, NewBackup
from trove.core.callers import Caller
from trove.core.errors import InvalidInput, NotFound, Unsupported
from trove.core.ids import new_id
from trove.core.quotas import Resource
from trove.core.units import GIB
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.backup import chain, keys
from trove.operations.booking import quota_defaults
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.store import backups, datastores, quotas
from trove.store.session import Tx

UNREADABLE = "restore_from: remote_location cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptBackup:
    """What the tenant asked for. `location` is the URL of a manifest, as `locationRef` shows it."""

    name: str
    location: str
    datastore_version_id: str
    size_gib: float
    description: str | None = None


@notified("backup.create", lambda request: {"name": request.name, "description": request.description})
def start(doors: Doors, caller: Caller, request: AdoptBackup) -> Backup:
    """Store the backup's row and count it.

    Raises `InvalidInput` when it cannot be read, or was made by another project; `Unsupported`, `QuotaExceeded`, `Unavailable`.
    """
    objects = doors.objects.of(caller.project_id).holding(request.location)
    place = None if objects is None else objects.locate(request.location)
    if objects is None or place is None:
        raise InvalidInput(f"{UNREADABLE}: it is not in the object store of this service, in any region.")
    try:
        link = chain.read_link(objects, *place)
    except (NotFound, InvalidInput) as error:
        raise InvalidInput(f"{UNREADABLE}: there is no backup.") from error
    if link.manifest.project_id != caller.project_id:
        # As if it were not there: whose it is, is nobody's business.
        raise InvalidInput(f"{UNREADABLE}: there is no backup.")
    keys.need_key(doors, link.manifest)
    return doors.database.run(_book, doors, caller, request, link)


def _book(tx: Tx, doors: Doors, caller: Caller, request: AdoptBackup, link: chain.Link) -> Backup:
    try:
        version = datastores.version_by_id(tx, request.datastore_version_id)
    except NotFound as error:
        raise InvalidInput(f"restore_from: local_datastore_version_id: {error.message}") from error
    spec = registry.spec(version.manager)
    if Facet.BACKUPS not in spec.facets:
        raise Unsupported(f"{spec.title} cannot be backed up, nor restored.")
    if version.manager != link.manifest.manager:
        raise InvalidInput(f"restore_from: the backup is of {link.manifest.manager}, not of {version.datastore_name}.")
    one = {Resource.BACKUPS: 1}
    quotas.reserve(tx, caller.project_id, one, quota_defaults(doors.settings.limits))
    quotas.commit(tx, caller.project_id, one)
    new = NewBackup(
        id=new_id(),
        name=request.name,
        description=request.description,
        project_id=caller.project_id,
        datastore_version_id=version.id,
        type=BackupType.IMPORTED,
        state=BackupState.RESTORED,
        storage_driver=doors.settings.backups.storage_driver,
        container=link.container,
        location=request.location,
        checksum=link.digest,
        size_bytes=max(int(request.size_gib * GIB), link.manifest.data_bytes),
    )
    return backups.insert(tx, new)
