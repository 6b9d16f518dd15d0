"""What attaching and detaching a configuration group of a cluster have in common."""

from contextlib import suppress

from trove.core.clusters import Cluster
from trove.core.errors import NotFound, NotReady
from trove.core.status import Task
from trove.core.transitions import Event
from trove.operations.cluster.members import Turn, begin_turn, end_turn
from trove.operations.guest_jobs import ONLY
from trove.operations.instance.configuring import apply_present
from trove.operations.work import Work
from trove.store import clusters, guests, instances
from trove.store.session import Tx

TURN = Turn(accepted=Event.CONFIGURE_ACCEPTED, task=Task.UPDATING, done=Event.CONFIGURED, failed=Event.CONFIGURE_FAILED)


def set_group(tx: Tx, cluster: Cluster, configuration_id: str | None) -> None:
    """Show the group, or none, on the cluster and all its members."""
    clusters.set_configuration(tx, cluster.id, configuration_id)
    for member in cluster.members:
        instances.set_configuration(tx, member.id, configuration_id)


def configure_member(work: Work) -> None:
    """Have one member take what its group says now; without a group, the template."""
    begin_turn(work, TURN)
    apply_present(work)
    work.doors.database.run(_configured, work)


def _configured(tx: Tx, work: Work) -> None:
    """Show the member as idle, or as waiting for a restart when its guest said so."""
    member_id = work.operation.resource_id
    end_turn(tx, work, TURN)
    job = guests.job(tx, member_id, ONLY.name(work))
    if job is not None and (job.result or {}).get("restart_required"):
        with suppress(NotReady, NotFound):
            instances.apply_to_member(tx, member_id, Event.RESTART_OWED, fence=work.fence)
