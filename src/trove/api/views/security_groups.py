"""How security groups and their rules look (contract 14)."""

from datetime import datetime

from trove.api.links import Links
from trove.core.clock import wire_time
from trove.core.json import JSON
from trove.core.security_groups import Rule, SecurityGroup


def group(found: SecurityGroup, links: Links) -> dict[str, JSON]:
    """Return a group with its rules."""
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "instance_id": found.instance_id,
        "rules": [_rule(each) for each in found.rules],
        "links": links.of("security-groups", found.id),
        "created": wire_time(found.created),
        "updated": wire_time(found.updated),
    }


def new_rule(found: Rule, group_id: str, created: datetime) -> dict[str, JSON]:
    """Return a rule that stands alone."""
    return {**_rule(found), "security_group_id": group_id, "created": wire_time(created)}


def _rule(found: Rule) -> dict[str, JSON]:
    return {
        "id": found.id,
        "protocol": found.protocol,
        "from_port": found.port,
        "to_port": found.port,
        "cidr": found.cidr,
    }
