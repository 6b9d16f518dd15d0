"""Change some values of a configuration group and keep the others."""

from trove.core.callers import Caller
from trove.operations.configuration.saving import Change, save
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified


@notified("configuration.edit", lambda configuration_id, _change: {"configuration_id": configuration_id})
def start(doors: Doors, caller: Caller, configuration_id: str, change: Change) -> tuple[str, ...]:
    """Do so, and have every instance that it is attached to take the values; return the operations. Raises what `save` does."""
    return save(doors, caller, configuration_id, change, lambda group, values: {**group.values, **values})
