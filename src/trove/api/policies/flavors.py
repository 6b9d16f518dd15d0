"""Policy of flavors."""

from trove.api.policies.rules import OPEN, rule

RULES = (
    rule("flavor:index", OPEN, "List flavors.", "GET /flavors"),
    rule("flavor:show", OPEN, "Show a flavor.", "GET /flavors/{flavor_id}"),
)
