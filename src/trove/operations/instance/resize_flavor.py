"""Give an instance another flavor: its server's size, and its database server's configuration for that. Or neither of them."""

from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, TroveError
from trove.core.flavors import Flavor
from trove.core.quotas import Resource
from trove.core.transitions import Event
from trove.operations.booking import book, commit_reserved, conclude, need_room, quota_defaults, release_reserved
from trove.operations.doors import Doors
from trove.operations.instance.create import wanted_flavor
from trove.operations.instance.restart import ensure_running, restart_for
from trove.operations.offers import need_offered
from trove.operations.sight import instance_of, need_no_cluster
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances, quotas
from trove.store.session import Tx

KIND = "instance.resize_flavor"


def start(doors: Doors, caller: Caller, instance_id: str, flavor_ref: str) -> None:
    """Accept the change to the flavor that an id, or a link that ends in one, names.

    Raises `NotFound`, `Unsupported` for a cluster's member, `InvalidInput` for an unknown flavor or the one that it has,
    `QuotaExceeded`, `NotReady` naming the state, `Overloaded`.
    """
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
        need_no_cluster(instance)
    flavor = wanted_flavor(doors, flavor_ref)
    need_offered(doors, instance.datastore_version.id, flavor_id=flavor.id)
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, flavor))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, flavor: Flavor) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    need_no_cluster(instance)
    if flavor.id == instance.flavor_id:
        raise InvalidInput(f"flavorRef: instance {instance.id} has flavor {flavor.id} already")
    old_ram_mib = instances.charges(tx, instance.id)[Resource.RAM]
    reserved = {Resource.RAM: flavor.ram_mib - old_ram_mib}
    quotas.reserve(tx, instance.project_id, reserved, quota_defaults(doors.settings.limits))
    instances.apply(tx, instance.id, Event.RESIZE_ACCEPTED)
    return book(
        tx,
        caller,
        instance,
        KIND,
        timeout_s=doors.settings.resize_timeout_s,
        args={
            "flavor_id": flavor.id,
            "ram_mib": flavor.ram_mib,
            "old_flavor_id": instance.flavor_id,
            "old_ram_mib": old_ram_mib,
        },
        reserved=reserved,
    ).id


def flow(work: Work) -> Any:
    """Return the flow that changes the flavor.

    The configuration fits the smaller flavor while the server changes: it comes last when that grows, first when it shrinks.
    """
    server = step(work, resize_server, waiting_for="the server to change its size", undo=restore_server)
    running = step(work, ensure_running, waiting_for="the server to run", timeout_s=work.doors.settings.reboot_timeout_s)
    database = step(work, restart_database, waiting_for="the guest agent to restart the database", undo=restore_database)
    if _ram_mib(work, "ram_mib") < _ram_mib(work, "old_ram_mib"):
        return line(work, database, server, running)
    return line(work, server, running, database)


def succeed(tx: Tx, work: Work) -> None:
    """Show the new flavor, in the transaction that ends the operation, whatever was made of the instance meanwhile."""
    instance_id = work.operation.resource_id
    if conclude(tx, work, Event.RESIZED, restarted=True):
        instances.clear_fault(tx, instance_id)
    if instances.exists(tx, instance_id):
        flavor_id, ram_mib = str(work.operation.args["flavor_id"]), _ram_mib(work, "ram_mib")
        instances.record_size(tx, instance_id, fence=work.fence, flavor_id=flavor_id, ram_mib=ram_mib)
        commit_reserved(tx, work)
    else:
        release_reserved(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the instance with its old flavor, keep the fault, and give back what was reserved."""
    if conclude(tx, work, Event.RESIZE_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )
    release_reserved(tx, work)


def resize_server(work: Work) -> None:
    """Have the cloud give the server its new size."""
    cloud = work.doors.cloud
    cloud.resize_server(work.operation.resource_id, cloud.flavor(str(work.operation.args["flavor_id"])))


def restore_server(work: Work) -> None:
    """Have the cloud give the server its old size again, and see that it runs."""
    cloud = work.doors.cloud
    cloud.resize_server(work.operation.resource_id, cloud.flavor(str(work.operation.args["old_flavor_id"])))
    ensure_running(work)


def restart_database(work: Work) -> None:
    """Have the guest agent restart the database server with the configuration for its new flavor, and wait until it serves."""
    _restart(work, ram_mib=_ram_mib(work, "ram_mib"))


def restore_database(work: Work) -> None:
    """Have the guest agent restart the database server with the configuration for its old flavor again."""
    _restart(work, ram_mib=_ram_mib(work, "old_ram_mib"))


def _restart(work: Work, *, ram_mib: int) -> None:
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    restart_for(work, instance, ram_mib=ram_mib)


def _ram_mib(work: Work, name: str) -> int:
    ram_mib = work.operation.args[name]
    assert isinstance(ram_mib, int)
    return ram_mib
