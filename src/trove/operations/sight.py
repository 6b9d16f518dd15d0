"""Which instances a caller may see and act on; what they must be like besides is in `core/transitions.py`."""

from trove.core.callers import Caller
from trove.core.errors import Unsupported
from trove.core.instances import Instance
from trove.store import instances
from trove.store.session import Tx


def instance_of(tx: Tx, caller: Caller, instance_id: str) -> Instance:
    """Return the instance if the caller may see it: its own project's, any for an administrator. Raises `NotFound`."""
    return instances.get(tx, instance_id, project_id=None if caller.is_admin else caller.project_id)


def need_single(instance: Instance, caller: Caller) -> None:
    """Raise `Unsupported` for a member of a cluster, which is changed through its cluster, unless an administrator asks."""
    if not caller.is_admin:
        need_no_cluster(instance)


def need_no_cluster(instance: Instance) -> None:
    """Raise `Unsupported` for a member of a cluster, whoever asks."""
    if instance.cluster_id is not None:
        raise Unsupported(f"Instance {instance.id} belongs to cluster {instance.cluster_id}; act on the cluster.")
