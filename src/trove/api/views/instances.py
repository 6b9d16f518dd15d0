"""How instances look (contract 6.2). Everything comes from the row: no guest and no cloud is asked."""

from dataclasses import dataclass
from datetime import datetime

from trove.api.links import Links
from trove.core.clock import wire_time
from trove.core.instances import Address, Instance, Volume
from trove.core.json import JSON
from trove.core.status import shown_operating_status, shown_status

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looks, and when: a guest last heard before `expired_before` is shown as ERROR."""

    links: Links
    is_admin: bool
    expired_before: datetime


def summary(instance: Instance, viewer: Viewer) -> dict[str, JSON]:
    """Return the fields of a list."""
    links, guest, version = viewer.links, instance.guest, instance.datastore_version
    status = shown_status(instance.task, instance.server_status)
    view: dict[str, JSON] = {
        "id": instance.id,
        "name": instance.name,
        "status": status,
        "operating_status": shown_operating_status(
            instance.task, instance.server_status, guest.status, heard_at=guest.heard_at, expired_before=viewer.expired_before
        ),
        "links": links.of("instances", instance.id),
        "flavor": {"id": instance.flavor_id, "links": links.of("flavors", instance.flavor_id)},
        "datastore": {"type": version.datastore_name, "version": version.name},
        "region": instance.region,
        "access": _access(instance),
    }
    if instance.volume is not None:
        view["volume"] = {"size": instance.volume.size_gib}
    if instance.hostname and status != "BUILD":
        view["hostname"] = instance.hostname
    elif instance.addresses and status != "BUILD":
        view["ip"] = [address.address for address in instance.addresses]
        view["addresses"] = [_address(address) for address in instance.addresses]
    if instance.replica_of:
        view["replica_of"] = {"id": instance.replica_of, "links": links.of("instances", instance.replica_of)}
    if instance.replicas:
        view["replicas"] = [{"id": replica, "links": links.of("instances", replica)} for replica in instance.replicas]
    if viewer.is_admin:
        view["tenant_id"] = instance.project_id
    return view


def detail(instance: Instance, viewer: Viewer, *, usage: bool = False) -> dict[str, JSON]:
    """Return the fields of a detailed list and of a new instance; with `usage`, of one that is shown."""
    view = summary(instance, viewer)
    version = instance.datastore_version
    view["datastore"] = {"type": version.datastore_name, "version": version.name, "version_number": version.version}
    view["created"] = wire_time(instance.created)
    view["updated"] = wire_time(instance.updated)
    view["service_status_updated"] = wire_time(instance.guest.status_updated or instance.created)
    if instance.volume is not None and usage and instance.volume.used_bytes is not None:
        view["volume"] = _used(instance.volume, instance.guest.heard_at)
    if instance.fault is not None:
        view["fault"] = {
            "message": instance.fault.message,
            "created": wire_time(instance.fault.created),
            "details": instance.fault.details if viewer.is_admin else None,
        }
    if instance.configuration_id:
        view["configuration"] = {
            "id": instance.configuration_id,
            "name": instance.configuration_name,
            "links": viewer.links.of("configurations", instance.configuration_id),
        }
    if usage and instance.locality:
        view["locality"] = instance.locality
    if instance.cluster_id:
        view["cluster_id"] = instance.cluster_id
    if instance.replica_of and instance.guest.replica_state is not None:
        view["replication"] = instance.guest.replica_state.to_json()
    if viewer.is_admin:
        view["server_id"] = instance.server_id
        view["volume_id"] = instance.volume.volume_id if instance.volume else None
        view["encrypted_rpc_messaging"] = True
    return view


def _access(instance: Instance) -> dict[str, JSON]:
    if instance.access is not None:
        return {"is_public": instance.access.is_public, "allowed_cidrs": list(instance.access.allowed_cidrs)}
    if instance.addresses:
        return {"is_public": any(address.type == "public" for address in instance.addresses)}
    return {}


def _address(address: Address) -> dict[str, JSON]:
    view: dict[str, JSON] = {"address": address.address, "type": address.type}
    if address.network:
        view["network"] = address.network
    return view


def _used(volume: Volume, reported: datetime | None) -> dict[str, JSON]:
    used_bytes = volume.used_bytes or 0
    view: dict[str, JSON] = {"size": volume.size_gib, "used": round(used_bytes / GIB, 2)}
    if volume.total_bytes:
        view["used_percent"] = round(100 * used_bytes / volume.total_bytes, 2)
    if reported is not None:
        view["used_at"] = wire_time(reported)
    return view
