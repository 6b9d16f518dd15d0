"""Policy rules, one file a noun; `list_rules` is what oslopolicy-sample-generator reads."""

from collections.abc import Iterator

from oslo_policy import policy

from trove.api.policies import databases, datastores, flavors, instances, limits, operations, root, rules, users


def list_rules() -> Iterator[policy.RuleDefault]:
    """Return every rule with its default, the made-of rules first."""
    for noun in (rules, instances, databases, users, root, datastores, flavors, limits, operations):
        yield from noun.RULES
