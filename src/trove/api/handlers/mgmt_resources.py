"""Accounts, hosts, storage and flavors for administrators: routes of Liberty that clients still send (contract 14)."""

from collections.abc import Mapping
from typing import NoReturn

from trove.api.handlers.mgmt_quotas import project_of
from trove.api.request import Request
from trove.api.views import mgmt as views
from trove.cloud.contract import HostInfo
from trove.core.errors import NotFound, Unsupported
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.store import management


def accounts(request: Request) -> JSON:
    """List the projects that have instances, with their number."""
    with request.doors.database.reading() as tx:
        found = management.accounts(tx)
    return {"accounts": [{"id": project, "num_instances": count} for project, count in found.items()]}


def account(request: Request) -> JSON:
    """List the ids of a project's instances. A project without any is as good as one that does not exist."""
    project_id = project_of(request)
    with request.doors.database.reading() as tx:
        found = management.instance_ids(tx, project_id)
    return {"account": {"id": project_id, "instance_ids": list(found)}}


def hosts(request: Request) -> JSON:
    """List the cloud's hosts, each with the number of its instances."""
    found = request.doors.cloud.hosts()
    return {"hosts": [{"name": each.name, "instanceCount": len(each.instance_ids)} for each in found]}


def host(request: Request) -> JSON:
    """Show a host with its memory and its instances."""
    found = _host(request)
    with request.doors.database.reading() as tx:
        known: Mapping[str, Instance] = {each.id: each for each in management.some(tx, found.instance_ids)}
    return {"host": views.host(found, known)}


def update_host(request: Request) -> NoReturn:
    """Refuse to update all guest agents of a host, after it was found."""
    found = _host(request)
    raise Unsupported(f"The guest agents of host {found.name} are not updated by themselves: rebuild its instances.")


def storage(request: Request) -> JSON:
    """Show where volumes are kept, and what is taken of it."""
    return {"devices": [views.device(each) for each in request.doors.cloud.storage()]}


def create_flavor(_request: Request) -> NoReturn:
    """Refuse: flavors are the cloud's."""
    raise Unsupported("Flavors are made in the cloud, not here.")


def _host(request: Request) -> HostInfo:
    name = request.path["host"]
    for found in request.doors.cloud.hosts():
        if found.name == name:
            return found
    raise NotFound(f"Host {name[:100]} not found.")
