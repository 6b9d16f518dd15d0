"""Policy of the logs of an instance. System logs are for administrators besides, where operators do not expose them."""

from trove.api.policies.rules import MEMBER, READER, rule

_PATH = "/instances/{instance_id}/log"

RULES = (
    rule("instance:guest_log_list", READER, "List the logs of an instance.", f"GET {_PATH}"),
    rule("instance:guest_log_action", MEMBER, "Switch, publish or discard a log of an instance.", f"POST {_PATH}"),
)
