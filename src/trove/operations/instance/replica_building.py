"""The steps that build a replica where a plain instance has its database set up: a snapshot of the source, and following it."""

from contextlib import suppress
from typing import Any

from trove.core.errors import TroveError, Unavailable
from trove.core.replication import Account, Source, account_name
from trove.operations.guest_jobs import Errand, await_serving, cast_job, forget_job, run_job
from trove.operations.instance import replica_snapshot, replica_verbs
from trove.operations.rendering import config_of
from trove.operations.steps import step
from trove.operations.tls.inheriting import TLS, serve_like
from trove.operations.tls.inheriting import WAITING_FOR as SERVING_TLS
from trove.operations.work import Work
from trove.store import instances

SNAPSHOT = replica_verbs.SNAPSHOT
REPLICA_OF = "replica_of"
"""Argument of a creation: the id of the instance whose replica is built."""


def steps(work: Work) -> list[Any]:
    """Return the steps from the snapshot of the source to the replica that serves."""
    snapshot = step(work, snapshot_source, waiting_for=SNAPSHOT, undo=release_snapshot)
    built = step(work, prepare_replica, waiting_for="the guest agent to build the replica")
    tls = [step(work, serve_tls, waiting_for=SERVING_TLS)] if TLS in work.operation.args else []
    if not replica_snapshot.needs_backup(work):
        return [snapshot, built, *tls]
    backed_up = step(work, back_source_up, waiting_for=replica_snapshot.BACKING_UP, undo=give_backup_up)
    removed = step(work, remove_backup, waiting_for="the object store to delete the snapshot")
    return [snapshot, backed_up, built, removed, *tls]


def snapshot_source(work: Work) -> None:
    """Have the source make an account for the replica, and a snapshot to build it from."""
    replica_verbs.get_replication_snapshot(work, _source_id(work), _account(work))


def release_snapshot(work: Work) -> None:
    """Tell the source that the replica does not come: its account and its snapshot are of no use. Losing this does no harm."""
    clean_up_source(work, _source_id(work), tag="release")


def back_source_up(work: Work) -> None:
    """Have the source make a backup of itself for the replica."""
    replica_snapshot.back_up(work, _source_id(work))


def give_backup_up(work: Work) -> None:
    """Remove what the source has stored for the replica so far."""
    replica_snapshot.give_up(work, _source_id(work))


def remove_backup(work: Work) -> None:
    """Remove the backup for the replica, which has all that it held."""
    replica_snapshot.remove(work)


def prepare_replica(work: Work) -> None:
    """Have the guest agent build the database server from the snapshot and follow the source, and wait until it serves."""
    source_id = _source_id(work)
    snapshot = replica_verbs.get_replication_snapshot(work, source_id, _account(work))
    with work.doors.database.reading() as tx:
        replica = instances.get(tx, work.operation.resource_id)
        config = config_of(tx, replica, ram_mib=work.doors.cloud.flavor(replica.flavor_id).ram_mib)
    source = source_of(work, source_id, replica.id)
    args: dict[str, Any] = {"config": config, "snapshot": dict(snapshot), "source": source.to_json()}
    if replica_snapshot.needs_backup(work):
        args["restore"], args["snapshot"]["positions"] = replica_snapshot.to_restore(work, source_id)
    run_job(work, "prepare_replica", args, waiting_for="the guest agent to build the replica")
    await_serving(work, waiting_for="the first report of the replica")
    forget_job(work)


def serve_tls(work: Work) -> None:
    """Have the replica serve TLS as its source does."""
    serve_like(work, _source_id(work))


def source_of(work: Work, source_id: str, replica_id: str) -> Source:
    """Return where a replica finds its source, and as whom it logs in there."""
    with work.doors.database.reading() as tx:
        source = instances.get(tx, source_id)
    if not source.addresses or source.port is None:
        raise TroveError(f"The source {source_id} has no address that a replica could follow.")
    private = next((each for each in source.addresses if each.type == "private"), source.addresses[0])
    return Source(host=private.address, port=source.port, account=replica_verbs.account(work, replica_id))


def clean_up_source(work: Work, source_id: str, *, tag: str) -> None:
    """Tell a source that one of its replicas follows it no more. Nobody waits for it; losing it does no harm."""
    name = account_name(work.operation.resource_id)
    with suppress(Unavailable):
        errand = Errand(guest=source_id, tag=tag)
        cast_job(work, "cleanup_source_on_replica_detach", {"account": name}, errand=errand)


def _source_id(work: Work) -> str:
    return str(work.operation.args[REPLICA_OF])


def _account(work: Work) -> Account:
    return replica_verbs.account(work, work.operation.resource_id)
