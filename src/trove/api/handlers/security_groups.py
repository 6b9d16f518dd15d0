"""Security groups of the project's instances: a route of Liberty over what `access` of an instance says (contract 14)."""

from trove.api import query
from trove.api.request import Request
from trove.api.views import security_groups as views
from trove.core.clock import utcnow
from trove.core.json import JSON
from trove.operations.security_group import create_rule, delete_rule, find


def index(request: Request) -> JSON:
    """List the groups, one an instance, newest first."""
    limit = query.limit(request.query, request.settings.instances_page_size)
    page = find.page(request.doors, request.caller, limit=limit, marker=query.marker(request.query))
    items: list[JSON] = [views.group(each, request.links) for each in page.items]
    return request.links.page("security_groups", items, page.next_marker, limit)


def show(request: Request) -> JSON:
    """Show a group with its rules."""
    found = find.one(request.doors, request.caller, request.id("group_id", "Security group"))
    return {"security_group": views.group(found, request.links)}


def create(request: Request) -> JSON:
    """Let a network connect; return its rules, one a port."""
    wanted = request.body["security_group_rule"]
    group, made = create_rule.start(request.doors, request.caller, wanted["group_id"].lower(), wanted["cidr"])
    return {"security_group_rule": [views.new_rule(each, group.id, utcnow()) for each in made]}


def delete(request: Request) -> None:
    """Let the network of a rule connect no more."""
    delete_rule.start(request.doors, request.caller, request.id("rule_id", "Security group rule"))
