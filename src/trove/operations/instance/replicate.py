"""Create replicas of an instance: one to three, accepted together, each built by a creation of its own."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from trove.cloud.contract import NicRequest
from trove.core.callers import Caller
from trove.core.errors import InvalidInput, Unauthorized
from trove.core.ids import new_id
from trove.core.instances import Access, Instance, NewInstance
from trove.core.json import JSON
from trove.core.quotas import Resource, charge
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.booking import book, need_room, quota_defaults
from trove.operations.doors import Doors
from trove.operations.instance import create
from trove.operations.instance.configuring import attachable
from trove.operations.instance.naming import named
from trove.operations.instance.replica_building import REPLICA_OF
from trove.operations.instance.replica_snapshot import snapshot_args
from trove.operations.instance.replica_verbs import new_accounts
from trove.operations.module.applying import intend_first
from trove.operations.sight import need_no_cluster
from trove.operations.tls.inheriting import inherited
from trove.store import instances, quotas
from trove.store.session import Tx

MOST_AT_ONCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReplicas:
    """What the tenant asked for. Flavor, volume, datastore version and locality are those of the source.

    Of several, each has its number (-1, -2 …) behind `name`. A flavor or volume that is given is what the tenant expects.
    """

    name: str
    source_id: str
    count: int = 1
    flavor_ref: str | None = None
    volume_size_gib: int | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    nic: NicRequest = field(default_factory=NicRequest)
    access: Access | None = None
    region: str | None = None
    configuration_id: str | None = None
    module_ids: tuple[str, ...] = ()


def start(doors: Doors, caller: Caller, request: CreateReplicas) -> Instance:
    """Check the request, book all replicas, their quota and their operations together; return the last replica.

    Raises `NotFound` (source), `Unauthorized` for a replica of a replica, `InvalidInput` where the datastore cannot replicate,
    `NotReady` while the source is busy or does not serve, `QuotaExceeded` counting all, `Overloaded`; then nothing is left.
    """
    create.check_region(doors, request.region)
    if not 1 <= request.count <= MOST_AT_ONCE:
        raise InvalidInput(f"replica_count: must be 1 to {MOST_AT_ONCE}")
    made, operation_ids = doors.database.run(_book, doors, caller, request)
    for operation_id in operation_ids:
        doors.announcer.announce(operation_id)
    return made[-1]


def need_replication(instance: Instance) -> None:
    """Raise `InvalidInput` unless the engine of the instance can replicate."""
    spec = registry.spec(instance.datastore_version.manager)
    if Facet.REPLICATION not in spec.facets:
        raise InvalidInput(f"Replication is not supported for datastore {instance.datastore_version.datastore_name}.")


def _need_expected(source: Instance, request: CreateReplicas) -> None:
    volume = source.volume
    for name, wanted, there in (
        ("flavorRef", request.flavor_ref, source.flavor_id),
        ("volume.size", request.volume_size_gib, volume.size_gib if volume else None),
        ("volume.type", request.volume_type, volume.type if volume else None),
    ):
        if wanted is not None and wanted != there:
            raise InvalidInput(f"{name}: a replica has that of its source, {there}, not {wanted}.")


def _book(tx: Tx, doors: Doors, caller: Caller, request: CreateReplicas) -> tuple[list[Instance], list[str]]:
    need_room(tx, doors.settings.limits)
    source = instances.get(tx, request.source_id, project_id=caller.project_id)
    if source.replica_of is not None:
        raise Unauthorized(f"Instance {source.id} is a replica itself; create a replica of its source {source.replica_of}.")
    need_no_cluster(source)
    need_replication(source)
    _need_expected(source, request)
    if request.configuration_id is not None:
        attachable(tx, request.configuration_id, project_id=caller.project_id, version=source.datastore_version)
    instances.apply(tx, source.id, Event.REPLICATE_ACCEPTED)
    charges = instances.charges(tx, source.id)
    together = {resource: request.count * amount for resource, amount in charges.items()}
    quotas.reserve(tx, caller.project_id, together, quota_defaults(doors.settings.limits))
    names = [request.name] if request.count == 1 else [f"{request.name}-{number + 1}" for number in range(request.count)]
    booked = [_book_one(tx, doors, caller, request, (source, name, charges)) for name in names]
    return [made for made, _ in booked], [operation_id for _, operation_id in booked]


def _book_one(
    tx: Tx, doors: Doors, caller: Caller, request: CreateReplicas, like: tuple[Instance, str, Mapping[Resource, int]]
) -> tuple[Instance, str]:
    source, name, charges = like
    ram_mib = charges[Resource.RAM]
    replica = instances.insert(
        tx,
        NewInstance(
            id=new_id(),
            name=name,
            project_id=caller.project_id,
            flavor_id=source.flavor_id,
            ram_mib=ram_mib,
            datastore_version_id=source.datastore_version.id,
            key=os.urandom(create.KEY_BYTES),
            volume_size_gib=source.volume.size_gib if source.volume else None,
            volume_type=source.volume.type if source.volume else None,
            region=doors.settings.region,
            access=request.access,
            availability_zone=request.availability_zone,
            replica_of=source.id,
            locality=source.locality,
            configuration_id=request.configuration_id,
        ),
    )
    args: dict[str, JSON] = {
        REPLICA_OF: source.id,
        **snapshot_args(doors, source.datastore_version.manager),
        "nic": asdict(request.nic),
        "availability_zone": request.availability_zone,
        **named(doors),
        **inherited(tx, source.id),
        **intend_first(tx, caller, replica, request.module_ids),
    }
    operation = book(
        tx,
        caller,
        replica,
        create.KIND,
        timeout_s=doors.settings.build_timeout_s,
        args=args,
        secrets=new_accounts([replica.id]),
        reserved=charge(ram_mib=ram_mib, volume_gib=source.volume.size_gib if source.volume else None),
    )
    return replica, operation.id
