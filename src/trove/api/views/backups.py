"""How backups and their strategies look (contract 8)."""

from trove.core.backups import Backup, BackupStrategy
from trove.core.clock import wire_time
from trove.core.json import JSON
from trove.core.units import GIB


def backup(found: Backup) -> dict[str, JSON]:
    """Return a backup; `fault` says why it failed, or could not be deleted, and is there only then."""
    version = found.datastore_version
    view: dict[str, JSON] = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "locationRef": found.location,
        "instance_id": found.instance_id,
        "created": wire_time(found.created),
        "updated": wire_time(found.updated),
        "size": None if found.size_bytes is None else round(found.size_bytes / GIB, 2),
        "status": found.state.value,
        "parent_id": found.parent_id,
        "project_id": found.project_id,
        "datastore": None
        if version is None
        else {"type": version.datastore_name, "version": version.name, "version_id": version.id},
    }
    if found.note is not None:
        view["fault"] = {"message": found.note, "created": wire_time(found.updated)}
    return view


def strategy(found: BackupStrategy) -> dict[str, JSON]:
    """Return a strategy; that for the whole project has an empty instance."""
    return {
        "project_id": found.project_id,
        "instance_id": found.instance_id or "",
        "backend": found.backend,
        "swift_container": found.container,
    }
