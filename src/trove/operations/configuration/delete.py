"""Delete a configuration group that nothing uses."""

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.store import configurations
from trove.store.session import Tx


@notified("configuration.delete", lambda configuration_id: {"configuration_id": configuration_id})
def start(doors: Doors, caller: Caller, configuration_id: str) -> None:
    """Delete it at once. Raises `NotFound`; `InvalidInput` naming what it is attached to."""
    doors.database.run(_delete, caller, configuration_id)


def _delete(tx: Tx, caller: Caller, configuration_id: str) -> None:
    visible = None if caller.is_admin else caller.project_id
    configurations.mark_deleted(tx, configurations.hold(tx, configuration_id, project_id=visible).id)
