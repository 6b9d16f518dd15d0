"""Bring an instance to another version of its datastore, in place, or to its own once more; or leave it as it was.

Its server is made anew with the image of that version, and its volume stays. A backup is made before, unless it is not wanted.
"""

from contextlib import suppress
from typing import Any

from trove.core.callers import Caller
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput, NotFound, TroveError, Unprocessable, Unsupported
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.instance import replica_set, safety_backup
from trove.operations.instance import version_steps as steps
from trove.operations.instance.restart import ensure_running
from trove.operations.parameter.catalogue import checked
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import configurations, datastores, instances
from trove.store.session import Tx

KIND = "instance.upgrade"


def start(doors: Doors, caller: Caller, instance_id: str, version: str, *, backup: bool | None = None) -> None:
    """Accept the upgrade to the version, of the same datastore, that an id or a name means; its own version is done again.

    `backup` tells whether a backup is made before, None as the operator has it. Raises `NotFound`, `InvalidInput` for a version
    that there is not, or without an image, or that is another datastore's, for an instance without a volume, with a group that
    does not fit, or in a replicated set, `Unsupported` where the engine has no upgrades and for a cluster's member,
    `QuotaExceeded`, `NotReady` naming the state, `Overloaded`.
    """
    with doors.database.reading() as tx:
        own = instance_of(tx, caller, instance_id).datastore_version
        wanted = wanted_version(tx, own, version)
    need_image(doors, wanted)
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, wanted, backup))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, version: DatastoreVersion, backup: bool | None) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_no_cluster(instance)
    spec = registry.spec(instance.datastore_version.manager)
    if Facet.UPGRADES not in spec.facets:
        raise Unsupported(f"datastore_version: an instance of {spec.title} cannot be upgraded to another version here.")
    _need_alone(instance)
    if instance.volume is None:
        raise InvalidInput(f"datastore_version: instance {instance.id} has no volume: its data would be lost with its server.")
    need_fitting_group(tx, instance, version)
    instances.apply(tx, instance.id, Event.UPGRADE_ACCEPTED)
    args: dict[str, JSON] = {steps.VERSION: version.id, steps.OLD_VERSION: instance.datastore_version.id}
    timeout_s = doors.settings.build_timeout_s
    wanted = doors.settings.backups.before_upgrade if backup is None else backup
    if wanted and Facet.BACKUPS in spec.facets:
        args |= safety_backup.intend(tx, doors, instance, f"before upgrade to {version.name} of {instance.name}")
        timeout_s += doors.settings.backups.timeout_s
    reserved = safety_backup.RESERVED if safety_backup.ARGUMENT in args else None
    return book(tx, caller, instance, KIND, timeout_s=timeout_s, args=args, reserved=reserved).id


def flow(work: Work) -> Any:
    """Return the flow of an upgrade. The engine checks first what may stand in the way; then a backup is made."""
    return line(
        work,
        step(work, ensure_running, waiting_for="the server to run", timeout_s=work.doors.settings.reboot_timeout_s),
        step(work, steps.check_database, waiting_for=steps.CHECKING),
        *safety_backup.steps(work),
        step(work, steps.stop_database, waiting_for=steps.STOPPING, undo=steps.serve_again),
        step(work, steps.rebuild_server, waiting_for=steps.REBUILDING, undo=steps.restore_server),
        step(work, steps.upgrade_database, waiting_for=steps.UPGRADING),
        step(work, steps.record_upgrade, waiting_for=steps.RECORDING),
        step(work, steps.clear_up, waiting_for=steps.CLEARING),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Let go of the instance, in the transaction that ends the operation."""
    if conclude(tx, work, Event.UPGRADED, restarted=True):
        instances.clear_fault(tx, work.operation.resource_id)
    safety_backup.settle(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the instance with the version that serves, and why; as ERROR where it is not known which of both it is."""
    with suppress(NotFound):
        event, fault = end_of(tx, work, error)
        if conclude(tx, work, event, restarted=event is not Event.UPGRADE_FAILED):
            instances.record_fault(tx, work.operation.resource_id, fault, f"Operation {work.operation.id}", fence=work.fence)
    safety_backup.settle(tx, work, error)


def end_of(tx: Tx, work: Work, error: TroveError) -> tuple[Event, str]:
    """Return how a failed upgrade of one server has ended, and what to say of it; store the version if that is known.

    Raises `NotFound`, `Fenced`.
    """
    fault = steps.fault_of(tx, work, error)
    served = steps.has_let_tenants_in(tx, work)
    if served:
        version_id = str(work.operation.args[steps.VERSION])
        instances.record_version(tx, work.operation.resource_id, version_id, fence=work.fence)
    if replica_set.is_marked(tx, work, work.operation.resource_id):
        return Event.UPGRADE_FAILED, fault
    return Event.UPGRADED if served else Event.UPGRADE_TAKEN_BACK, fault


def wanted_version(tx: Tx, own: DatastoreVersion, wanted: str) -> DatastoreVersion:
    """Return the version of the same datastore that an id or a name means. Raises `InvalidInput` when there is none."""
    if wanted in {own.id, own.name}:
        return own
    try:
        found = datastores.resolve(tx, type=own.datastore_id, version=wanted)
    except NotFound as error:
        raise InvalidInput(f"datastore_version: {own.datastore_name} has no version {wanted!r}") from error
    if found.manager != own.manager:
        raise InvalidInput(f"datastore_version: {found.name} is of another engine ({found.manager}) than {own.name}")
    return found


def need_image(doors: Doors, version: DatastoreVersion) -> None:
    """Raise `InvalidInput` unless the cloud has the image of a version."""
    if version.image_id is None and not version.image_tags:
        return
    try:
        doors.cloud.find_image(version.image_id, version.image_tags)
    except NotFound as error:
        raise InvalidInput(f"datastore_version: {version.name} cannot be had now. {error.message}") from error


def need_fitting_group(tx: Tx, instance: Instance, version: DatastoreVersion) -> None:
    """Raise `InvalidInput` unless the values of the instance's configuration group are good for another version, too."""
    if instance.configuration_id is None or version.id == instance.datastore_version.id:
        return
    try:
        checked(tx, version, configurations.values(tx, instance.configuration_id))
    except (InvalidInput, Unprocessable) as error:
        raise InvalidInput(
            f"datastore_version: the attached configuration group {instance.configuration_id} does not fit {version.name}. "
            f"{error.message}"
        ) from error


def _need_alone(instance: Instance) -> None:
    """Raise `InvalidInput` for a member of a replicated set.

    While a set is brought to a new version one by one, its members are of both. Physical replication cannot do that at all, and
    logical replication in one direction only, so no promotion would lead back.
    """
    if instance.replica_of is not None or instance.replicas:
        raise InvalidInput(
            f"datastore_version: instance {instance.id} belongs to a replicated set, whose members must be of one version. "
            "Detach or delete the replicas, upgrade their source, and create them anew."
        )
