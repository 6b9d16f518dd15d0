"""Instances as administrators see them: all projects', deleted ones too; and what is done to their servers (contract 13).

Whom the policy admits acts as an administrator here, also where it is an operator's own rule that admits.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

from trove.api import query
from trove.api.request import Request
from trove.api.views import mgmt as views
from trove.api.views.instances import Viewer
from trove.cloud.contract import VolumeInfo
from trove.core.callers import Caller
from trove.core.clock import utcnow, wire_time
from trove.core.errors import InvalidInput, TroveError, Unsupported
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.operations.instance import migrate, reboot, rebuild, reset_status, stop
from trove.store import management, roots

MOST = 1000
"""Instances of one page, when more are asked for."""

_Deed = Callable[[Request, Caller, str, Any], None]


def _update(_request: Request, _caller: Caller, instance_id: str, _argument: Any) -> NoReturn:
    raise Unsupported(
        f"The guest agent of instance {instance_id} is not updated by itself: it is part of the image. Rebuild the instance."
    )


ACTIONS: Mapping[str, tuple[str, _Deed]] = {
    "stop": ("stop", lambda request, caller, one, _: stop.start(request.doors, caller, one)),
    "reboot": ("reboot", lambda request, caller, one, _: reboot.start(request.doors, caller, one)),
    "migrate": (
        "migrate",
        lambda request, caller, one, argument: migrate.start(request.doors, caller, one, (argument or {}).get("host") or None),
    ),
    "reset-task-status": ("reset_task_status", lambda request, caller, one, _: reset_status.start(request.doors, caller, one)),
    "rebuild": (
        "rebuild",
        lambda request, caller, one, argument: rebuild.start(request.doors, caller, one, argument["image_id"]),
    ),
    "update": ("upgrade", _update),
}
"""What may be done, with the name of its policy rule."""


def index(request: Request) -> JSON:
    """List instances, newest first; `deleted`, `project_id` and `include_clustered` narrow the list."""
    limit = min(int(request.query.get("limit") or 0), MOST) or request.settings.instances_page_size
    with request.doors.database.reading() as tx:
        page = management.page(
            tx,
            limit=limit,
            marker=query.marker(request.query),
            deleted=_deleted(request),
            include_clustered=query.flag(request.query, "include_clustered"),
            project_id=request.query.get("project_id") or None,
        )
    viewer, hosts = _viewer(request), _hosts(request)
    items: list[JSON] = [views.instance(each, viewer, hosts.get(each.id)) for each in page.items]
    return request.links.page("instances", items, page.next_marker, limit)


def show(request: Request) -> JSON:
    """Show an instance with its server, its volume as the cloud has it, and who enabled the superuser."""
    found = _instance(request)
    with request.doors.database.reading() as tx:
        last = roots.last(tx, found.id)
        root = roots.enabled(tx, found.id), last[0] if last else None
    view = views.instance(found, _viewer(request), _hosts(request).get(found.id))
    return {"instance": views.shown(view, found, _volume(request, found), root)}


def root(request: Request) -> JSON:
    """Tell who enabled the superuser last, and when."""
    found = _instance(request)
    with request.doors.database.reading() as tx:
        last = roots.last(tx, found.id)
    user, enabled = ("Nobody", "Never") if last is None else (last[0], wire_time(last[1]))
    return {"root_history": {"id": found.id, "enabled": enabled, "user": user}}


def action(request: Request) -> None:
    """Accept the one action that the body names."""
    names = list(request.body)
    if len(names) != 1 or names[0] not in ACTIONS:
        raise InvalidInput(f"The body must name exactly one action of: {', '.join(sorted(ACTIONS))}.")
    rule, deed = ACTIONS[names[0]]
    request.policy.enforce(f"mgmt:instance:{rule}", request.caller)
    instance_id = request.instance_id()
    with request.doors.database.reading() as tx:
        management.get(tx, instance_id, deleted=False)
    deed(request, as_administrator(request), instance_id, request.body[names[0]])


def upgrade(request: Request) -> NoReturn:
    """Refuse the message to guest agents of old, after the instance was found."""
    instance_id = request.instance_id()
    with request.doors.database.reading() as tx:
        management.get(tx, instance_id, deleted=False)
    _update(request, request.caller, instance_id, None)


def as_administrator(request: Request) -> Caller:
    """Return the caller, whom the policy has admitted, as one who may reach every project."""
    return replace(request.caller, is_admin=True)


def _instance(request: Request) -> Instance:
    with request.doors.database.reading() as tx:
        return management.get(tx, request.instance_id(), deleted=_deleted(request))


def _deleted(request: Request) -> bool | None:
    return query.flag(request.query, "deleted") if request.query.get("deleted") else None


def _viewer(request: Request) -> Viewer:
    expired_before = utcnow() - timedelta(seconds=request.doors.settings.heartbeat_expiry_s)
    return Viewer(links=request.links, is_admin=True, expired_before=expired_before)


def _hosts(request: Request) -> Mapping[str, str]:
    """Return the host of each instance; nothing while the cloud does not tell."""
    try:
        return {one: host.name for host in request.doors.cloud.hosts() for one in host.instance_ids}
    except TroveError:
        return {}


def _volume(request: Request, found: Instance) -> VolumeInfo | None:
    try:
        return request.doors.cloud.find_volume(found.id)
    except TroveError:
        return None
