"""Make the server of an instance anew from an image; its volume with the data, its address and its size are kept.

Where a new server cannot be made the instance shows ERROR: its data are on the volume still, and it can be rebuilt again. A
replica starts nothing by itself: it is told anew whom to follow, so that it never takes writes.
"""

from dataclasses import replace
from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, NotFound, TroveError
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.transitions import Event
from trove.operations.booking import book, conclude, need_room
from trove.operations.doors import Doors
from trove.operations.instance import rejoin
from trove.operations.instance.create import prepare_database, server_spec
from trove.operations.instance.replica_building import REPLICA_OF
from trove.operations.instance.replica_verbs import FOLLOWING, OPENING, new_accounts
from trove.operations.module.applying import WAITING_FOR, apply_modules_again
from trove.operations.sight import instance_of
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import datastores, instances
from trove.store.session import Tx

KIND = "instance.rebuild"


def start(doors: Doors, caller: Caller, instance_id: str, image_id: str) -> None:
    """Accept the rebuild from the image.

    Raises `NotFound`, `InvalidInput` for an image that the cloud has not, or that is of another version than the data, or an
    instance without a volume, `NotReady` while the instance is busy, `Overloaded`.
    """
    with doors.database.reading() as tx:
        instance_of(tx, caller, instance_id)
    try:
        image_id = doors.cloud.find_image(image_id, ())
    except NotFound as error:
        raise InvalidInput(f"rebuild['image_id']: {error.message}") from error
    doors.announcer.announce(doors.database.run(_book, doors, caller, instance_id, image_id))


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, image_id: str) -> str:
    need_room(tx, doors.settings.limits)
    instance = instance_of(tx, caller, instance_id)
    if instance.volume is None or instance.volume.volume_id is None:
        raise InvalidInput(f"Instance {instance.id} has no volume: its data would be lost with its server.")
    _need_same_version(tx, instance, image_id)
    instances.apply(tx, instance.id, Event.REBUILD_ACCEPTED)
    args: dict[str, JSON] = {"image_id": image_id}
    secrets: dict[str, JSON] = {}
    if instance.replica_of is not None:
        args[REPLICA_OF], secrets = instance.replica_of, new_accounts([instance.id])
    return book(tx, caller, instance, KIND, timeout_s=doors.settings.build_timeout_s, args=args, secrets=secrets).id


def _need_same_version(tx: Tx, instance: Instance, image_id: str) -> None:
    """Raise `InvalidInput` for an image that is on offer for other versions alone: its server could not take the data."""
    own = instance.datastore_version
    versions = [each for datastore in datastores.all(tx, include_inactive=True) for each in datastore.versions]
    offered = [each for each in versions if each.image_id == image_id]
    if offered and not any((each.manager, each.version) == (own.manager, own.version) for each in offered):
        others = ", ".join(sorted(f"{each.datastore_name} {each.version}" for each in offered))
        raise InvalidInput(
            f"rebuild['image_id']: image {image_id} is of {others}, and the data of instance {instance.id} are of "
            f"{own.datastore_name} {own.version}. Upgrade the instance instead, or choose an image of its own version."
        )


def flow(work: Work) -> Any:
    """Return the flow of a rebuild."""
    server = step(work, rebuild_server, waiting_for="the server to be rebuilt")
    modules = step(work, apply_modules_again, waiting_for=WAITING_FOR)
    if REPLICA_OF in work.operation.args:
        let_in = step(work, rejoin.let_in_at_source, waiting_for=OPENING)
        return line(work, let_in, server, step(work, rejoin.follow_source, waiting_for=FOLLOWING), modules)
    return line(
        work,
        server,
        step(work, prepare_database, waiting_for="the guest agent to prepare the database"),
        modules,
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the instance as ACTIVE again, in the transaction that ends the operation."""
    if conclude(tx, work, Event.REBUILT, restarted=True):
        instances.clear_fault(tx, work.operation.resource_id)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the instance as ERROR with its fault, in the transaction that ends the operation."""
    if conclude(tx, work, Event.REBUILD_FAILED):
        instances.record_fault(
            tx, work.operation.resource_id, error.message, f"Operation {work.operation.id}", fence=work.fence
        )


def rebuild_server(work: Work) -> None:
    """Let the guest onto the bus and have the cloud make its server anew."""
    doors = work.doors
    with doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        key = instances.guest_key(tx, instance.id)
    server = doors.cloud.rebuild_server(
        replace(server_spec(work, instance, key), image_id=str(work.operation.args["image_id"]))
    )
    with doors.database.transaction() as tx:
        instances.record_server(tx, instance.id, fence=work.fence, server_id=server.id)
