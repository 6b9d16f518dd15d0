"""Policy of clusters."""

from trove.api.policies.rules import ADMIN, MEMBER, READER, rule

_ONE = "/clusters/{cluster_id}"
_ROOT = f"{_ONE}/root"
_MGMT = "/mgmt/clusters"

RULES = (
    rule("cluster:create", MEMBER, "Create a cluster.", "POST /clusters"),
    rule("cluster:delete", MEMBER, "Delete a cluster.", f"DELETE {_ONE}"),
    rule("cluster:force_delete", MEMBER, "Reset a cluster's status in order to delete it.", f"POST {_ONE}"),
    rule("cluster:index", READER, "List clusters.", "GET /clusters"),
    rule("cluster:show", READER, "Show a cluster.", f"GET {_ONE}"),
    rule("cluster:show_instance", READER, "Show a member of a cluster.", f"GET {_ONE}/instances/{{instance_id}}"),
    rule("cluster:action", MEMBER, "Grow, shrink, restart, upgrade or configure a cluster.", f"POST {_ONE}"),
    rule("cluster:reset-status", ADMIN, "Reset a cluster's status.", f"POST {_ONE}"),
    rule("cluster:extension:root:index", READER, "Tell whether a cluster's superuser was ever enabled.", f"GET {_ROOT}"),
    rule("cluster:extension:root:create", MEMBER, "Enable a cluster's superuser.", f"POST {_ROOT}"),
    rule("cluster:extension:root:delete", MEMBER, "Disable a cluster's superuser.", f"DELETE {_ROOT}"),
    rule("mgmt:cluster:index", ADMIN, "List the clusters of all projects, deleted ones too.", f"GET {_MGMT}"),
    rule("mgmt:cluster:show", ADMIN, "Show a cluster of any project.", f"GET {_MGMT}/{{cluster_id}}"),
    rule("mgmt:cluster:reset_task", ADMIN, "Free a cluster from a task that hangs.", f"POST {_MGMT}/{{cluster_id}}/action"),
)
