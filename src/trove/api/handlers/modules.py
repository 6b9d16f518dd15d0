"""Modules, and what instances have of them."""

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from trove.api import query
from trove.api.request import Request
from trove.api.views import instances as instance_views
from trove.api.views import modules as views
from trove.core.clock import utcnow
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.core.modules import ALL, Module
from trove.operations.module import apply as apply_modules
from trove.operations.module import create as create_module
from trove.operations.module import delete as delete_module
from trove.operations.module import reapply as reapply_module
from trove.operations.module import remove as remove_module
from trove.operations.module import update as update_module
from trove.operations.module.guests import reported, stored
from trove.operations.module.options import Options
from trove.store import datastores, instance_modules, modules


def index(request: Request) -> JSON:
    """List the modules that the caller sees, by id; administrators see those of all projects."""
    limit = query.limit(request.query, request.settings.modules_page_size)
    wanted = request.query.get("datastore") or None
    with request.doors.database.reading() as tx:
        only_for: tuple[str | None, ...] = ()
        if wanted is not None:
            only_for = (None if wanted == ALL else datastores.get(tx, wanted).id,)
        page = modules.page(
            tx, project_id=request.visible_project, limit=limit, marker=query.marker(request.query), only_for=only_for
        )
    return request.links.page("modules", [views.summary(each) for each in page.items], page.next_marker, limit)


def create(request: Request) -> JSON:
    """Create a module."""
    wanted: Mapping[str, Any] = request.body["module"]
    made = create_module.start(
        request.doors,
        request.caller,
        create_module.CreateModule(
            name=wanted["name"],
            type=wanted["module_type"],
            contents=_contents(wanted["contents"]),
            options=_options(wanted),
        ),
    )
    return {"module": views.detail(made, 0)}


def show(request: Request) -> JSON:
    """Show a module."""
    with request.doors.database.reading() as tx:
        found = modules.get(tx, _id(request), project_id=request.visible_project)
    return {"module": _detail(request, found)}


def update(request: Request) -> JSON:
    """Change a module."""
    wanted: Mapping[str, Any] = request.body["module"]
    contents = wanted.get("contents")
    changed = update_module.start(
        request.doors,
        request.caller,
        _id(request),
        update_module.UpdateModule(
            name=wanted.get("name"),
            type=_type(wanted),
            contents=None if contents is None else _contents(contents),
            options=_options(wanted),
            all_datastores=bool(wanted.get("all_datastores")),
            all_versions=bool(wanted.get("all_datastore_versions")),
        ),
    )
    return {"module": _detail(request, changed)}


def delete(request: Request) -> None:
    """Delete a module."""
    delete_module.start(request.doors, request.caller, _id(request))


def instances(request: Request) -> JSON:
    """List the instances that have a module, or count them by what they have of it."""
    clustered = query.flag(request.query, "include_clustered")
    visible = request.visible_project
    limit = query.limit(request.query, request.settings.instances_page_size)
    with request.doors.database.reading() as tx:
        module = modules.get(tx, _id(request), project_id=visible)
        if query.flag(request.query, "count_only"):
            tallies = instance_modules.tallies(tx, module.id, project_id=visible, include_clustered=clustered)
            return {"instances": [views.count(module, each) for each in tallies]}
        page = instance_modules.instances_with(
            tx,
            module.id,
            project_id=visible,
            include_clustered=clustered,
            limit=limit,
            marker=query.marker(request.query),
        )
    expired_before = utcnow() - timedelta(seconds=request.doors.settings.heartbeat_expiry_s)
    viewer = instance_views.Viewer(links=request.links, is_admin=request.caller.is_admin, expired_before=expired_before)
    items: list[JSON] = [instance_views.summary(each, viewer) for each in page.items]
    return request.links.page("instances", items, page.next_marker, limit)


def reapply(request: Request) -> None:
    """Accept that a module is applied again."""
    wanted: Mapping[str, Any] = request.body["reapply"]
    md5, delay = wanted.get("md5"), wanted.get("batch_delay")
    reapply_module.start(
        request.doors,
        request.caller,
        _id(request),
        reapply_module.Reapply(
            md5=None if md5 is None else md5.lower(),
            include_clustered=bool(wanted.get("include_clustered")),
            force=bool(wanted.get("force")),
            batch_size=wanted.get("batch_size"),
            batch_delay_s=None if delay is None else float(delay),
        ),
    )


def on_instance(request: Request) -> JSON:
    """List the modules of an instance, as they are stored or as its guest tells of them."""
    found = stored(request.doors, request.caller, request.instance_id())
    with_contents = query.flag(request.query, "include_contents")
    if not (query.flag(request.query, "from_guest") or with_contents):
        return {"modules": [views.applied(each) for each in found]}
    known = {each.module.id: each.module for each in found}
    told = reported(request.doors, request.caller, request.instance_id(), include_contents=with_contents)
    return {
        "modules": [
            views.result(known[each.id], each, contents=_shown(request, known[each.id], each.contents))
            for each in told
            if each.id in known
        ]
    }


def apply(request: Request) -> JSON:
    """Apply modules to an instance."""
    ids = [each["id"].lower() for each in request.body["modules"]]
    results = apply_modules.start(request.doors, request.caller, request.instance_id(), ids)
    return {"modules": [views.result(module, told) for module, told in results]}


def remove(request: Request) -> None:
    """Remove a module from an instance."""
    remove_module.start(request.doors, request.caller, request.instance_id(), _id(request))


def _id(request: Request) -> str:
    return request.id("module_id", "Module")


def _detail(request: Request, module: Module) -> dict[str, JSON]:
    with request.doors.database.reading() as tx:
        count = modules.count_instances(tx, [module.id]).get(module.id, 0)
    return views.detail(module, count)


def _shown(request: Request, module: Module, contents: str | None) -> str | None:
    """Return the contents, empty where an administrator made the module and none asks: they may be the operator's secret."""
    if contents is None or request.caller.is_admin or not module.is_admin:
        return contents
    return ""


def _type(wanted: Mapping[str, Any]) -> str | None:
    given = {str(wanted[name]) for name in ("type", "module_type") if name in wanted}
    if len(given) > 1:
        raise InvalidInput("module_type: is another type than type, which means the same.")
    return given.pop() if given else None


def _contents(text: str) -> bytes:
    try:
        contents = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("contents: must be base64") from None
    if not contents:
        raise InvalidInput("contents: must not be empty")
    return contents


def _options(wanted: Mapping[str, Any]) -> Options:
    datastore = wanted.get("datastore") or {}

    def flag(name: str) -> bool | None:
        return None if wanted.get(name) is None else bool(wanted[name])

    return Options(
        description=wanted.get("description"),
        datastore=datastore.get("type") or None,
        version=datastore.get("version") or None,
        all_tenants=flag("all_tenants"),
        auto_apply=flag("auto_apply"),
        visible=flag("visible"),
        live_update=flag("live_update"),
        priority_apply=flag("priority_apply"),
        full_access=flag("full_access"),
        apply_order=wanted.get("apply_order"),
    )
