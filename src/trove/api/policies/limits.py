"""Policy of limits."""

from trove.api.policies.rules import READER, rule

RULES = (rule("limits:index", READER, "Show the project's limits.", "GET /limits"),)
