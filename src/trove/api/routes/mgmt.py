"""The management API. What its instances lack here is not found: POST, PUT and DELETE of `/mgmt/instances`."""

from trove.api.handlers import mgmt_guests, mgmt_instances, mgmt_quotas, mgmt_resources, mgmt_versions
from trove.api.routes.route import Route
from trove.api.schemas import mgmt as schemas

_ALL = "/mgmt/instances"
_ONE = f"{_ALL}/{{instance_id}}"
_QUOTAS = "/mgmt/quotas/{project}"
_VERSIONS = "/mgmt/datastore-versions"
_VERSION = f"{_VERSIONS}/{{version_id}}"
_HOST = "/mgmt/hosts/{host}"
_I = "mgmt:instance"
_V = "mgmt:datastore_version"

_INSTANCES = (
    Route(
        "GET",
        _ALL,
        mgmt_instances.index,
        f"{_I}:index",
        query=schemas.LIST_QUERY,
        answer=schemas.INSTANCES,
        summary="List the instances of all projects, newest first.",
    ),
    Route(
        "GET",
        _ONE,
        mgmt_instances.show,
        f"{_I}:show",
        query=schemas.SHOW_QUERY,
        answer=schemas.SHOWN,
        summary="Show an instance of any project, also a deleted one.",
    ),
    Route(
        "GET",
        f"{_ONE}/root",
        mgmt_instances.root,
        f"{_I}:root",
        query=schemas.SHOW_QUERY,
        answer=schemas.ROOT_HISTORY,
        summary="Tell who enabled the superuser last, and when.",
    ),
    Route(
        "GET",
        f"{_ONE}/diagnostics",
        mgmt_guests.diagnostics,
        f"{_I}:diagnostics",
        answer=schemas.DIAGNOSTICS,
        summary="Show figures of the database server's process; sizes in KiB.",
    ),
    Route(
        "GET",
        f"{_ONE}/hwinfo",
        mgmt_guests.hwinfo,
        f"{_I}:hwinfo",
        answer=schemas.HWINFO,
        summary="Show the guest's memory in KiB and its number of processors.",
    ),
    Route(
        "GET", f"{_ONE}/rpc_ping", mgmt_guests.rpc_ping, f"{_I}:rpc_ping", 204, summary="Ask whether the guest agent answers."
    ),
    Route(
        "POST",
        f"{_ONE}/action",
        mgmt_instances.action,
        None,
        202,
        schemas.ACTION,
        summary="Stop the database server, or reboot, migrate, rebuild or free the instance.",
    ),
    Route(
        "POST",
        f"{_ONE}/upgrade",
        mgmt_instances.upgrade,
        f"{_I}:upgrade",
        202,
        schemas.UPGRADE,
        summary="Ask for an update of the guest agent, which is refused.",
    ),
)

_DATASTORE_VERSIONS = (
    Route(
        "GET", _VERSIONS, mgmt_versions.index, f"{_V}:index", answer=schemas.VERSIONS, summary="List all datastore versions."
    ),
    Route(
        "POST",
        _VERSIONS,
        mgmt_versions.create,
        f"{_V}:create",
        202,
        schemas.CREATE_VERSION,
        summary="Create a datastore version, and its datastore if that is new.",
    ),
    Route("GET", _VERSION, mgmt_versions.show, f"{_V}:show", answer=schemas.VERSION_SHOWN, summary="Show a datastore version."),
    Route(
        "PATCH",
        _VERSION,
        mgmt_versions.update,
        f"{_V}:update",
        202,
        schemas.UPDATE_VERSION,
        summary="Change a datastore version.",
    ),
    Route(
        "DELETE", _VERSION, mgmt_versions.delete, f"{_V}:delete", 202, summary="Delete a datastore version that is not in use."
    ),
)

_QUOTA = (
    Route("GET", _QUOTAS, mgmt_quotas.show, None, answer=schemas.QUOTAS_SHOWN, summary="Show the quotas of a project."),
    Route(
        "PUT",
        _QUOTAS,
        mgmt_quotas.update,
        "mgmt:quota:update",
        schema=schemas.QUOTAS,
        answer=schemas.QUOTAS_SET,
        summary="Set the quotas of a project.",
    ),
)

_LIBERTY = (
    Route(
        "GET",
        "/mgmt/accounts",
        mgmt_resources.accounts,
        "mgmt:account:index",
        answer=schemas.ACCOUNTS,
        summary="List the projects that have instances.",
    ),
    Route(
        "GET",
        "/mgmt/accounts/{project}",
        mgmt_resources.account,
        "mgmt:account:show",
        answer=schemas.ACCOUNT,
        summary="List the ids of a project's instances.",
    ),
    Route(
        "GET", "/mgmt/hosts", mgmt_resources.hosts, "mgmt:host:index", answer=schemas.HOSTS, summary="List the cloud's hosts."
    ),
    Route(
        "GET",
        _HOST,
        mgmt_resources.host,
        "mgmt:host:show",
        answer=schemas.HOST,
        summary="Show a host with its memory and its instances.",
    ),
    Route(
        "POST",
        f"{_HOST}/instances/action",
        mgmt_resources.update_host,
        "mgmt:host:update",
        202,
        schemas.HOST_ACTION,
        summary="Ask for an update of the guest agents on a host, which is refused.",
    ),
    Route(
        "GET",
        "/mgmt/storage",
        mgmt_resources.storage,
        "mgmt:storage:index",
        answer=schemas.STORAGE,
        summary="Show where volumes are kept; sizes in GiB.",
    ),
    Route(
        "POST",
        "/mgmt/flavors",
        mgmt_resources.create_flavor,
        "mgmt:flavor:create",
        schema=schemas.FLAVOR,
        summary="Ask for a flavor, which is refused: flavors are the cloud's.",
    ),
)

ROUTES = (*_INSTANCES, *_DATASTORE_VERSIONS, *_QUOTA, *_LIBERTY)
