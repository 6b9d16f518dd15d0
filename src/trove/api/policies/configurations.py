"""Policy of configuration groups, and of what administrators make of the parameters that they may set."""

from trove.api.policies.rules import ADMIN, MEMBER, READER, rule

_ALL = "/configurations"
_ONE = f"{_ALL}/{{configuration_id}}"
_PARAMETERS = "/mgmt/datastores/versions/{version_id}/parameters"
_PARAMETER = f"{_PARAMETERS}/{{name}}"

RULES = (
    rule("configuration:create", MEMBER, "Create a configuration group.", f"POST {_ALL}"),
    rule("configuration:delete", MEMBER, "Delete a configuration group.", f"DELETE {_ONE}"),
    rule("configuration:index", READER, "List configuration groups.", f"GET {_ALL}"),
    rule("configuration:show", READER, "Show a configuration group.", f"GET {_ONE}"),
    rule(
        "configuration:instances", READER, "List the instances a configuration group is attached to.", f"GET {_ONE}/instances"
    ),
    rule("configuration:update", MEMBER, "Replace the values of a configuration group.", f"PUT {_ONE}"),
    rule("configuration:edit", MEMBER, "Change some values of a configuration group.", f"PATCH {_ONE}"),
    rule(
        "instance:configuration",
        READER,
        "Show the default configuration of an instance.",
        "GET /instances/{instance_id}/configuration",
    ),
    rule("mgmt:parameter:index", ADMIN, "List a version's parameters as administrators see them.", f"GET {_PARAMETERS}"),
    rule("mgmt:parameter:create", ADMIN, "Add a parameter to a version.", f"POST {_PARAMETERS}"),
    rule("mgmt:parameter:show", ADMIN, "Show a parameter as administrators see it.", f"GET {_PARAMETER}"),
    rule("mgmt:parameter:update", ADMIN, "Change a parameter of a version.", f"PUT {_PARAMETER}"),
    rule("mgmt:parameter:delete", ADMIN, "Take a parameter from a version.", f"DELETE {_PARAMETER}"),
)
