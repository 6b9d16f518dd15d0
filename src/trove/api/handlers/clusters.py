"""Clusters: create, list, show, act on, delete; their members and their superuser."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from trove.api import query
from trove.api.handlers import instance_bodies as bodies
from trove.api.request import Request
from trove.api.views import clusters as views
from trove.api.views import instances as instance_views
from trove.api.views.users import superuser
from trove.core.clock import utcnow
from trove.core.clusters import Cluster, ClusterVerb
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import is_id
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.operations.cluster import (
    attach_configuration,
    detach_configuration,
    disable_root,
    enable_root,
    grow,
    reset_status,
    restart,
    show_root,
    shrink,
    upgrade,
)
from trove.operations.cluster import create as create_cluster
from trove.operations.cluster import delete as delete_cluster
from trove.operations.cluster.building import MemberRequest
from trove.operations.cluster.members import cluster_of, need_verb
from trove.operations.sight import instance_of
from trove.store import clusters, management
from trove.store.session import Tx


def create(request: Request) -> JSON:
    """Accept a new cluster and return it as it is now: being built."""
    wanted: Mapping[str, Any] = request.body["cluster"]
    if wanted.get("configuration"):
        request.policy.enforce("instance:update", request.caller)
    made = create_cluster.start(
        request.doors,
        request.caller,
        create_cluster.CreateCluster(
            name=wanted["name"],
            datastore_type=wanted["datastore"]["type"],
            datastore_version=wanted["datastore"]["version"],
            members=_members(request, wanted["instances"], "instances"),
            locality=wanted.get("locality") or None,
            configuration_id=_configuration_id(wanted["configuration"]) if wanted.get("configuration") else None,
            extended_properties=wanted.get("extended_properties") or {},
        ),
    )
    return {"cluster": views.summary(made, request.links)}


def index(request: Request) -> JSON:
    """List the project's clusters, newest first."""
    limit = query.limit(request.query, request.settings.clusters_page_size)
    with request.doors.database.reading() as tx:
        page = clusters.page(tx, project_id=request.caller.project_id, limit=limit, marker=query.marker(request.query))
    return request.links.page("clusters", [views.summary(each, request.links) for each in page.items], page.next_marker, limit)


def show(request: Request) -> JSON:
    """Show a cluster with its members."""
    with request.doors.database.reading() as tx:
        found = cluster_of(tx, request.caller, cluster_id(request))
        return {"cluster": views.detail(found, loaded_members(tx, found), request.links)}


def show_instance(request: Request) -> JSON:
    """Show a member as an instance."""
    with request.doors.database.reading() as tx:
        cluster = cluster_of(tx, request.caller, cluster_id(request))
        found = instance_of(tx, request.caller, request.instance_id())
    if found.cluster_id != cluster.id:
        raise NotFound(f"Instance {found.id} is not a member of cluster {cluster.id}.")
    expired_before = utcnow() - timedelta(seconds=request.doors.settings.heartbeat_expiry_s)
    viewer = instance_views.Viewer(links=request.links, is_admin=request.caller.is_admin, expired_before=expired_before)
    return {"instance": instance_views.detail(found, viewer, usage=True)}


def delete(request: Request) -> None:
    """Accept the deletion of a cluster."""
    delete_cluster.start(request.doors, request.caller, cluster_id(request))


def action(request: Request) -> JSON:
    """Accept the one action that the body names, and return the cluster."""
    names = list(request.body)
    if len(names) != 1 or names[0] not in _ACTIONS:
        raise InvalidInput(f"The body must name exactly one action of: {', '.join(sorted(_ACTIONS))}.")
    name, argument = names[0], request.body[names[0]]
    request.policy.enforce(_rule(name, argument), request.caller)
    wanted = cluster_id(request)
    with request.doors.database.reading() as tx:
        cluster_of(tx, request.caller, wanted)
    return {"cluster": views.summary(_ACTIONS[name](request, wanted, argument), request.links)}


def root(request: Request) -> JSON:
    """Tell whether the superuser is enabled."""
    return {"rootEnabled": show_root.start(request.doors, request.caller, cluster_id(request))}


def enable(request: Request) -> JSON:
    """Enable the superuser and return its password, given or made."""
    password = (request.body or {}).get("password")
    return {"user": superuser(enable_root.start(request.doors, request.caller, cluster_id(request), password))}


def disable(request: Request) -> None:
    """Disable the superuser."""
    disable_root.start(request.doors, request.caller, cluster_id(request))


def cluster_id(request: Request) -> str:
    """Return the id of the cluster in the path."""
    return request.id("cluster_id", "Cluster")


def loaded_members(tx: Tx, cluster: Cluster) -> Mapping[str, Instance]:
    """Return the members of a cluster by id."""
    return {each.id: each for each in management.some(tx, [member.id for member in cluster.members])}


def _rule(name: str, argument: Any) -> str:
    if name != "reset-status":
        return "cluster:action"
    return "cluster:force_delete" if argument and "force_delete" in argument else "cluster:reset-status"


def _grow(request: Request, wanted: str, argument: Any) -> Cluster:
    return grow.start(request.doors, request.caller, wanted, _members(request, argument, "grow"))


def _shrink(request: Request, wanted: str, argument: Any) -> Cluster:
    return shrink.start(request.doors, request.caller, wanted, [each["id"].lower() for each in argument])


def _add_shard(request: Request, wanted: str, _argument: Any) -> Cluster:
    with request.doors.database.reading() as tx:
        found = cluster_of(tx, request.caller, wanted)
    need_verb(found, ClusterVerb.ADD_SHARD)
    raise InvalidInput("add_shard: is not available in this version of the service.")


def _upgrade(request: Request, wanted: str, argument: Any) -> Cluster:
    return upgrade.start(request.doors, request.caller, wanted, argument["datastore_version"])


def _attach(request: Request, wanted: str, argument: Any) -> Cluster:
    group = _configuration_id(argument["configuration_id"])
    return attach_configuration.start(request.doors, request.caller, wanted, group)


_ACTIONS: Mapping[str, Callable[[Request, str, Any], Cluster]] = {
    "grow": _grow,
    "shrink": _shrink,
    "add_shard": _add_shard,
    "upgrade": _upgrade,
    "restart": lambda request, wanted, _: restart.start(request.doors, request.caller, wanted),
    "reset-status": lambda request, wanted, _: reset_status.start(request.doors, request.caller, wanted),
    "configuration_attach": _attach,
    "configuration_detach": lambda request, wanted, _: detach_configuration.start(request.doors, request.caller, wanted),
}


def _members(request: Request, given: Any, where: str) -> tuple[MemberRequest, ...]:
    if any(each.get("modules") for each in given):
        request.policy.enforce("instance:module_apply", request.caller)
    return tuple(_member(each, f"{where}[{number}]") for number, each in enumerate(given))


def _member(wanted: Mapping[str, Any], where: str) -> MemberRequest:
    if wanted.get("related_to"):
        raise InvalidInput(f"{where}['related_to']: is for datastores whose clusters have shards.")
    size, volume_type = bodies.volume(wanted.get("volume"))
    try:
        nic = bodies.nic(wanted.get("nics") or (), replica=False)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}") from error
    return MemberRequest(
        flavor_ref=bodies.flavor_ref(wanted),
        volume_size_gib=size,
        volume_type=volume_type,
        nic=nic,
        availability_zone=wanted.get("availability_zone") or None,
        region=wanted.get("region_name") or None,
        name=wanted.get("name") if where.startswith("grow") else None,
        type=wanted.get("type") or None,
        module_ids=bodies.module_ids(wanted.get("modules") or ()),
    )


def _configuration_id(given: str) -> str:
    """Return the id of a configuration group, also of a link that ends in one."""
    found = given.rstrip("/").rpartition("/")[2].lower()
    if not is_id(found):
        raise NotFound(f"Configuration group {found[:100]} was not found.")
    return found
