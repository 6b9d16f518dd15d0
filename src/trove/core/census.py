"""What the reconciler compares with the cloud and with the guests' reports."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trove.core.status import ServerStatus, Task


class Finder(StrEnum):
    """Who found a fault. The details of a fault begin with it, so that the reconciler clears its own faults only."""

    SERVER = "Found by the reconciler on the server"
    GUEST = "Found by the reconciler on the guest agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An instance with a server, at rest: its task is idle and no operation on it is unfinished.

    `updated` proves, when it is compared again, that nothing has happened to the row since. `fault_details` is None without
    a fault.
    """

    instance_id: str
    task: Task
    server_status: ServerStatus | None
    updated: datetime
    fault_details: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """An instance at rest whose guest agent was last heard too long ago."""

    instance_id: str
    heard_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """An instance that is busy with `task` since `since`, although no operation on it is unfinished."""

    instance_id: str
    task: Task
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unowned:
    """An unfinished operation that nobody seems to run. `since` is when its last runner showed a sign of life."""

    operation_id: str
    kind: str
    resource_id: str
    since: datetime
