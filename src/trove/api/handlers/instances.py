"""Instances: create, list, show, rename, delete, and their actions."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any

from trove.api import query
from trove.api.handlers.databases import databases_of
from trove.api.handlers.users import users_of
from trove.api.request import Request
from trove.api.views import instances as views
from trove.cloud.contract import NicRequest
from trove.core.clock import utcnow
from trove.core.errors import InvalidInput, Unsupported
from trove.core.instances import Access
from trove.core.json import JSON
from trove.operations.instance import create as create_instance
from trove.operations.instance import delete as delete_instance
from trove.operations.instance import rename as rename_instance
from trove.operations.instance import reset_status as reset_instance
from trove.operations.instance import resize_flavor, resize_volume
from trove.operations.instance import restart as restart_instance
from trove.operations.sight import instance_of
from trove.store import instances

NOT_YET: Mapping[str, str] = {
    "restorePoint": "Restoring a backup",
    "replica_of": "Creating a replica",
    "replica_count": "Creating replicas",
    "configuration": "Attaching a configuration group",
    "modules": "Applying modules",
    "locality": "Choosing the locality of instances",
}
"""Fields of a creation that this version of the service refuses, and what each would do."""

NOT_YET_UPDATED: Mapping[str, str] = {
    "replica_of": "Detaching a replica",
    "slave_of": "Detaching a replica",
    "configuration": "Attaching or detaching a configuration group",
    "datastore_version": "Upgrading the datastore version",
    "access": "Changing who may connect",
}

ACTION_RULES: Mapping[str, str] = {
    "restart": "instance:restart",
    "reset_status": "instance:reset_status",
    "resize": "instance:resize_volume",
    "promote_to_replica_source": "instance:promote_to_replica_source",
    "eject_replica_source": "instance:eject_replica_source",
    "reset_password": "instance:update",
}

NOT_YET_ACTIONS: Mapping[str, str] = {
    "promote_to_replica_source": "Promoting a replica",
    "eject_replica_source": "Ejecting a replication source",
    "reset_password": "Resetting a password as an action",
}


def create(request: Request) -> JSON:
    """Accept a new instance and return it as it is now: being built."""
    wanted: Mapping[str, Any] = request.body["instance"]
    _enforce_parts(request, wanted)
    for field, deed in NOT_YET.items():
        if wanted.get(field) and not (field == "replica_count" and wanted[field] == 1):
            raise _not_yet(deed, field)
    size, volume_type = _volume(wanted.get("volume"))
    datastore = wanted.get("datastore") or {}
    made = create_instance.start(
        request.doors,
        request.caller,
        create_instance.CreateInstance(
            name=wanted["name"],
            flavor_ref=_flavor_ref(wanted),
            volume_size_gib=size,
            volume_type=volume_type,
            datastore_type=datastore.get("type") or None,
            datastore_version=datastore.get("version") or None,
            datastore_version_number=datastore.get("version_number") or None,
            databases=databases_of(wanted.get("databases") or ()),
            users=users_of(wanted.get("users") or ()),
            availability_zone=wanted.get("availability_zone") or None,
            nic=_nic(wanted.get("nics") or ()),
            access=_access(wanted.get("access")),
            region=wanted.get("region_name") or None,
        ),
    )
    return {"instance": views.detail(made, _viewer(request))}


def index(request: Request) -> JSON:
    """List the project's instances, newest first."""
    return _page(request, views.summary)


def detail(request: Request) -> JSON:
    """List the project's instances with details, newest first."""
    return _page(request, views.detail)


def show(request: Request) -> JSON:
    """Show an instance from what is stored; neither its guest nor the cloud is asked."""
    with request.doors.database.reading() as tx:
        found = instance_of(tx, request.caller, request.instance_id())
    return {"instance": views.detail(found, _viewer(request), usage=True)}


def update(request: Request) -> None:
    """Rename an instance; what else the contract can change here comes with later versions."""
    instance_id = request.instance_id()
    wanted: Mapping[str, Any] = request.body["instance"]
    with request.doors.database.reading() as tx:
        instance_of(tx, request.caller, instance_id)
    others = [field for field in wanted if field != "name"]
    if len(others) > 1:
        raise InvalidInput(f"Only one of {', '.join(sorted(others))} can be changed in one request.")
    for field in others:
        raise _not_yet(NOT_YET_UPDATED[field], field)
    if "name" not in wanted:
        raise _not_yet(NOT_YET_UPDATED["configuration"], "configuration")
    rename_instance.start(request.doors, request.caller, instance_id, wanted["name"])


def delete(request: Request) -> None:
    """Accept the deletion of an instance."""
    delete_instance.start(request.doors, request.caller, request.instance_id())


def action(request: Request) -> None:
    """Accept the one action that the body names."""
    names = list(request.body)
    if len(names) != 1 or names[0] not in ACTION_RULES:
        known = ", ".join(sorted(ACTION_RULES))
        raise InvalidInput(f"The body must name exactly one action of: {known}.")
    name, argument = names[0], request.body[names[0]]
    request.policy.enforce(_rule(name, argument), request.caller)
    instance_id = request.instance_id()
    with request.doors.database.reading() as tx:
        instance_of(tx, request.caller, instance_id)
    if name in NOT_YET_ACTIONS:
        raise _not_yet(NOT_YET_ACTIONS[name], name)
    if name == "resize":
        _resize(request, instance_id, argument)
        return
    start = restart_instance.start if name == "restart" else reset_instance.start
    start(request.doors, request.caller, instance_id)


def _resize(request: Request, instance_id: str, wanted: Mapping[str, Any]) -> None:
    if len(wanted) != 1:
        raise InvalidInput("resize: give either a volume or a flavorRef; one is changed in one request.")
    if "volume" in wanted:
        size, _ = _volume(wanted["volume"])
        assert size is not None
        resize_volume.start(request.doors, request.caller, instance_id, size)
    else:
        resize_flavor.start(request.doors, request.caller, instance_id, str(wanted["flavorRef"]))


def _rule(name: str, argument: Any) -> str:
    if name == "reset_status" and argument and "force_delete" in argument:
        return "instance:force_delete"
    if name == "resize" and "volume" not in argument:
        return "instance:resize_flavor"
    return ACTION_RULES[name]


def _enforce_parts(request: Request, wanted: Mapping[str, Any]) -> None:
    for field, rule in (
        ("configuration", "instance:update"),
        ("modules", "instance:module_apply"),
        ("users", "instance:extension:user:create"),
        ("databases", "instance:extension:database:create"),
    ):
        if wanted.get(field):
            request.policy.enforce(rule, request.caller)


def _page(request: Request, view: Any) -> JSON:
    limit = query.limit(request.query, request.settings.instances_page_size)
    with request.doors.database.reading() as tx:
        page = instances.page(
            tx,
            project_id=request.caller.project_id,
            limit=limit,
            marker=query.marker(request.query),
            include_clustered=query.flag(request.query, "include_clustered"),
        )
    viewer = _viewer(request)
    return request.links.page("instances", [view(item, viewer) for item in page.items], page.next_marker, limit)


def _viewer(request: Request) -> views.Viewer:
    expired_before = utcnow() - timedelta(seconds=request.doors.settings.heartbeat_expiry_s)
    return views.Viewer(links=request.links, is_admin=request.caller.is_admin, expired_before=expired_before)


def _not_yet(deed: str, field: str) -> Unsupported:
    return Unsupported(f"{deed} ({field}) is not available in this version of the service.")


def _flavor_ref(wanted: Mapping[str, Any]) -> str | None:
    given = wanted.get("flavorRef", wanted.get("flavor"))
    if isinstance(given, dict):
        given = given.get("id")
    return None if given is None else str(given).rstrip("/").rpartition("/")[2]


def _volume(given: Any) -> tuple[int | None, str | None]:
    if given is None:
        return None, None
    if isinstance(given, int):
        return given, None
    return int(given["size"]), given.get("type") or None


def _nic(given: Any) -> NicRequest:
    if not given:
        return NicRequest()
    nic = given[0]
    if nic.get("port-id"):
        raise _not_yet("Using a port that exists already", "nics[0]['port-id']")
    request = NicRequest(
        network_id=nic.get("network_id") or nic.get("net-id"),
        subnet_id=nic.get("subnet_id"),
        ip_address=nic.get("ip_address") or nic.get("v4-fixed-ip"),
    )
    if request.network_id is None and request.subnet_id is None:
        raise InvalidInput("nics[0] needs a network_id or a subnet_id.")
    if request.ip_address is not None:
        if request.subnet_id is None:
            raise InvalidInput("nics[0]['ip_address'] needs a subnet_id beside it.")
        _check_network(request.ip_address, "nics[0]['ip_address']")
    return request


def _access(given: Any) -> Access | None:
    if given is None:
        return None
    networks = given.get("allowed_cidrs") or []
    for number, network in enumerate(networks):
        _check_network(network, f"access['allowed_cidrs'][{number}]")
    return Access(is_public=bool(given.get("is_public")), allowed_cidrs=tuple(networks))


def _check_network(text: str, field: str) -> None:
    try:
        if "/" in text:
            IPv4Network(text, strict=False)
        else:
            IPv4Address(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise InvalidInput(f"{field} {text!r} is not an IPv4 address or network.") from None
