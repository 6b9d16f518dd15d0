"""Clusters, their members and their superuser."""

from trove.api.handlers import clusters, mgmt_clusters
from trove.api.routes.route import Route
from trove.api.schemas import clusters as schemas
from trove.api.schemas import root

_ALL = "/clusters"
_ONE = f"{_ALL}/{{cluster_id}}"
_ROOT = "cluster:extension:root"
_MGMT = "/mgmt/clusters"
_MGMT_ONE = f"{_MGMT}/{{cluster_id}}"

ROUTES = (
    Route(
        "GET",
        _ALL,
        clusters.index,
        "cluster:index",
        query=schemas.LIST_QUERY,
        answer=schemas.PAGE,
        summary="List the project's clusters, newest first.",
    ),
    Route(
        "POST",
        _ALL,
        clusters.create,
        "cluster:create",
        schema=schemas.CREATE,
        answer=schemas.TOLD,
        summary="Create a cluster of database servers that act as one.",
    ),
    Route("GET", _ONE, clusters.show, "cluster:show", answer=schemas.SHOWN, summary="Show a cluster with its members."),
    Route(
        "POST",
        _ONE,
        clusters.action,
        None,
        202,
        schemas.ACTION,
        answer=schemas.TOLD,
        summary="Grow, shrink, restart, upgrade, configure or free a cluster.",
    ),
    Route("DELETE", _ONE, clusters.delete, "cluster:delete", 202, summary="Delete a cluster with all its members."),
    Route(
        "GET",
        f"{_ONE}/instances/{{instance_id}}",
        clusters.show_instance,
        "cluster:show_instance",
        answer=schemas.MEMBER_SHOWN,
        summary="Show a member of a cluster.",
    ),
    Route(
        "GET",
        f"{_ONE}/root",
        clusters.root,
        f"{_ROOT}:index",
        answer=root.SHOWN,
        summary="Tell whether the cluster's superuser was ever enabled.",
    ),
    Route(
        "POST",
        f"{_ONE}/root",
        clusters.enable,
        f"{_ROOT}:create",
        200,
        root.ENABLE,
        optional=True,
        answer=root.ENABLED,
        summary="Enable the cluster's superuser and show its password, given or made.",
    ),
    Route("DELETE", f"{_ONE}/root", clusters.disable, f"{_ROOT}:delete", 204, summary="Disable the cluster's superuser."),
    Route(
        "GET",
        _MGMT,
        mgmt_clusters.index,
        "mgmt:cluster:index",
        query=schemas.MGMT_QUERY,
        answer=schemas.MGMT_PAGE,
        summary="List the clusters of all projects, newest first.",
    ),
    Route(
        "GET",
        _MGMT_ONE,
        mgmt_clusters.show,
        "mgmt:cluster:show",
        query=schemas.MGMT_QUERY,
        answer=schemas.MGMT_SHOWN,
        summary="Show a cluster of any project, also a deleted one.",
    ),
    Route(
        "POST",
        f"{_MGMT_ONE}/action",
        mgmt_clusters.action,
        "mgmt:cluster:reset_task",
        202,
        schemas.MGMT_ACTION,
        summary="Free a cluster from a task that hangs.",
    ),
)
