"""How clusters look (contract 10.2 and 13.6)."""

from collections.abc import Mapping

from trove.api.links import Links
from trove.core.clock import wire_time
from trove.core.clusters import CODES, DESCRIPTIONS, Cluster, Member
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.status import shown_status


def summary(cluster: Cluster, links: Links) -> dict[str, JSON]:
    """Return a cluster whose members' servers are not looked at, as lists and answers to actions have it."""
    view = _common(cluster, links)
    view["instances"] = [_member(member, links) for member in cluster.members]
    return view


def detail(cluster: Cluster, members: Mapping[str, Instance], links: Links) -> dict[str, JSON]:
    """Return a cluster with what is known of its members, by their ids."""
    view, addresses = _common(cluster, links), list[JSON]()
    shown: list[JSON] = []
    for member in cluster.members:
        if (instance := members.get(member.id)) is not None:
            shown.append({**_member(member, links), **_loaded(instance, links)})
            addresses += [each.address for each in instance.addresses]
    view["instances"] = shown
    view["ip"] = addresses
    return view


def management(view: dict[str, JSON], cluster: Cluster) -> dict[str, JSON]:
    """Return `view` of a cluster with what administrators see besides."""
    deleted_at = None if cluster.deleted_at is None else wire_time(cluster.deleted_at)
    return {**view, "tenant_id": cluster.project_id, "deleted": deleted_at is not None, "deleted_at": deleted_at}


def _common(cluster: Cluster, links: Links) -> dict[str, JSON]:
    version, task = cluster.datastore_version, cluster.task
    view: dict[str, JSON] = {
        "id": cluster.id,
        "name": cluster.name,
        "task": {"id": CODES[task], "name": task.value, "description": DESCRIPTIONS[task]},
        "created": wire_time(cluster.created),
        "updated": wire_time(cluster.updated),
        "links": links.of("clusters", cluster.id),
        "datastore": {"type": version.datastore_name, "version": version.name},
    }
    if cluster.extended_properties:
        view["extended_properties"] = dict(cluster.extended_properties)
    if cluster.locality:
        view["locality"] = cluster.locality
    if cluster.configuration_id:
        view["configuration"] = cluster.configuration_id
    if cluster.fault:
        view["fault"] = {"message": cluster.fault}
    return view


def _member(member: Member, links: Links) -> dict[str, JSON]:
    view: dict[str, JSON] = {
        "id": member.id,
        "name": member.name,
        "type": member.type,
        "links": links.of("instances", member.id),
    }
    if member.shard_id:
        view["shard_id"] = member.shard_id
    return view


def _loaded(instance: Instance, links: Links) -> dict[str, JSON]:
    view: dict[str, JSON] = {
        "status": shown_status(instance.task, instance.server_status),
        "flavor": {"id": instance.flavor_id, "links": links.of("flavors", instance.flavor_id)},
    }
    if instance.volume is not None:
        view["volume"] = {"size": instance.volume.size_gib}
    if instance.addresses:
        view["ip"] = [each.address for each in instance.addresses]
    return view
