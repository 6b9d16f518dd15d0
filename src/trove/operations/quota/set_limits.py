"""Give a project limits of its own; they hold for the next request."""

import logging
from collections.abc import Mapping

from trove.core.callers import Caller
from trove.core.errors import NotFound
from trove.core.quotas import Resource
from trove.operations.doors import Doors
from trove.store import quotas
from trove.store.session import Tx

LOG = logging.getLogger(__name__)


def start(doors: Doors, caller: Caller, project_id: str, limits: Mapping[str, int]) -> None:
    """Set all the limits or none; -1 is unlimited. A line in the log tells who did it. May run twice.

    Raises `NotFound` for an unknown resource, `InvalidInput` below -1.
    """
    known = {each.value: each for each in Resource}
    for name in limits:
        if name not in known:
            raise NotFound(f"There is no quota resource {name[:40]!r}; there are: {', '.join(known)}.")
    wanted = {known[name]: limit for name, limit in limits.items()}
    doors.database.run(_set, project_id, wanted)
    LOG.info(
        "Audit: user %s of project %s set quotas of project %s: %s",
        caller.user_id,
        caller.project_id,
        project_id,
        ", ".join(f"{each.value}={limit}" for each, limit in wanted.items()) or "none",
    )


def _set(tx: Tx, project_id: str, wanted: Mapping[Resource, int]) -> None:
    for resource, limit in wanted.items():
        quotas.set_limit(tx, project_id, resource, limit)
