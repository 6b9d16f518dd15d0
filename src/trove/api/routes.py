"""The HTTP surface below `/v1.0/{project_id}` as one table: method, path, handler, policy rule, status, body schema.

What is not in this table is answered with 404, also a method that a path does not have (contract 1.1).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trove.api.handlers import databases, datastores, flavors, instances, limits, operations, root, users
from trove.api.request import Request
from trove.api.schemas import databases as database_bodies
from trove.api.schemas import instances as instance_bodies
from trove.api.schemas import operations as operation_bodies
from trove.api.schemas import root as root_bodies
from trove.api.schemas import users as user_bodies
from trove.api.schemas.scalars import Schema


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. `rule` None: the handler asks. `schema` None: no body is read. `optional`: it may be missing."""

    method: str
    path: str
    handler: Callable[[Request], Any]
    rule: str | None
    status: int = 200
    schema: Schema | None = None
    optional: bool = False


_I = "/instances/{instance_id}"
_U = f"{_I}/users/{{user}}"
_D = "/datastores/{datastore}"
_V = f"{_D}/versions/{{version}}"
_VID = "/datastores/versions/{version_id}"
_DB = "instance:extension:database"
_USER = "instance:extension:user"
_ACCESS = "instance:extension:user_access"
_ROOT = "instance:extension:root"

GUEST_PATH = re.compile(r"(/v1\.0)?/[^/]+/instances/[^/]+/(databases|users|root)(/|$)")
"""The whole paths of requests that wait for a guest agent; all others are answered from the state database."""

ROUTES = (
    Route("GET", "/instances", instances.index, "instance:index"),
    Route("POST", "/instances", instances.create, "instance:create", 200, instance_bodies.CREATE),
    Route("GET", "/instances/detail", instances.detail, "instance:detail"),
    Route("GET", _I, instances.show, "instance:show"),
    Route("PUT", _I, instances.update, "instance:update", 202, instance_bodies.UPDATE),
    Route("PATCH", _I, instances.update, "instance:update", 202, instance_bodies.UPDATE),
    Route("DELETE", _I, instances.delete, "instance:delete", 202),
    Route("POST", f"{_I}/action", instances.action, None, 202, instance_bodies.ACTION),
    Route("GET", f"{_I}/operations", operations.of_instance, "operation:index"),
    Route("GET", f"{_I}/databases", databases.index, f"{_DB}:index"),
    Route("POST", f"{_I}/databases", databases.create, f"{_DB}:create", 202, database_bodies.CREATE),
    Route("GET", f"{_I}/databases/{{name}}", databases.show, f"{_DB}:show"),
    Route("DELETE", f"{_I}/databases/{{name}}", databases.delete, f"{_DB}:delete", 202),
    Route("GET", f"{_I}/users", users.index, f"{_USER}:index"),
    Route("POST", f"{_I}/users", users.create, f"{_USER}:create", 202, user_bodies.CREATE),
    Route("PUT", f"{_I}/users", users.change_passwords, f"{_USER}:update_all", 202, user_bodies.CHANGE_PASSWORDS),
    Route("GET", _U, users.show, f"{_USER}:show"),
    Route("POST", _U, users.create_named, f"{_USER}:create", 202, user_bodies.CREATE_NAMED),
    Route("PUT", _U, users.update, f"{_USER}:update", 202, user_bodies.UPDATE),
    Route("DELETE", _U, users.delete, f"{_USER}:delete", 202),
    Route("GET", f"{_U}/databases", users.access, f"{_ACCESS}:index"),
    Route("PUT", f"{_U}/databases", users.grant, f"{_ACCESS}:update", 202, database_bodies.GRANT),
    Route("DELETE", f"{_U}/databases/{{database}}", users.revoke, f"{_ACCESS}:delete", 202),
    Route("GET", f"{_I}/root", root.show, f"{_ROOT}:index"),
    Route("POST", f"{_I}/root", root.enable, f"{_ROOT}:create", 200, root_bodies.ENABLE, optional=True),
    Route("DELETE", f"{_I}/root", root.disable, f"{_ROOT}:delete", 204),
    Route("GET", "/datastores", datastores.index, "datastore:index"),
    Route("GET", _D, datastores.show, "datastore:show"),
    Route("GET", f"{_D}/versions", datastores.versions, "datastore:version_index"),
    Route("GET", _V, datastores.version, "datastore:version_show"),
    Route("GET", f"{_V}/flavors", datastores.flavors, "datastore:list_associated_flavors"),
    Route("GET", f"{_V}/volume-types", datastores.volume_types, "datastore:list_associated_volume_types"),
    Route("GET", f"{_V}/parameters", datastores.parameters, "configuration-parameter:index"),
    Route("GET", f"{_V}/parameters/{{name}}", datastores.parameters, "configuration-parameter:show"),
    Route("GET", _VID, datastores.version_by_id, "datastore:version_show_by_uuid"),
    Route("GET", f"{_VID}/parameters", datastores.parameters_by_id, "configuration-parameter:index_by_version"),
    Route("GET", f"{_VID}/parameters/{{name}}", datastores.parameters_by_id, "configuration-parameter:show_by_version"),
    Route("GET", "/flavors", flavors.index, "flavor:index"),
    Route("GET", "/flavors/{flavor_id}", flavors.show, "flavor:show"),
    Route("GET", "/limits", limits.index, "limits:index"),
    Route("GET", "/operations", operations.index, "operation:index"),
    Route("GET", "/operations/{operation_id}", operations.show, "operation:show"),
    Route("POST", "/operations/{operation_id}/action", operations.action, None, 202, operation_bodies.ACTION),
)
