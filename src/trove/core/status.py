"""Status tables: what tasks, servers and guests say, and what the API shows of it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum


class Task(StrEnum):
    """What the service is doing with an instance."""

    NONE = "NONE"
    BUILDING = "BUILDING"
    DELETING = "DELETING"
    REBOOTING = "REBOOTING"
    RESIZING = "RESIZING"
    MIGRATING = "MIGRATING"
    RESTART_REQUIRED = "RESTART_REQUIRED"
    PROMOTING = "PROMOTING"
    EJECTING = "EJECTING"
    DETACHING = "DETACHING"
    UPDATING = "UPDATING"
    UPGRADING = "UPGRADING"
    BACKUP = "BACKUP"
    FAILED = "FAILED"
    DELETED = "DELETED"


class ServerStatus(StrEnum):
    """State of the (virtual) server, in Nova's words."""

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    ERROR = "ERROR"
    REBOOT = "REBOOT"
    RESIZE = "RESIZE"
    VERIFY_RESIZE = "VERIFY_RESIZE"
    SHUTDOWN = "SHUTDOWN"
    DELETED = "DELETED"


class ServiceStatus(StrEnum):
    """State of the database server as its guest agent reports it; the values cross the bus."""

    NEW = "new"
    BUILDING = "building"
    RUNNING = "running"
    HEALTHY = "healthy"
    BLOCKED = "blocked"
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"
    RESTARTING = "restarting"
    FAILED = "failed to spawn"
    RESTART_REQUIRED = "restart required"
    UNKNOWN = "unknown"


_TASK_SHOWN: Mapping[Task, str] = {
    Task.FAILED: "ERROR",
    Task.BUILDING: "BUILD",
    Task.REBOOTING: "REBOOT",
    Task.RESIZING: "RESIZE",
    Task.UPGRADING: "UPGRADE",
    Task.RESTART_REQUIRED: "RESTART_REQUIRED",
    Task.PROMOTING: "PROMOTE",
    Task.EJECTING: "EJECT",
    Task.DETACHING: "DETACH",
    Task.BACKUP: "BACKUP",
    Task.DELETING: "SHUTDOWN",
    Task.DELETED: "SHUTDOWN",
}

_SERVER_SHOWN: Mapping[str, str] = {
    "BUILD": "BUILD",
    "ERROR": "ERROR",
    "REBOOT": "REBOOT",
    "RESIZE": "RESIZE",
    "VERIFY_RESIZE": "RESIZE",
    "ACTIVE": "ACTIVE",
    "SHUTDOWN": "SHUTDOWN",
}

_SERVICE_SHOWN: Mapping[ServiceStatus, str] = {
    ServiceStatus.NEW: "NEW",
    ServiceStatus.BUILDING: "BUILD",
    ServiceStatus.RUNNING: "ACTIVE",
    ServiceStatus.HEALTHY: "HEALTHY",
    ServiceStatus.BLOCKED: "BLOCKED",
    ServiceStatus.SHUTDOWN: "SHUTDOWN",
    ServiceStatus.CRASHED: "SHUTDOWN",
    ServiceStatus.RESTARTING: "RESTARTING",
    ServiceStatus.FAILED: "FAILED",
    ServiceStatus.RESTART_REQUIRED: "RESTART_REQUIRED",
    ServiceStatus.UNKNOWN: "ERROR",
}

IDLE_TASKS = frozenset({Task.NONE, Task.RESTART_REQUIRED})
"""Tasks in which a new action may begin."""

UNDISTURBED_TASKS = IDLE_TASKS | {Task.BACKUP}
"""Tasks in which the database server goes on serving, so that its own status is shown, and it can be asked."""

SERVING = frozenset({ServiceStatus.RUNNING, ServiceStatus.HEALTHY})
"""Service states in which users and databases can be asked for."""

ACTIONABLE_SERVICES = SERVING | {
    ServiceStatus.SHUTDOWN,
    ServiceStatus.CRASHED,
    ServiceStatus.BLOCKED,
    ServiceStatus.RESTART_REQUIRED,
}
"""Service states in which an action such as a restart may begin."""


def shown_status(task: Task, server: ServerStatus | None) -> str:
    """Return the `status` field of an instance, by the contract's order: the task first, then the server."""
    if task is Task.BUILDING and server is ServerStatus.ERROR:
        return "ERROR"
    if task in _TASK_SHOWN:
        return _TASK_SHOWN[task]
    return _SERVER_SHOWN.get(server or "SHUTDOWN", "UNKNOWN")


def shown_service(service: ServiceStatus) -> str:
    """Return what administrators see of the state that the guest reported last, whatever the instance is doing."""
    return _SERVICE_SHOWN[service]


def shown_operating_status(
    task: Task, server: ServerStatus | None, service: ServiceStatus, *, heard_at: datetime | None, expired_before: datetime
) -> str:
    """Return the `operating_status` field: `""` while busy, ERROR when the guest was last heard before `expired_before`."""
    if task not in UNDISTURBED_TASKS or server is not ServerStatus.ACTIVE:
        return ""
    if task is not Task.RESTART_REQUIRED and heard_at is not None and heard_at < expired_before:
        return "ERROR"
    return _SERVICE_SHOWN[service]
