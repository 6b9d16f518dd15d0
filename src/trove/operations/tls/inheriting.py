"""The TLS of a server that is built as a replica: that of its source, which cannot change before the replica is built."""

from collections.abc import Mapping

from trove.core.json import JSON
from trove.operations.guest_jobs import Errand, await_serving, forget_job, run_job
from trove.operations.rendering import config_of
from trove.operations.tls.support import serve
from trove.operations.work import Work
from trove.store import instances, operations, tls
from trove.store.session import Tx

TLS = "tls"
"""Argument of an operation that builds a replica: there is TLS to be given, or taken, by what was known when it was accepted.
What steps it has must not change while it runs."""
WAITING_FOR = "the guest agent of the replica to serve TLS"
_RESTART = Errand(tag="tls")


def inherited(tx: Tx, source_id: str, replica_id: str | None = None) -> Mapping[str, JSON]:
    """Return the argument, or nothing where neither the source nor the replica, if there was one before, has had any TLS."""
    known = [tls.kept(tx, each) for each in (source_id, replica_id) if each is not None]
    return {TLS: True} if any(kept != tls.Kept() for kept in known) else {}


def serve_like(work: Work, source_id: str) -> None:
    """Have the replica serve with what its source does, restarted where that is needed, and keep that with it."""
    replica_id = work.operation.resource_id
    with work.doors.database.transaction() as tx:
        operations.check(tx, work.fence)
        replica, current = instances.get(tx, replica_id), tls.kept(tx, source_id).current
        tls.prepare(tx, [replica_id])
    if serve(work, replica_id, current):
        ram_mib = work.doors.cloud.flavor(replica.flavor_id).ram_mib
        with work.doors.database.reading() as tx:
            config = config_of(tx, replica, ram_mib=ram_mib)
        run_job(work, "restart", {"config": config}, waiting_for=WAITING_FOR, errand=_RESTART)
        await_serving(work, waiting_for=WAITING_FOR)
        forget_job(work, _RESTART)
    with work.doors.database.transaction() as tx:
        tls.put(tx, replica_id, tls.Kept(current=current), fence=work.fence)
        tls.note_restart(tx, replica_id, required=False, fence=work.fence)
