"""How limits look (contract 4.3): the project's quotas first, then the rates."""

from collections.abc import Sequence
from datetime import timedelta

from trove.api.filters.ratelimit import Buckets
from trove.core.clock import utcnow, wire_time
from trove.core.json import JSON
from trove.core.quotas import Quota


def absolute(quotas: Sequence[Quota]) -> dict[str, JSON]:
    """Return the quotas; -1 is unlimited."""
    return {"verb": "ABSOLUTE", **{f"max_{quota.resource.value}": quota.limit for quota in quotas}}


def rates(buckets: Buckets, project_id: str) -> list[JSON]:
    """Return the rates that apply, with what is left of each."""
    views: list[JSON] = []
    for method, rate in buckets.rates.items():
        remaining = buckets.remaining(project_id, method)
        wait = timedelta(seconds=0 if remaining else 60 / rate)
        views.append(
            {
                "verb": method,
                "uri": "*",
                "regex": ".*",
                "value": rate,
                "unit": "MINUTE",
                "remaining": remaining,
                "nextAvailable": wire_time(utcnow() + wait) + "Z",
            }
        )
    return views
