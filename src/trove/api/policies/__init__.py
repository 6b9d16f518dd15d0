"""Policy rules, one file a noun; `list_rules` is what oslopolicy-sample-generator reads."""

from collections.abc import Iterator

from oslo_policy import policy

from trove.api.policies import (
    backups,
    clusters,
    configurations,
    databases,
    datastores,
    flavors,
    instances,
    limits,
    logs,
    mgmt,
    modules,
    operations,
    root,
    rules,
    security_groups,
    users,
)


def list_rules() -> Iterator[policy.RuleDefault]:
    """Return every rule with its default, the made-of rules first."""
    for noun in (
        rules,
        instances,
        databases,
        users,
        root,
        backups,
        clusters,
        configurations,
        datastores,
        flavors,
        limits,
        logs,
        modules,
        operations,
        security_groups,
        mgmt,
    ):
        yield from noun.RULES
