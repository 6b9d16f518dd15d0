"""The one table of what may happen to an instance and when: event × task → task. doc/states.md is drawn from it.

A verb adds its events here; the store applies them with compare-and-set, and nothing else changes a task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from trove.core.errors import NotReady
from trove.core.status import ACTIONABLE_SERVICES, IDLE_TASKS, SERVING, ServerStatus, ServiceStatus, Task, shown_status


class Event(StrEnum):
    """What happens to an instance: a request is accepted, its operation ends, or somebody repairs what no operation ends."""

    CREATE_ACCEPTED = "create accepted"
    BUILT = "built"
    BUILD_FAILED = "build failed"
    RESTART_ACCEPTED = "restart accepted"
    RESTARTED = "restarted"
    RESTART_FAILED = "restart failed"
    REBOOT_ACCEPTED = "reboot accepted"
    STOP_ACCEPTED = "stop accepted"
    STOPPED = "stopped"
    STOP_FAILED = "stop failed"
    MIGRATE_ACCEPTED = "migrate accepted"
    MIGRATED = "migrated"
    MIGRATE_FAILED = "migrate failed"
    REBUILD_ACCEPTED = "rebuild accepted"
    REBUILT = "rebuilt"
    REBUILD_FAILED = "rebuild failed"
    ATTACH_ACCEPTED = "attach accepted"
    CONFIGURE_ACCEPTED = "configure accepted"
    CONFIGURED = "configured"
    CONFIGURE_FAILED = "configure failed"
    RESTART_OWED = "restart owed"
    RESIZE_ACCEPTED = "resize accepted"
    RESIZED = "resized"
    RESIZE_FAILED = "resize failed"
    BACKUP_ACCEPTED = "backup accepted"
    BACKUP_ENDED = "backup ended"
    REPLICATE_ACCEPTED = "replicate accepted"
    DETACH_ACCEPTED = "detach accepted"
    DETACHED = "detached"
    DETACH_FAILED = "detach failed"
    PROMOTE_ACCEPTED = "promote accepted"
    SOURCE_SWITCHED = "source switched"
    PROMOTED = "promoted"
    PROMOTE_FAILED = "promote failed"
    EJECT_SOURCE_ACCEPTED = "eject accepted by the source"
    EJECT_ACCEPTED = "eject accepted"
    SOURCE_EJECTED = "source ejected"
    EJECTED = "ejected"
    EJECT_FAILED = "eject failed"
    REJOIN_ACCEPTED = "rejoin accepted"
    REJOINED = "rejoined"
    REJOIN_REFUSED = "rejoin refused"
    REJOIN_GIVEN_UP = "rejoin given up"
    REJOIN_FAILED = "rejoin failed"
    UPGRADE_ACCEPTED = "upgrade accepted"
    UPGRADED = "upgraded"
    UPGRADE_TAKEN_BACK = "upgrade taken back"
    UPGRADE_FAILED = "upgrade failed"
    ACCESS_ACCEPTED = "access accepted"
    ACCESS_UPDATED = "access updated"
    ACCESS_FAILED = "access failed"
    TLS_ACCEPTED = "TLS change accepted"
    TLS_CHANGED = "TLS changed"
    TLS_FAILED = "TLS change failed"
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
_LOST = Target(task=Task.FAILED)
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
    # An administrator reboots what does not answer: nothing is asked of the server or its database. It ends as a restart.
    Event.REBOOT_ACCEPTED: Rule(targets=_from(IDLE_TASKS | {Task.FAILED}, Target(task=Task.REBOOTING))),
    Event.STOP_ACCEPTED: Rule(targets=_from(IDLE_TASKS, Target(task=Task.UPDATING)), servers=frozenset({ServerStatus.ACTIVE})),
    Event.STOPPED: Rule(targets={Task.UPDATING: _IDLE}),
    Event.STOP_FAILED: Rule(targets={Task.UPDATING: _IDLE}),
    Event.MIGRATE_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.MIGRATING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.MIGRATED: Rule(targets={Task.MIGRATING: _SERVING}),
    Event.MIGRATE_FAILED: Rule(targets={Task.MIGRATING: _IDLE}),
    # Whatever has become of the server, a new one is made; the volume is what lasts.
    Event.REBUILD_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS | {Task.FAILED}, Target(task=Task.BUILDING, server=ServerStatus.BUILD))
    ),
    Event.REBUILT: Rule(targets={Task.BUILDING: _SERVING}),
    Event.REBUILD_FAILED: Rule(targets=_from((Task.BUILDING, Task.FAILED, Task.NONE), _BROKEN)),
    # Values that wait for a restart must not meet those of another group (contract 6.4).
    Event.ATTACH_ACCEPTED: Rule(targets={Task.NONE: Target(task=Task.UPDATING)}, servers=frozenset({ServerStatus.ACTIVE})),
    Event.CONFIGURE_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.UPDATING)), servers=frozenset({ServerStatus.ACTIVE})
    ),
    Event.CONFIGURED: Rule(targets={Task.UPDATING: _IDLE}),
    Event.CONFIGURE_FAILED: Rule(targets={Task.UPDATING: _IDLE}),
    # Some of what was configured takes effect when the database server starts again.
    Event.RESTART_OWED: Rule(targets=_from(IDLE_TASKS, Target(task=Task.RESTART_REQUIRED))),
    Event.RESIZE_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.RESIZING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.RESIZED: Rule(targets={Task.RESIZING: _SERVING}),
    Event.RESIZE_FAILED: Rule(targets={Task.RESIZING: _IDLE}),
    # Only a database server that runs can be backed up; it goes on serving.
    Event.BACKUP_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.BACKUP)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=SERVING | {ServiceStatus.RESTART_REQUIRED},
    ),
    Event.BACKUP_ENDED: Rule(targets={Task.BACKUP: _IDLE}),
    # Replicas are made of what the source has while it serves; its task stays, and the row is held until they are booked.
    Event.REPLICATE_ACCEPTED: Rule(
        targets={task: Target(task=task) for task in sorted(IDLE_TASKS)},
        servers=frozenset({ServerStatus.ACTIVE}),
        services=SERVING,
    ),
    Event.DETACH_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.DETACHING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.DETACHED: Rule(targets={Task.DETACHING: _IDLE}),
    Event.DETACH_FAILED: Rule(targets={Task.DETACHING: _IDLE}),
    # The source and all its replicas are taken together, or none of them.
    Event.PROMOTE_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.PROMOTING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    # The new roles are recorded only while the set is held: a candidate that is being deleted becomes no source.
    Event.SOURCE_SWITCHED: Rule(targets={task: Target(task=task) for task in (Task.PROMOTING, Task.EJECTING)}),
    Event.PROMOTED: Rule(targets={Task.PROMOTING: _IDLE}),
    Event.PROMOTE_FAILED: Rule(targets={Task.PROMOTING: _LOST}),
    # Nothing is asked of a source that is given up, but that it is not in the middle of something.
    Event.EJECT_SOURCE_ACCEPTED: Rule(targets=_from(IDLE_TASKS | {Task.FAILED}, Target(task=Task.EJECTING))),
    Event.EJECT_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.EJECTING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.SOURCE_EJECTED: Rule(targets={Task.EJECTING: Target(task=Task.NONE, server=ServerStatus.SHUTDOWN)}),
    Event.EJECTED: Rule(targets={Task.EJECTING: _IDLE}),
    Event.EJECT_FAILED: Rule(targets={Task.EJECTING: _LOST}),
    # Whatever has become of the server, it is made anew, closed. Where its data cannot follow, it is stopped with what it has.
    Event.REJOIN_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS | {Task.FAILED}, Target(task=Task.BUILDING, server=ServerStatus.BUILD))
    ),
    Event.REJOINED: Rule(targets={Task.BUILDING: _SERVING}),
    Event.REJOIN_REFUSED: Rule(targets={Task.BUILDING: Target(task=Task.NONE, server=ServerStatus.SHUTDOWN)}),
    Event.REJOIN_GIVEN_UP: Rule(targets={Task.BUILDING: _SERVING}),
    Event.REJOIN_FAILED: Rule(targets=_from((Task.BUILDING, Task.FAILED, Task.NONE), _BROKEN)),
    Event.UPGRADE_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.UPGRADING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=ACTIONABLE_SERVICES,
    ),
    Event.UPGRADED: Rule(targets={Task.UPGRADING: _SERVING}),
    Event.UPGRADE_TAKEN_BACK: Rule(targets={Task.UPGRADING: _SERVING}),
    # What its data files have become is not known: it shows ERROR until somebody has looked.
    Event.UPGRADE_FAILED: Rule(targets={Task.UPGRADING: _LOST}),
    Event.ACCESS_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.UPDATING)), servers=frozenset(ServerStatus) - {ServerStatus.BUILD}
    ),
    Event.ACCESS_UPDATED: Rule(targets={Task.UPDATING: _IDLE}),
    Event.ACCESS_FAILED: Rule(targets={Task.UPDATING: _IDLE}),
    # The source and all its replicas are taken together, or none of them; each goes on serving.
    Event.TLS_ACCEPTED: Rule(
        targets=_from(IDLE_TASKS, Target(task=Task.UPDATING)),
        servers=frozenset({ServerStatus.ACTIVE}),
        services=SERVING | {ServiceStatus.RESTART_REQUIRED},
    ),
    Event.TLS_CHANGED: Rule(targets={Task.UPDATING: _IDLE}),
    Event.TLS_FAILED: Rule(targets={Task.UPDATING: _IDLE}),
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

SET_TASKS = frozenset({Task.PROMOTING, Task.EJECTING, Task.UPDATING})
"""Tasks in which one operation may hold a whole replicated set, whose other members then have none of their own."""


def target(event: Event, instance_id: str, state: State) -> Target:
    """Return what `event` leads to in `state`. Raises `NotReady` naming the state when it is not possible."""
    rule = TRANSITIONS[event]
    found = rule.targets.get(state.task)
    if found is None or (rule.servers is not None and state.server not in rule.servers):
        shown = shown_status(state.task, state.server)
        busy_unseen = shown == "ACTIVE" and state.task not in IDLE_TASKS
        stands = f"its task is {state.task.value}" if busy_unseen else f"its status is {shown}"
        raise NotReady(f"Instance {instance_id} is not ready for this action: {stands}.")
    if rule.services is not None and state.service not in rule.services:
        raise NotReady(f"Instance {instance_id} is not ready for this action: its database service is {state.service.value!r}.")
    return found
