"""Policy of the superuser of an instance."""

from trove.api.policies.rules import MEMBER, READER, rule

_PATH = "/instances/{instance_id}/root"

RULES = (
    rule("instance:extension:root:create", MEMBER, "Enable the superuser and get its password.", f"POST {_PATH}"),
    rule("instance:extension:root:delete", MEMBER, "Disable the superuser.", f"DELETE {_PATH}"),
    rule("instance:extension:root:index", READER, "Tell whether the superuser is enabled.", f"GET {_PATH}"),
)
