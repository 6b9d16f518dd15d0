"""How administrators see things (contract 4.4, 13 and 14)."""

from collections.abc import Mapping

from trove.api.views.instances import Viewer, detail
from trove.cloud.contract import HostInfo, StoragePool, VolumeInfo
from trove.core.clock import wire_time
from trove.core.datastores import DatastoreVersion
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.quotas import Quota
from trove.core.status import shown_service, shown_status
from trove.core.units import GIB


def instance(found: Instance, viewer: Viewer, host: str | None) -> dict[str, JSON]:
    """Return an instance of a list: what its project sees in detail, and more. `host` is where its server runs."""
    deleted = found.deleted_at is not None
    view = detail(found, viewer)
    datastore = view["datastore"]
    assert isinstance(datastore, dict)
    return {
        **view,
        # Its version may have been deleted since, too.
        "datastore": {name: text or "" for name, text in datastore.items()},
        "tenant_id": found.project_id,
        "server": None if deleted else _server(found, host),
        "service_status": shown_service(found.guest.status),
        "task_description": found.task.value.replace("_", " ").lower(),
        "deleted": deleted,
        "deleted_at": None if found.deleted_at is None else wire_time(found.deleted_at),
    }


def shown(view: dict[str, JSON], found: Instance, volume: VolumeInfo | None, root: tuple[bool, str | None]) -> dict[str, JSON]:
    """Return `view` of an instance with what is told of one alone.

    `volume` is None when the cloud does not tell; `root` tells whether the superuser is enabled, and who did it last.
    """
    server = view["server"]
    if isinstance(server, dict):
        server = {**server, "addresses": _addresses(found)}
    return {
        **view,
        "server": server,
        "volume": _volume(found, volume),
        "root_enabled": root[0],
        "root_enabled_by": root[1],
        "guest_status": {"state_description": found.guest.status.value},
    }


def quota(found: Quota) -> dict[str, JSON]:
    """Return use and limit of a resource."""
    return {"resource": found.resource.value, "in_use": found.in_use, "reserved": found.reserved, "limit": found.limit}


def version(found: DatastoreVersion, *, default: bool) -> dict[str, JSON]:
    """Return a datastore version; an empty list is shown as one with an empty text."""
    return {
        "id": found.id,
        "name": found.name,
        "version": found.version,
        "datastore_id": found.datastore_id,
        "datastore_name": found.datastore_name,
        "datastore_manager": found.manager,
        "image": found.image_id or "",
        "image_tags": list(found.image_tags) or [""],
        "packages": found.packages.split(","),
        "active": found.active,
        "default": default,
        "registry_ext": found.registry_ext,
        "repl_strategy": found.repl_strategy,
    }


def host(found: HostInfo, instances: Mapping[str, Instance]) -> dict[str, JSON]:
    """Return a host with those of its instances that are known; memory in MiB."""
    percent = 100 * found.used_ram_mib / found.total_ram_mib if found.total_ram_mib else 0
    return {
        "name": found.name,
        "percentUsed": round(percent, 2),
        "totalRAM": found.total_ram_mib,
        "usedRAM": found.used_ram_mib,
        "instances": [
            {
                "uuid": each.id,
                "name": each.name,
                "tenant_id": each.project_id,
                "status": shown_status(each.task, each.server_status),
            }
            for each in (instances[one] for one in found.instance_ids if one in instances)
        ],
    }


def device(found: StoragePool) -> dict[str, JSON]:
    """Return where volumes are kept, in GiB. What may be provisioned is what the disk has."""
    percent = 100 * found.provisioned_gib / found.total_gib if found.total_gib else 0
    return {
        "name": found.name,
        "type": found.type,
        "used": round(found.total_gib - found.free_gib, 2),
        "capacity": {"total": round(found.total_gib, 2), "available": round(found.free_gib, 2)},
        "provision": {
            "total": round(found.total_gib, 2),
            "available": round(max(0.0, found.total_gib - found.provisioned_gib), 2),
            "percent": round(percent, 2),
        },
    }


def _server(found: Instance, host: str | None) -> JSON:
    if found.server_id is None:
        return None
    return {
        "id": found.server_id,
        "name": found.name,
        "status": found.server_status.value if found.server_status else None,
        "tenant_id": found.project_id,
        "host": host,
    }


def _addresses(found: Instance) -> dict[str, JSON]:
    networks: dict[str, list[JSON]] = {}
    for each in found.addresses:
        number = 6 if ":" in each.address else 4
        networks.setdefault(each.type, []).append({"addr": each.address, "version": number})
    return dict(networks)


def _volume(found: Instance, volume: VolumeInfo | None) -> JSON:
    if found.volume is None:
        return None
    if volume is None:
        return {"id": found.volume.volume_id}
    used, total = found.volume.used_bytes, found.volume.total_bytes
    return {
        "id": volume.id,
        "size": volume.size_gib,
        "status": "in-use" if volume.attached else "available",
        "attachments": [{"server_id": found.server_id}] if volume.attached else [],
        "availability_zone": None,
        "created_at": wire_time(found.created),
        "used": None if used is None else round(used / GIB, 2),
        "total": None if total is None else round(total / GIB, 2),
    }
