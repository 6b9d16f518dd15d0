"""How limits look (contract 4.3): the project's quotas first, then the rates."""

from collections.abc import Sequence
from datetime import timedelta

from trove.api.filters.ratelimit import MGMT_POST, RateRow
from trove.core.clock import utcnow, wire_time
from trove.core.json import JSON
from trove.core.quotas import Quota

_MGMT = {"verb": "POST", "uri": "*/mgmt/*", "regex": "^/v1.0/[^/]+/mgmt/"}


def absolute(quotas: Sequence[Quota]) -> dict[str, JSON]:
    """Return the quotas; -1 is unlimited."""
    return {"verb": "ABSOLUTE", **{f"max_{quota.resource.value}": quota.limit for quota in quotas}}


def rates(rows: Sequence[RateRow]) -> list[JSON]:
    """Return the rates that apply, with what is left of each; `nextAvailable` is when one request more may come."""
    now = utcnow()
    views: list[JSON] = []
    for row in rows:
        where = _MGMT if row.bucket == MGMT_POST else {"verb": row.bucket, "uri": "*", "regex": ".*"}
        # Whole seconds are shown, so the next one is named: asking then must not be too early.
        available = now + timedelta(seconds=row.wait_s + 1) if row.wait_s else now
        views.append(
            {
                **where,
                "value": row.limit,
                "unit": "MINUTE",
                "remaining": row.remaining,
                "nextAvailable": wire_time(available) + "Z",
            }
        )
    return views
