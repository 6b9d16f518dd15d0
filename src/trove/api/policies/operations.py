"""Policy of operations, an extension of this Trove."""

from trove.api.policies.rules import READER, rule

RULES = (
    rule("operation:index", READER, "List operations.", "GET /operations", "GET /instances/{instance_id}/operations"),
    rule("operation:show", READER, "Show an operation.", "GET /operations/{operation_id}"),
)
