"""Policy of backups and their strategies."""

from trove.api.policies.rules import ADMIN, MEMBER, READER, rule

_ALL = "/backups"
_ONE = f"{_ALL}/{{backup_id}}"
_STRATEGIES = "/backup_strategies"

RULES = (
    rule("backup:create", MEMBER, "Back an instance up, or take in a backup from elsewhere.", f"POST {_ALL}"),
    rule("backup:delete", MEMBER, "Delete a backup and all that build on it.", f"DELETE {_ONE}"),
    rule("backup:index", READER, "List backups.", f"GET {_ALL}"),
    rule(
        "backup:index:all_projects",
        ADMIN,
        "List backups of other projects (`all_projects`, `project_id`).",
        f"GET {_ALL}",
    ),
    rule("backup:show", READER, "Show a backup.", f"GET {_ONE}"),
    rule("instance:backups", READER, "List the backups of an instance.", "GET /instances/{instance_id}/backups"),
    rule("backup_strategy:create", MEMBER, "Choose the container of backups.", f"POST {_STRATEGIES}"),
    rule("backup_strategy:index", READER, "List backup strategies.", f"GET {_STRATEGIES}"),
    rule("backup_strategy:delete", MEMBER, "Delete a backup strategy.", f"DELETE {_STRATEGIES}"),
)
