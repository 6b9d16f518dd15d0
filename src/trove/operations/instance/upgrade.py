"""Bring an instance to another version of its datastore, in place, or to its own once more."""

from dataclasses import replace
from typing import Any

from trove.core.callers import Caller
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput, NotFound, TroveError, Unsupported
from trove.core.instances import Instance
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.guest_jobs import Errand, await_serving, forget_job, run_job
from trove.operations.instance.restart import ensure_running
from trove.operations.rendering import config_of
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import datastores, instances
from trove.store.session import Tx

KIND = "instance.upgrade"
VERSION = "datastore_version_id"
CHECKING = "the guest agent to check what the upgrade needs"
CHECK, UPGRADE = Errand(tag="check"), Errand(tag="upgrade")


def start(doors: Doors, caller: Caller, instance_id: str, version: str) -> None:
    """Accept the upgrade to the version, of the same datastore, that an id or a name means; its own version is done again.

    Raises `NotFound`, `InvalidInput` for a version that there is not, or that is another datastore's, `Unsupported` where the
    engine has no upgrades, or for a cluster's member, `NotReady` naming the state, `Overloaded`.
    """
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, version))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, wanted: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_no_cluster(instance)
    version = wanted_version(tx, instance.datastore_version, wanted)
    spec = registry.spec(instance.datastore_version.manager)
    if Facet.UPGRADES not in spec.facets:
        raise Unsupported(f"datastore_version: an instance of {spec.title} cannot be upgraded to another version here.")
    instances.apply(tx, instance.id, Event.UPGRADE_ACCEPTED)
    args = {VERSION: version.id, "old_datastore_version_id": instance.datastore_version.id}
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.build_timeout_s, args=args).id


def flow(work: Work) -> Any:
    """Return the flow of an upgrade. The engine checks first what may stand in the way; what it has begun is not undone."""
    return line(
        work,
        step(work, ensure_running, waiting_for="the server to run", timeout_s=work.doors.settings.reboot_timeout_s),
        step(work, check_database, waiting_for=CHECKING),
        step(work, upgrade_database, waiting_for="the guest agent to upgrade the database"),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the new version, in the transaction that ends the operation, whatever was made of the instance meanwhile."""
    instance_id = work.operation.resource_id
    if conclude(tx, work, Event.UPGRADED, restarted=True):
        instances.clear_fault(tx, instance_id)
    if instances.exists(tx, instance_id):
        instances.record_version(tx, instance_id, str(work.operation.args[VERSION]), fence=work.fence)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the instance as ERROR with its fault and its old version: its data files may be of either."""
    if conclude(tx, work, Event.UPGRADE_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def check_database(work: Work) -> None:
    """Have the guest agent find out, without changing anything, whether the upgrade can be done."""
    _, version = _read(work)
    run_job(work, "pre_upgrade", {"version": version.version}, waiting_for=CHECKING, errand=CHECK)
    forget_job(work, CHECK)


def upgrade_database(work: Work) -> None:
    """Have the guest agent replace the database server by the wanted version, and wait until it serves."""
    instance, version = _read(work)
    upgraded = replace(instance, datastore_version=version)
    with work.doors.database.reading() as tx:
        config = config_of(tx, upgraded, ram_mib=work.doors.cloud.flavor(instance.flavor_id).ram_mib)
    args = {"version": version.version, "config": config}
    run_job(work, "upgrade", args, waiting_for="the guest agent to upgrade the database", errand=UPGRADE)
    await_serving(work, waiting_for="the report of the upgraded database server")
    forget_job(work, UPGRADE)


def _read(work: Work) -> tuple[Instance, DatastoreVersion]:
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        return instance, datastores.version_by_id(tx, str(work.operation.args[VERSION]))


def wanted_version(tx: Tx, own: DatastoreVersion, wanted: str) -> DatastoreVersion:
    """Return the version of the same datastore that an id or a name means. Raises `InvalidInput` when there is none."""
    if wanted in {own.id, own.name}:
        return own
    try:
        return datastores.resolve(tx, type=own.datastore_id, version=wanted)
    except NotFound as error:
        raise InvalidInput(f"datastore_version: {own.datastore_name} has no version {wanted!r}") from error
