"""Security groups and their rules: routes of Liberty that clients still send."""

from trove.api.handlers import security_groups
from trove.api.routes.route import Route
from trove.api.schemas import security_groups as schemas

ROUTES = (
    Route(
        "GET",
        "/security-groups",
        security_groups.index,
        "security_group:index",
        query=schemas.LIST_QUERY,
        answer=schemas.GROUPS,
        summary="List the security groups of the project's instances, newest first.",
    ),
    Route(
        "GET",
        "/security-groups/{group_id}",
        security_groups.show,
        "security_group:show",
        answer=schemas.SHOWN,
        summary="Show a security group with its rules.",
    ),
    Route(
        "POST",
        "/security-group-rules",
        security_groups.create,
        "security_group_rule:create",
        schema=schemas.CREATE_RULE,
        answer=schemas.RULES_MADE,
        summary="Let a network connect to an instance.",
    ),
    Route(
        "DELETE",
        "/security-group-rules/{rule_id}",
        security_groups.delete,
        "security_group_rule:delete",
        204,
        summary="Let the network of a rule connect no more.",
    ),
)
