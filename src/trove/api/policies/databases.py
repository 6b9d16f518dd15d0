"""Policy of databases on an instance."""

from trove.api.policies.rules import MEMBER, READER, rule

_ALL = "/instances/{instance_id}/databases"

RULES = (
    rule("instance:extension:database:create", MEMBER, "Create databases.", f"POST {_ALL}"),
    rule("instance:extension:database:delete", MEMBER, "Drop a database.", f"DELETE {_ALL}/{{name}}"),
    rule("instance:extension:database:index", READER, "List databases.", f"GET {_ALL}"),
    rule("instance:extension:database:show", READER, "Show a database.", f"GET {_ALL}/{{name}}"),
)
