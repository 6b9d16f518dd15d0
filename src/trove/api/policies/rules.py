"""The rules that other rules are made of: who is a reader, a member, an administrator (scope-aware defaults)."""

from typing import Any

from oslo_policy import policy

OPEN = ""
READER = "rule:project_reader"
MEMBER = "rule:project_member"
ADMIN = "rule:admin"

RULES = (
    policy.RuleDefault("context_is_admin", "role:admin", "Who counts as an administrator everywhere."),
    policy.RuleDefault("admin", "role:admin or is_admin:True", "An administrator."),
    policy.RuleDefault(
        "admin_or_owner",
        "rule:admin or project_id:%(tenant)s",
        "Any role in the project: Trove's rule before readers and members.",
    ),
    policy.RuleDefault("default", "rule:admin_or_owner", "For rules that have no definition."),
    policy.RuleDefault(
        "project_reader",
        "rule:admin or ((role:reader or role:member) and project_id:%(tenant)s)",
        "May see what the project has.",
    ),
    policy.RuleDefault(
        "project_member", "rule:admin or (role:member and project_id:%(tenant)s)", "May change what the project has."
    ),
)


def rule(name: str, check: str, description: str, *paths: str) -> policy.DocumentedRuleDefault:
    """Return a documented rule; each of `paths` is a method and a path, such as `GET /instances`."""
    operations: Any = [
        {"method": method, "path": f"/v1.0/{{project_id}}{path}"} for method, path in (text.split() for text in paths)
    ]
    return policy.DocumentedRuleDefault(name, check, description, operations, scope_types=["project"])
