"""What attaching, detaching and applying a configuration group have in common: the guest's job, and what its end means."""

from trove.core.configurations import Configuration
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput
from trove.core.instances import Instance
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.booking import conclude, owe_restart
from trove.operations.guest_jobs import ONLY, forget_job, run_job
from trove.operations.parameter.catalogue import at_restart
from trove.operations.rendering import config_of, render
from trove.operations.work import Work
from trove.store import configurations, guests, instances
from trove.store.session import Tx

WAITING_FOR = "the guest agent to apply the configuration"


def attachable(tx: Tx, configuration_id: str, *, project_id: str, version: DatastoreVersion) -> Configuration:
    """Return a group that fits an instance, and keep it from being changed until `tx` ends.

    Raises `NotFound`; `InvalidInput` when it is for another version, or the engine has no configuration groups.
    """
    spec = registry.spec(version.manager)
    if Facet.CONFIGURATION not in spec.facets:
        raise InvalidInput(f"configuration: {spec.title} has no configuration groups that Trove manages.")
    group = configurations.hold(tx, configuration_id, project_id=project_id)
    theirs = group.datastore_version
    if theirs.id != version.id:
        raise InvalidInput(
            f"configuration: group {group.id} is for {theirs.datastore_name} {theirs.name} ({theirs.version}), and the "
            f"instance has {version.datastore_name} {version.name} ({version.version})."
        )
    return group


def apply_present(work: Work) -> None:
    """Have the guest apply what the instance's group says now; without a group, the template."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        config = config_of(tx, instance, ram_mib=_ram_mib(work, instance))
    _configure(work, instance, config)


def apply_template(work: Work) -> None:
    """Have the guest apply the template alone."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    _configure(work, instance, render(instance, {}, ram_mib=_ram_mib(work, instance)))


def conclude_configured(tx: Tx, work: Work) -> None:
    """Show the instance as idle, or as waiting for a restart when its guest said so, and forget its fault."""
    if not conclude(tx, work, Event.CONFIGURED, restarted=True):
        return
    instances.clear_fault(tx, work.operation.resource_id)
    job = guests.job(tx, work.operation.resource_id, ONLY.name(work))
    if job is not None and (job.result or {}).get("restart_required"):
        owe_restart(tx, work)


def conclude_failed(tx: Tx, work: Work, fault: str) -> bool:
    """Show the instance as it was before, with a fault; return False when it is gone or was taken by another operation."""
    if not conclude(tx, work, Event.CONFIGURE_FAILED):
        return False
    instances.record_fault(tx, work.operation.resource_id, fault, f"Operation {work.operation.id}", fence=work.fence)
    return True


def _ram_mib(work: Work, instance: Instance) -> int:
    return work.doors.cloud.flavor(instance.flavor_id).ram_mib


def _configure(work: Work, instance: Instance, config: str) -> None:
    with work.doors.database.reading() as tx:
        later = at_restart(tx, instance.datastore_version)
    run_job(work, "configure", {"config": config, "at_restart": later}, waiting_for=WAITING_FOR)
    forget_job(work)
