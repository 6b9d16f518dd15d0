"""The one table of what may happen to an instance and when: event × task → task. doc/states.md is drawn from it.

A verb adds its events here; the store applies them with compare-and-set, and nothing else changes a task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from trove.core.errors import NotReady
from trove.core.status import ACTIONABLE_SERVICES, IDLE_TASKS, ServerStatus, ServiceStatus, Task, shown_status


class Event(StrEnum):
    """What happens to an instance: a request is accepted, its operation ends, or somebody repairs what no operation ends."""

    CREATE_ACCEPTED = "create accepted"
    BUILT = "built"
    BUILD_FAILED = "build failed"
    RESTART_ACCEPTED = "restart accepted"
    RESTARTED = "restarted"
    RESTART_FAILED = "restart failed"
    RESIZE_ACCEPTED = "resize accepted"
    RESIZED = "resized"
    RESIZE_FAILED = "resize failed"
    DELETE_ACCEPTED = "delete accepted"
    DELETED = "deleted"
    DELETE_FAILED = "delete failed"
    STATUS_RESET = "status reset"
    ABANDONED = "abandoned"
    DELETE_RESUMED = "delete resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What an event finds: the task, and what the server and the database server were last known to be."""

    task: Task
    server: ServerStatus | None = None
    service: ServiceStatus = ServiceStatus.NEW


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an event leads to. A `server` of None leaves the server's status as it is."""

    task: Task
    server: ServerStatus | None = None

    def shown(self, server: ServerStatus | None) -> str:
        """Return the `status` that the API shows afterwards, of an instance whose server was `server` before."""
        return shown_status(self.task, self.server or server)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When an event is possible. `targets` by present task; the key None stands for an instance that does not exist yet.

    `servers` and `services` are what the server and the database server may be; None asks nothing.
    """

    targets: Mapping[Task | None, Target]
    servers: frozenset[ServerStatus] | None = None
    services: frozenset[ServiceStatus] | None = None


def _from(tasks: Iterable[Task], target: Target) -> dict[Task | None, Target]:
    return dict.fromkeys(sorted(tasks), target)


_IDLE = Target(task=Task.NONE)
_SERVING = Target(task=Task.NONE, server=ServerStatus.ACTIVE)
_BROKEN = Target(task=Task.FAILED, server=ServerStatus.ERROR)
_LIVE = frozenset(Task) - {Task.DELETED}
_BUSY = _LIVE - IDLE_TASKS - {Task.FAILED}

TRANSITIONS: Mapping[Event, Rule] = {
    Event.CREATE_ACCEPTED: Rule(targets={None: Target(task=Task.BUILDING, server=ServerStatus.BUILD)}),
    Event.BUILT: Rule(targets={Task.BUILDING: _SERVING}),
    # After a reset the task is FAILED or NONE already; the end of the build still says why, and that nothing is left of it.
    Event.BUILD_FAILED: Rule(targets=_from((Task.BUILDING, Task.FAILED, Task.NONE), _BROKEN)),
    # A server that was shut down behind the service's back is started again by a restart.
    Event.RESTART_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.REBOOTING)),
        servers=frozenset({ServerStatus.ACTIVE, ServerStatus.SHUTDOWN}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.RESTARTED: Rule(targets={Task.REBOOTING: _SERVING}),
    Event.RESTART_FAILED: Rule(targets={Task.REBOOTING: _IDLE}),
    Event.RESIZE_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.RESIZING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.RESIZED: Rule(targets={Task.RESIZING: _SERVING}),
    Event.RESIZE_FAILED: Rule(targets={Task.RESIZING: _IDLE}),
    Event.DELETE_ACCEPTED: Rule(targets=_from(_LIVE - {Task.DELETING}, Target(task=Task.DELETING))),
    # Nothing is left of the instance, whatever was made of its task meanwhile.
    Event.DELETED: Rule(targets=_from(_LIVE, Target(task=Task.DELETED, server=ServerStatus.DELETED))),
    Event.DELETE_FAILED: Rule(targets=_from((Task.DELETING, Task.FAILED, Task.NONE), _BROKEN)),
    # What is half built or half deleted does not become usable by a reset: it shows ERROR and can be deleted.
    Event.STATUS_RESET: Rule(targets={**_from(_LIVE, _IDLE), **_from((Task.BUILDING, Task.DELETING), _BROKEN)}),
    Event.ABANDONED: Rule(
        targets={**_from(_BUSY - {Task.DELETING}, Target(task=Task.FAILED)), Task.BUILDING: _BROKEN},
    ),
    Event.DELETE_RESUMED: Rule(targets={Task.DELETING: Target(task=Task.DELETING)}),
}


def target(event: Event, instance_id: str, state: State) -> Target:
    """Return what `event` leads to in `state`. Raises `NotReady` naming the state when it is not possible."""
    rule = TRANSITIONS[event]
    found = rule.targets.get(state.task)
    if found is None or (rule.servers is not None and state.server not in rule.servers):
        shown = shown_status(state.task, state.server)
        raise NotReady(f"Instance {instance_id} is not ready for this action: its status is {shown}.")
    if rule.services is not None and state.service not in rule.services:
        raise NotReady(f"Instance {instance_id} is not ready for this action: its database service is {state.service.value!r}.")
    return found
