"""Instances: create, list, show, change, delete."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from trove.api import query
from trove.api.handlers import instance_bodies as bodies
from trove.api.handlers.databases import databases_of
from trove.api.handlers.users import users_of
from trove.api.request import Request
from trove.api.settling import settle
from trove.api.views import instances as views
from trove.cloud.contract import NicRequest
from trove.core.clock import utcnow
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import is_id
from trove.core.instances import Access, Instance
from trove.core.json import JSON
from trove.operations.instance import attach_configuration, detach_configuration, replicate, update_access, upgrade
from trove.operations.instance import create as create_instance
from trove.operations.instance import delete as delete_instance
from trove.operations.instance import detach as detach_replica
from trove.operations.instance import rename as rename_instance
from trove.operations.root.enable import generate_password
from trove.operations.sight import instance_of
from trove.operations.tls import consumers
from trove.store import instances

ROOT_PASSWORD_LENGTH = 36

_BACKUP = "backup_before_upgrade"


def create(request: Request) -> JSON:
    """Accept a new instance and return it as it is now: being built."""
    wanted: Mapping[str, Any] = request.body["instance"]
    _enforce_parts(request, wanted)
    source_id = bodies.source_ref(wanted)
    nic = bodies.nic(wanted.get("nics") or (), replica=source_id is not None)
    request.doors.cloud.check_nic(nic, request.caller.project_id)
    if source_id is not None:
        made = _create_replicas(request, wanted, nic, source_id)
        return {"instance": views.detail(made, _viewer(request))}
    password = generate_password(ROOT_PASSWORD_LENGTH)
    made = _create_plain(request, wanted, nic, password)
    shown = {"password": password} if create_instance.enables_root(request.doors, made.datastore_version) else {}
    return {"instance": {**views.detail(made, _viewer(request)), **shown}}


def _create_replicas(request: Request, wanted: Mapping[str, Any], nic: NicRequest, source_id: str) -> Instance:
    count = wanted.get("replica_count") or 1
    if nic.port_id is not None and count > 1:
        raise InvalidInput(f"nics[0]['port-id']: is one port, which {count} replicas cannot share; leave it out.")
    size, volume_type = bodies.volume(wanted.get("volume"))
    replicas = replicate.CreateReplicas(
        name=wanted["name"],
        source_id=source_id,
        count=count,
        flavor_ref=bodies.flavor_ref(wanted),
        volume_size_gib=size,
        volume_type=volume_type,
        availability_zone=wanted.get("availability_zone") or None,
        nic=nic,
        access=bodies.access(wanted.get("access")),
        region=wanted.get("region_name") or None,
        configuration_id=_configuration_ref(wanted),
        module_ids=bodies.module_ids(wanted.get("modules") or ()),
    )
    return replicate.start(request.doors, request.caller, replicas)


def _create_plain(request: Request, wanted: Mapping[str, Any], nic: NicRequest, root_password: str) -> Instance:
    size, volume_type = bodies.volume(wanted.get("volume"))
    datastore = wanted.get("datastore") or {}
    return create_instance.start(
        request.doors,
        request.caller,
        create_instance.CreateInstance(
            name=wanted["name"],
            flavor_ref=bodies.flavor_ref(wanted),
            volume_size_gib=size,
            volume_type=volume_type,
            datastore_type=datastore.get("type") or None,
            datastore_version=datastore.get("version") or None,
            datastore_version_number=datastore.get("version_number") or None,
            databases=databases_of(wanted.get("databases") or ()),
            users=users_of(wanted.get("users") or ()),
            availability_zone=wanted.get("availability_zone") or None,
            nic=nic,
            access=bodies.access(wanted.get("access")),
            region=wanted.get("region_name") or None,
            backup_ref=(wanted.get("restorePoint") or {}).get("backupRef"),
            configuration_id=_configuration_ref(wanted),
            locality=wanted.get("locality") or None,
            module_ids=bodies.module_ids(wanted.get("modules") or ()),
            root_password=root_password,
        ),
    )


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
    """Change one thing of an instance, and its name besides, which changes at once. No field at all detaches its group."""
    instance_id = request.instance_id()
    wanted: Mapping[str, Any] = request.body["instance"]
    with request.doors.database.reading() as tx:
        instance_of(tx, request.caller, instance_id)
    others = [field for field in wanted if field not in {"name", _BACKUP}]
    if _BACKUP in wanted and "datastore_version" not in wanted:
        raise InvalidInput(f"{_BACKUP}: is said together with datastore_version.")
    if len(others) > 1:
        raise InvalidInput(f"Only one of {', '.join(sorted(others))} can be changed in one request.")
    doors, caller = request.doors, request.caller
    if "replica_of" in wanted or "slave_of" in wanted:
        detach_replica.start(doors, caller, instance_id)
    elif "datastore_version" in wanted:
        upgrade.start(doors, caller, instance_id, wanted["datastore_version"], backup=wanted.get(_BACKUP))
    elif "access" in wanted:
        update_access.start(doors, caller, instance_id, bodies.access(wanted["access"]) or Access())
    elif "configuration" in wanted or not wanted:
        _configure(request, instance_id, _configuration_ref(wanted))
    if "name" in wanted:
        rename_instance.start(request.doors, request.caller, instance_id, wanted["name"])


def delete(request: Request) -> None:
    """Accept the deletion of an instance."""
    instance_id = request.instance_id()
    used = consumers.used_by(request.doors, instance_id)
    delete_instance.start(request.doors, request.caller, instance_id)
    consumers.exchange(request.doors, request.key_token, before=used, after={})


def _configure(request: Request, instance_id: str, configuration_id: str | None) -> None:
    doors, caller = request.doors, request.caller
    if configuration_id is None:
        started = detach_configuration.start(doors, caller, instance_id)
    else:
        started = attach_configuration.start(doors, caller, instance_id, configuration_id)
    settle(doors, [started] if started else [], within_s=request.settings.configuration_wait_s)


def _configuration_ref(wanted: Mapping[str, Any]) -> str | None:
    """Return the id of a configuration group, also of a link that ends in one; None for no group."""
    given = wanted.get("configuration")
    if not given:
        return None
    found = str(given).rstrip("/").rpartition("/")[2].lower()
    if not is_id(found):
        raise NotFound(f"Configuration group {found[:100]} was not found.")
    return found


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
