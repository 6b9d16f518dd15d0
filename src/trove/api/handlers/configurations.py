"""Configuration groups, and the configuration that an instance has by default."""

from collections.abc import Mapping, Sequence
from typing import Any

from trove.api import query
from trove.api.request import Request
from trove.api.settling import settle
from trove.api.views import configurations as views
from trove.core.json import JSON
from trove.datastores import registry
from trove.operations.configuration import create as create_configuration
from trove.operations.configuration import delete as delete_configuration
from trove.operations.configuration import edit as edit_configuration
from trove.operations.configuration import update as update_configuration
from trove.operations.configuration.saving import Change
from trove.operations.rendering import render
from trove.operations.sight import instance_of
from trove.store import configurations


def index(request: Request) -> JSON:
    """List the project's groups by id; administrators see those of all projects."""
    limit = query.limit(request.query, request.settings.configurations_page_size)
    marker = query.marker(request.query)
    with request.doors.database.reading() as tx:
        page = configurations.page(tx, project_id=request.visible_project, limit=limit, marker=marker)
    return request.links.page("configurations", [views.summary(each) for each in page.items], page.next_marker, limit)


def create(request: Request) -> JSON:
    """Create a group."""
    wanted: Mapping[str, Any] = request.body["configuration"]
    datastore = wanted.get("datastore") or {}
    made = create_configuration.start(
        request.doors,
        request.caller,
        create_configuration.CreateConfiguration(
            name=wanted["name"],
            values=wanted["values"],
            description=wanted.get("description"),
            datastore_type=datastore.get("type") or None,
            datastore_version=datastore.get("version") or None,
            datastore_version_number=datastore.get("version_number") or None,
        ),
    )
    return {"configuration": views.detail(made)}


def show(request: Request) -> JSON:
    """Show a group with its values."""
    with request.doors.database.reading() as tx:
        found = configurations.get(tx, _id(request), project_id=request.visible_project)
    return {"configuration": views.detail(found)}


def edit(request: Request) -> None:
    """Change some values of a group."""
    _settle(request, edit_configuration.start(request.doors, request.caller, _id(request), _change(request)))


def update(request: Request) -> None:
    """Replace the values of a group."""
    _settle(request, update_configuration.start(request.doors, request.caller, _id(request), _change(request)))


def delete(request: Request) -> None:
    """Delete a group."""
    delete_configuration.start(request.doors, request.caller, _id(request))


def instances(request: Request) -> JSON:
    """List the instances that a group is attached to, by id."""
    limit = query.limit(request.query, request.settings.instances_page_size)
    marker = query.marker(request.query)
    with request.doors.database.reading() as tx:
        group = configurations.get(tx, _id(request), project_id=request.visible_project)
        page = configurations.attached(tx, group.id, limit=limit, marker=marker)
    return request.links.page("instances", [views.instance(each) for each in page.items], page.next_marker, limit)


def template(request: Request) -> JSON:
    """Show what an instance's database server is told without a group: its engine's template for its flavor."""
    with request.doors.database.reading() as tx:
        instance = instance_of(tx, request.caller, request.instance_id())
    text = render(instance, {}, ram_mib=request.flavors.one(instance.flavor_id).ram_mib)
    options = registry.spec(instance.datastore_version.manager).read_config(text)
    return {"instance": {"configuration": dict(options)}}


def _id(request: Request) -> str:
    return request.id("configuration_id", "Configuration group")


def _settle(request: Request, operation_ids: Sequence[str]) -> None:
    settle(request.doors, operation_ids, within_s=request.settings.configuration_wait_s)


def _change(request: Request) -> Change:
    wanted: Mapping[str, Any] = request.body["configuration"]
    return Change(name=wanted.get("name"), description=wanted.get("description"), values=wanted.get("values"))
