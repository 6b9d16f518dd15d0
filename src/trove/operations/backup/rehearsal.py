"""How the crash test-kit has backups made and deleted; nothing else calls this."""

from hashlib import sha256

from trove.core.backups import BackupState, BackupType, NewBackup
from trove.core.callers import Caller
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.manifests import Manifest, Parent, Segment, manifest_name, segment_name
from trove.core.quotas import Resource
from trove.operations.backup import create, delete
from trove.operations.booking import quota_defaults
from trove.operations.doors import Doors
from trove.store import backups, instances, quotas
from trove.store.session import Tx


def back_it_up(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept a backup of the instance."""
    create.start(doors, caller, create.CreateBackup(name="rehearsal", instance_id=instance_id))
    return instance_id


def delete_its_backups(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Store a backup with one that builds on it, and accept the deletion of the first."""
    with doors.database.reading() as tx:
        instance = instances.get(tx, instance_id)
    full = _stored(doors, instance, None)
    _stored(doors, instance, full)
    delete.start(doors, caller, full.backup_id)
    return full.backup_id


def _stored(doors: Doors, instance: Instance, parent: Manifest | None) -> Manifest:
    backup_id, container, content = new_id(), doors.settings.backups.container, b"rehearsal"
    segment = Segment(name=segment_name(backup_id, 0), size=len(content), digest=sha256(content).hexdigest())
    manifest = Manifest(
        backup_id=backup_id,
        project_id=instance.project_id,
        instance_id=instance.id,
        manager=instance.datastore_version.manager,
        datastore=instance.datastore_version.datastore_name,
        datastore_version=instance.datastore_version.version,
        encoding="plain",
        data_bytes=len(content),
        stored_bytes=len(content),
        segments=(segment,),
        parent=None if parent is None else _as_parent(container, parent),
    )
    doors.objects.put(container, segment.name, [content])
    doors.objects.put(container, manifest_name(backup_id), [manifest.to_bytes()])
    doors.database.run(_insert, doors, instance, manifest, None if parent is None else parent.backup_id)
    return manifest


def _as_parent(container: str, manifest: Manifest) -> Parent:
    digest = sha256(manifest.to_bytes()).hexdigest()
    return Parent(container=container, name=manifest_name(manifest.backup_id), digest=digest)


def _insert(tx: Tx, doors: Doors, instance: Instance, manifest: Manifest, parent_id: str | None) -> None:
    one = {Resource.BACKUPS: 1}
    quotas.reserve(tx, instance.project_id, one, quota_defaults(doors.settings.limits))
    quotas.commit(tx, instance.project_id, one)
    backups.insert(
        tx,
        NewBackup(
            id=manifest.backup_id,
            name="rehearsal",
            project_id=instance.project_id,
            instance_id=instance.id,
            datastore_version_id=instance.datastore_version.id,
            parent_id=parent_id,
            type=BackupType.FULL if parent_id is None else BackupType.INCREMENTAL,
            state=BackupState.COMPLETED,
            storage_driver=doors.settings.backups.storage_driver,
            container=doors.settings.backups.container,
            location=doors.objects.url(doors.settings.backups.container, manifest_name(manifest.backup_id)),
            checksum=sha256(manifest.to_bytes()).hexdigest(),
            size_bytes=manifest.data_bytes,
        ),
    )
