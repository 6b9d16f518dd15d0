"""The steps that bring a server to another version of its datastore, and the way back.

In order: `check_database` while the old version serves, `stop_database`, `rebuild_server` with the image of the new version,
`upgrade_database`, `record_upgrade`, `clear_up`. Before each of them what may be left half done is written down as the fault of
the instance (see `replica_set`), so whoever ends the operation, or undoes it, finds where it stands.

The way back is open until the new version has let tenants in: what they wrote then is in its form alone. After that, whatever
fails and whoever cancels, the way leads only forward.
"""

from dataclasses import replace

from trove.core.datastores import DatastoreVersion
from trove.core.errors import TroveError
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.operations.guest_jobs import DONE, Errand, await_serving, forget_job, run_job
from trove.operations.instance import replica_set
from trove.operations.instance.create import server_spec
from trove.operations.module.applying import apply_modules_again
from trove.operations.rendering import config_of
from trove.operations.work import Work
from trove.store import datastores, guests, instances
from trove.store.session import Tx

VERSION, OLD_VERSION = "datastore_version_id", "old_datastore_version_id"
CHECKING = "the guest agent to check what the upgrade needs"
STOPPING = "the guest agent to stop the database"
REBUILDING = "the server to be made anew"
UPGRADING = "the guest agent to upgrade the database"
RECORDING = "the new version to be recorded"
CLEARING = "the guest agent to remove what was kept of the old version"
RETURNING = "the guest agent to bring the old version back"

_CHECK, _STOP, _UPGRADE, _FINISH = Errand(tag="check"), Errand(tag="stop"), Errand(tag="upgrade"), Errand(tag="finish")
_REVERT, _AGAIN, _RETURN = Errand(tag="revert"), Errand(tag="again"), Errand(tag="return")

STOPPED = "Its database server was stopped for an upgrade to {}, and it is not known whether it serves again."
BETWEEN = "It was being upgraded to {}, and it is not known of which version its data are now."


def check_database(work: Work) -> None:
    """Have the guest agent find out, without changing anything, whether the upgrade can be done."""
    run_job(work, "pre_upgrade", {"version": _wanted(work).version}, waiting_for=CHECKING, errand=_CHECK)
    forget_job(work, _CHECK)


def stop_database(work: Work) -> None:
    """Have the guest agent stop the database server cleanly."""
    _mark(work, STOPPED)
    run_job(work, "stop", {}, waiting_for=STOPPING, errand=_STOP)
    forget_job(work, _STOP)


def serve_again(work: Work) -> None:
    """Have the old version serve again, if its data are as they were."""
    if not _is_marked(work, STOPPED):
        return
    args: dict[str, JSON] = {"config": _config(work, _old(work)), "databases": [], "users": [], "root_password": None}
    run_job(work, "prepare", args, waiting_for=RETURNING, errand=_RETURN)
    await_serving(work, waiting_for="the report of the database server")
    forget_job(work, _RETURN)
    replica_set.unmark(work, [work.operation.resource_id])
    apply_modules_again(work)


def rebuild_server(work: Work) -> None:
    """Have the cloud make the server anew with the image of the new version; its volume and its address are kept."""
    _mark(work, BETWEEN)
    _rebuild(work, _wanted(work))


def restore_server(work: Work) -> None:
    """Have the cloud make the server anew with the old image and the guest bring the data back, if the way back is open."""
    if not _is_marked(work, BETWEEN):
        return
    with work.doors.database.reading() as tx:
        there = has_let_tenants_in(tx, work)
    if not there:
        _rebuild(work, _old(work))
        told = run_job(work, "revert_upgrade", _named(work), waiting_for=RETURNING, errand=_REVERT)
        forget_job(work, _REVERT)
        if told.get("reverted") is True:
            _mark(work, STOPPED)
            return
        # The new version had served before it could tell us.
        _rebuild(work, _wanted(work))
        _upgrade(work, _AGAIN)
    await_serving(work, waiting_for="the report of the upgraded database server")
    record_upgrade(work)
    clear_up(work)


def upgrade_database(work: Work) -> None:
    """Have the guest agent start the new version on the data of the old one, and wait until it serves."""
    _upgrade(work, _UPGRADE)
    await_serving(work, waiting_for="the report of the upgraded database server")


def record_upgrade(work: Work) -> None:
    """Show the new version: it serves."""
    work.doors.database.run(_record, work)


def clear_up(work: Work) -> None:
    """Have the guest agent remove what was kept for the way back, and apply the instance's modules on its new machine."""
    run_job(work, "finish_upgrade", {}, waiting_for=CLEARING, errand=_FINISH)
    forget_job(work, _FINISH)
    apply_modules_again(work)


def has_let_tenants_in(tx: Tx, work: Work) -> bool:
    """Tell whether the guest has reported that the new version serves: from then on there is no way back."""
    first, again = _UPGRADE.first_name(work), f"{_AGAIN.first_name(work)}:undo"
    jobs = [guests.job(tx, work.operation.resource_id, name) for name in (first, again)]
    return any(job is not None and job.state == DONE for job in jobs)


def fault_of(tx: Tx, work: Work, error: TroveError) -> str:
    """Return why an upgrade failed, with what it may have left half done."""
    fault = instances.get(tx, work.operation.resource_id).fault
    left = f" {fault.message}" if fault is not None and replica_set.is_marked(tx, work, work.operation.resource_id) else ""
    room = instances.FAULT_MESSAGE_CHARACTERS - len(left)
    return (error.message if len(error.message) <= room else f"{error.message[: room - 1]}…") + left


def _upgrade(work: Work, errand: Errand) -> None:
    version = _wanted(work)
    args: dict[str, JSON] = {**_named(work), "version": version.version, "config": _config(work, version)}
    run_job(work, "upgrade", args, waiting_for=UPGRADING, errand=errand)
    forget_job(work, errand)


def _rebuild(work: Work, version: DatastoreVersion) -> None:
    doors = work.doors
    with doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        key = instances.guest_key(tx, instance.id)
    # Nothing may begin by itself on these data.
    spec = server_spec(work, replace(instance, datastore_version=version), key, may_begin=False)
    server = doors.cloud.rebuild_server(spec)
    with doors.database.transaction() as tx:
        instances.record_server(tx, instance.id, fence=work.fence, server_id=server.id)


def _named(work: Work) -> dict[str, JSON]:
    return {"upgrade": work.operation.id}


def _config(work: Work, version: DatastoreVersion) -> str:
    instance = _instance(work)
    ram_mib = work.doors.cloud.flavor(instance.flavor_id).ram_mib
    with work.doors.database.reading() as tx:
        return config_of(tx, replace(instance, datastore_version=version), ram_mib=ram_mib)


def _instance(work: Work) -> Instance:
    with work.doors.database.reading() as tx:
        return instances.get(tx, work.operation.resource_id)


def _wanted(work: Work) -> DatastoreVersion:
    return _version(work, VERSION)


def _old(work: Work) -> DatastoreVersion:
    return _version(work, OLD_VERSION)


def _version(work: Work, argument: str) -> DatastoreVersion:
    with work.doors.database.reading() as tx:
        return datastores.version_by_id(tx, str(work.operation.args[argument]))


def _mark(work: Work, text: str) -> None:
    replica_set.mark(work, [work.operation.resource_id], text.format(_wanted(work).name))


def _is_marked(work: Work, text: str) -> bool:
    with work.doors.database.reading() as tx:
        if not replica_set.is_marked(tx, work, work.operation.resource_id):
            return False
        fault = instances.get(tx, work.operation.resource_id).fault
    return fault is not None and fault.message == text.format(_wanted(work).name)[: instances.FAULT_MESSAGE_CHARACTERS]


def _record(tx: Tx, work: Work) -> None:
    instance_id = work.operation.resource_id
    instances.record_version(tx, instance_id, str(work.operation.args[VERSION]), fence=work.fence)
    replica_set.unmark_in(tx, work, instance_id)
