"""Which instances a caller may act on, and what an instance must be like for an action to begin."""

from trove.core.callers import Caller
from trove.core.errors import NotReady, Unsupported
from trove.core.instances import Instance
from trove.core.status import ACTIONABLE_SERVICES, IDLE_TASKS, ServerStatus, shown_status
from trove.store import instances
from trove.store.session import Tx


def instance_of(tx: Tx, caller: Caller, instance_id: str) -> Instance:
    """Return the instance if the caller may see it: its own project's, any for an administrator. Raises `NotFound`."""
    return instances.get(tx, instance_id, project_id=None if caller.is_admin else caller.project_id)


def need_actionable(instance: Instance) -> None:
    """Raise `NotReady` naming the state unless an action such as a restart may begin now."""
    if instance.server_status is not ServerStatus.ACTIVE or instance.task not in IDLE_TASKS:
        shown = shown_status(instance.task, instance.server_status)
        raise NotReady(f"Instance {instance.id} is not ready for this action: its status is {shown}.")
    if instance.guest.status not in ACTIONABLE_SERVICES:
        raise NotReady(
            f"Instance {instance.id} is not ready for this action: its database service is {instance.guest.status.value!r}."
        )


def need_single(instance: Instance, caller: Caller) -> None:
    """Raise `Unsupported` for a member of a cluster, which is changed through its cluster, unless an administrator asks."""
    if instance.cluster_id is not None and not caller.is_admin:
        raise Unsupported(f"Instance {instance.id} belongs to cluster {instance.cluster_id}; act on the cluster.")
