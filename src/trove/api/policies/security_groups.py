"""Policy of security groups: who may connect to instances, as it was asked in the time of Liberty."""

from trove.api.policies.rules import MEMBER, READER, rule

RULES = (
    rule("security_group:index", READER, "List security groups.", "GET /security-groups"),
    rule("security_group:show", READER, "Show a security group.", "GET /security-groups/{group_id}"),
    rule("security_group_rule:create", MEMBER, "Let a network connect.", "POST /security-group-rules"),
    rule("security_group_rule:delete", MEMBER, "Let a network connect no more.", "DELETE /security-group-rules/{rule_id}"),
)
