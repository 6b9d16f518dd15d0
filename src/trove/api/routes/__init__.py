"""The HTTP surface below `/v1.0/{project_id}`, one table a noun: method, path, handler, policy rule, status, schemas.

What is not in these tables is answered with 404, also a method that a path does not have (contract 1.1).
"""

import re

from trove.api.routes import (
    backup_strategies,
    backups,
    clusters,
    configurations,
    databases,
    datastores,
    flavors,
    instances,
    limits,
    logs,
    mgmt,
    modules,
    operations,
    parameters,
    root,
    security_groups,
    tls,
    users,
)
from trove.api.routes.route import Route

__all__ = ["GUEST_PATH", "ROUTES", "Route"]

GUEST_PATH = re.compile(
    r"(/v1\.0)?/[^/]+/(instances/[^/]+/(databases|users|root|modules|log|ssl)([/.]|$)|clusters/[^/]+/root(\.|$)"
    r"|mgmt/instances/[^/]+/(diagnostics|hwinfo|rpc_ping)(\.|$))"
)
"""The whole paths of requests that may wait for a guest agent; all others are answered from the state database."""

ROUTES: tuple[Route, ...] = (
    *backup_strategies.ROUTES,
    *backups.ROUTES,
    *clusters.ROUTES,
    *configurations.ROUTES,
    *databases.ROUTES,
    *datastores.ROUTES,
    *flavors.ROUTES,
    *instances.ROUTES,
    *limits.ROUTES,
    *logs.ROUTES,
    *mgmt.ROUTES,
    *modules.ROUTES,
    *operations.ROUTES,
    *parameters.ROUTES,
    *root.ROUTES,
    *security_groups.ROUTES,
    *tls.ROUTES,
    *users.ROUTES,
)
