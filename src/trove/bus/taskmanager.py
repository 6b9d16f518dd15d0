"""Typed casts to the task managers."""

import logging

from trove.bus.contract import TASKMANAGER_TOPIC, Bus
from trove.core.errors import TroveError

LOG = logging.getLogger(__name__)


class TaskManagerCaller:
    """Any one of the task managers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def run_operation(self, operation_id: str, *, request_id: str | None = None) -> None:
        """Cast that an operation waits. May run twice. Raises `Unavailable`."""
        self._bus.cast(TASKMANAGER_TOPIC, "run_operation", {"operation_id": operation_id}, request_id=request_id)


class BusAnnouncer:
    """Announces operations over the bus (`operations.doors.OperationAnnouncer`)."""

    def __init__(self, bus: Bus) -> None:
        self._caller = TaskManagerCaller(bus)

    def announce(self, operation_id: str) -> None:
        """Announce without raising: what is not announced, the sweep finds."""
        try:
            self._caller.run_operation(operation_id)
        except TroveError as error:
            LOG.warning("operation %s waits for the sweep: %s", operation_id, error)
