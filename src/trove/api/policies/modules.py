"""Policy of modules. What touches other projects' instances is for administrators besides, whatever is said here."""

from trove.api.policies.rules import MEMBER, READER, rule

_ALL = "/modules"
_ONE = f"{_ALL}/{{module_id}}"
_ON_INSTANCE = "/instances/{instance_id}/modules"

RULES = (
    rule("module:create", MEMBER, "Create a module.", f"POST {_ALL}"),
    rule("module:delete", MEMBER, "Delete a module.", f"DELETE {_ONE}"),
    rule("module:index", READER, "List modules.", f"GET {_ALL}"),
    rule("module:show", READER, "Show a module.", f"GET {_ONE}"),
    rule("module:instances", READER, "List or count the instances that have a module.", f"GET {_ONE}/instances"),
    rule("module:update", MEMBER, "Change a module.", f"PUT {_ONE}"),
    rule("module:reapply", MEMBER, "Apply a module again to the instances that have it.", f"PUT {_ONE}/instances"),
    rule("instance:module_list", READER, "List the modules of an instance.", f"GET {_ON_INSTANCE}"),
    rule("instance:module_remove", MEMBER, "Remove a module from an instance.", f"DELETE {_ON_INSTANCE}/{{module_id}}"),
)
