"""Delete a version of a datastore, with its parameters and what was bound to it."""

import logging

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.store import datastores

LOG = logging.getLogger(__name__)


def start(doors: Doors, caller: Caller, version_id: str) -> None:
    """Remove it. Raises `NotFound`; `InvalidInput` while an instance, cluster, backup or configuration group uses it."""
    doors.database.run(datastores.delete_version, version_id)
    LOG.info("Audit: user %s deleted datastore version %s", caller.user_id, version_id)
