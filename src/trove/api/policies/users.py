"""Policy of users on an instance, and of their access to databases."""

from trove.api.policies.rules import MEMBER, READER, rule

_ALL = "/instances/{instance_id}/users"
_ONE = f"{_ALL}/{{user}}"
_ACCESS = f"{_ONE}/databases"

RULES = (
    rule("instance:extension:user:create", MEMBER, "Create users.", f"POST {_ALL}", f"POST {_ONE}"),
    rule("instance:extension:user:delete", MEMBER, "Drop a user.", f"DELETE {_ONE}"),
    rule("instance:extension:user:index", READER, "List users.", f"GET {_ALL}"),
    rule("instance:extension:user:show", READER, "Show a user.", f"GET {_ONE}"),
    rule("instance:extension:user:update", MEMBER, "Change a user's name, host or password.", f"PUT {_ONE}"),
    rule("instance:extension:user:update_all", MEMBER, "Change passwords of several users.", f"PUT {_ALL}"),
    rule("instance:extension:user_access:index", READER, "List the databases a user may use.", f"GET {_ACCESS}"),
    rule("instance:extension:user_access:update", MEMBER, "Let a user use databases.", f"PUT {_ACCESS}"),
    rule(
        "instance:extension:user_access:delete", MEMBER, "Take a user's access to a database.", f"DELETE {_ACCESS}/{{database}}"
    ),
)
