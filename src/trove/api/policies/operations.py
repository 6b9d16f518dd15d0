"""Policy of operations, an extension of this Trove."""

from trove.api.policies.rules import ADMIN, MEMBER, READER, rule

RULES = (
    rule("operation:index", READER, "List operations.", "GET /operations", "GET /instances/{instance_id}/operations"),
    rule(
        "operation:index:all_projects",
        ADMIN,
        "List operations of other projects (`all_projects`, `project_id`).",
        "GET /operations",
    ),
    rule("operation:show", READER, "Show an operation.", "GET /operations/{operation_id}"),
    rule("operation:cancel", MEMBER, "Cancel an operation.", "POST /operations/{operation_id}/action"),
)
