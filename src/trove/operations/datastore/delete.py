"""Delete a datastore that has no versions."""

import logging

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.store import datastores

LOG = logging.getLogger(__name__)


def start(doors: Doors, caller: Caller, id_or_name: str) -> None:
    """Remove it. Raises `NotFound`; `InvalidInput` while it has versions, active or not."""
    doors.database.run(datastores.delete_datastore, id_or_name)
    LOG.info("Audit: user %s deleted datastore %s", caller.user_id, id_or_name)
