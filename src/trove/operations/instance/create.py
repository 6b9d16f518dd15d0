"""Create an instance: accept it in one transaction, then address, volume, bus user, server and database, or undo them all."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from trove.cloud.contract import NicRequest, ServerSpec
from trove.core.accounts import Database, User
from trove.core.backups import Backup
from trove.core.callers import Caller
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput, NotFound, QuotaExceeded, TroveError, Unsupported
from trove.core.flavors import Flavor
from trove.core.ids import new_id
from trove.core.instances import Access, Instance, NewInstance
from trove.core.json import JSON
from trove.core.quotas import charge
from trove.core.status import ServerStatus
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet, Spec
from trove.operations.backup.restore import BACKUP_ID, check_restorable, hold_restorable, restore_job, wanted_backup
from trove.operations.booking import book, commit_reserved, conclude, need_room, quota_defaults, release_reserved
from trove.operations.doors import Doors
from trove.operations.guest_jobs import await_serving, forget_job, run_job
from trove.operations.instance import replica_building
from trove.operations.instance.bootstrap import guest_files, machine_files
from trove.operations.instance.configuring import attachable
from trove.operations.instance.naming import NAMED, ensure_name, named, remove_name
from trove.operations.instance.naming import WAITING_FOR as NAME
from trove.operations.module.applying import (
    MODULES,
    WAITING_FOR,
    apply_first_modules,
    disown_first_modules,
    intend_first,
)
from trove.operations.offers import need_offered
from trove.operations.rendering import config_of
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import datastores, guests, instances, operations, quotas
from trove.store.session import Tx

KIND = "instance.create"
KEY_BYTES = 32

_BEGUN_ELSEWHERE = frozenset({replica_building.REPLICA_OF, BACKUP_ID})
"""Arguments of a creation whose data come from somewhere: its agent must not begin with an empty database of its own."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInstance:
    """What the tenant asked for. `flavor_ref` and `backup_ref` may be ids or links that end in one.

    `root_password` is for where the superuser is enabled at once, and is of no use elsewhere.
    """

    name: str
    flavor_ref: str | None = None
    volume_size_gib: int | None = None
    volume_type: str | None = None
    datastore_type: str | None = None
    datastore_version: str | None = None
    datastore_version_number: str | None = None
    databases: tuple[Database, ...] = ()
    users: tuple[User, ...] = field(default=(), repr=False)
    availability_zone: str | None = None
    nic: NicRequest = field(default_factory=NicRequest)
    access: Access | None = None
    region: str | None = None
    backup_ref: str | None = None
    locality: str | None = None
    configuration_id: str | None = None
    module_ids: tuple[str, ...] = ()
    root_password: str | None = field(default=None, repr=False)


def start(doors: Doors, caller: Caller, request: CreateInstance) -> Instance:
    """Check the request, book the instance, its quota and its operation together, and announce it.

    Raises `InvalidInput`, `NotFound` (datastore), `QuotaExceeded`, `Unsupported`, `Overloaded`; after any of them nothing is
    left.
    """
    with doors.database.reading() as tx:
        need_room(tx, doors.settings.limits)
        backup = None if request.backup_ref is None else wanted_backup(tx, caller, request.backup_ref)
        version = _version(tx, doors, request, backup)
    spec = registry.spec(version.manager)
    check_accounts(spec, request.databases, request.users)
    flavor = wanted_flavor(doors, request.flavor_ref)
    need_offered(doors, version.id, flavor_id=flavor.id, volume_type=request.volume_type)
    check_region(doors, request.region)
    check_volume(doors, spec, request.volume_size_gib, request.volume_type)
    if backup is not None:
        check_restorable(doors, backup, version, request.volume_size_gib)
        request = replace(request, backup_ref=backup.id)
    instance, operation_id = doors.database.run(_book, doors, caller, request, version, flavor)
    doors.announcer.announce(operation_id)
    return instance


def flow(work: Work) -> Any:
    """Return the flow that builds the instance."""
    return line(
        work,
        step(work, ensure_port, waiting_for="the address", undo=remove_port),
        step(
            work,
            ensure_volume,
            waiting_for="the volume",
            undo=remove_volume,
            timeout_s=work.doors.settings.volume_timeout_s,
        ),
        step(work, ensure_server, waiting_for="the server", undo=remove_server),
        *_name_steps(work),
        *_database_steps(work),
    )


def _name_steps(work: Work) -> list[Any]:
    if NAMED not in work.operation.args:
        return []
    return [step(work, ensure_name, waiting_for=NAME, undo=remove_name, timeout_s=work.doors.settings.name_timeout_s)]


def _database_steps(work: Work) -> list[Any]:
    if replica_building.REPLICA_OF not in work.operation.args:
        return [step(work, prepare_database, waiting_for="the guest agent to prepare the database"), *_module_steps(work)]
    return [*replica_building.steps(work), *_module_steps(work)]


def _module_steps(work: Work) -> list[Any]:
    if MODULES not in work.operation.args:
        return []
    return [step(work, apply_first_modules, waiting_for=WAITING_FOR, undo=disown_first_modules)]


def succeed(tx: Tx, work: Work) -> None:
    """Show the instance as ACTIVE and count it as used, in the transaction that ends the operation."""
    shown = conclude(tx, work, Event.BUILT)
    if shown:
        instances.clear_fault(tx, work.operation.resource_id)
    _settle(tx, work, there=shown)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the instance as ERROR with its fault, in the transaction that ends the operation.

    It counts as used until it is deleted.
    """
    instance_id = work.operation.resource_id
    shown = conclude(tx, work, Event.BUILD_FAILED)
    if shown:
        instances.forget_server(tx, instance_id, fence=work.fence, server_status=ServerStatus.ERROR)
        instances.record_fault(tx, instance_id, error.message, f"Operation {work.operation.id}", fence=work.fence)
    _settle(tx, work, there=shown)


def ensure_port(work: Work) -> None:
    """Reserve the address."""
    nic = work.operation.args.get("nic") or {}
    assert isinstance(nic, dict)
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    spec = registry.spec(instance.datastore_version.manager)
    port = work.doors.cloud.ensure_port(instance.id, NicRequest(**nic), instance.access, spec.tcp_ports)
    with work.doors.database.transaction() as tx:
        first_port = spec.tcp_ports[0] if spec.tcp_ports else None
        instances.record_server(tx, instance.id, fence=work.fence, addresses=port.addresses, port=first_port)


def remove_port(work: Work) -> None:
    """Release the address."""
    work.doors.cloud.delete_port(work.operation.resource_id)


def ensure_volume(work: Work) -> None:
    """Create the data volume, if the instance has one."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    if instance.volume is None:
        return
    volume = work.doors.cloud.ensure_volume(instance.id, size_gib=instance.volume.size_gib, volume_type=instance.volume.type)
    with work.doors.database.transaction() as tx:
        instances.record_server(tx, instance.id, fence=work.fence, volume_id=volume.id)


def remove_volume(work: Work) -> None:
    """Delete the data volume."""
    work.doors.cloud.delete_volume(work.operation.resource_id)


def ensure_server(work: Work) -> None:
    """Let the guest onto the bus and boot its server with what its agent needs to know."""
    doors = work.doors
    with doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
        key = instances.guest_key(tx, instance.id)
    server = doors.cloud.ensure_server(server_spec(work, instance, key, new_volume=True))
    with doors.database.transaction() as tx:
        instances.record_server(tx, instance.id, fence=work.fence, server_id=server.id)


def server_spec(work: Work, instance: Instance, key: bytes, *, may_begin: bool = True, new_volume: bool = False) -> ServerSpec:
    """Let the guest onto the bus, and return what to boot, with all that its agent needs to know. May run twice.

    `may_begin` lets the agent set up its database server before it is spoken to; `new_volume` says that its volume was never
    given to another server.
    """
    doors, version = work.doors, instance.datastore_version
    credential, interval_s = doors.admission.admit(instance.id), doors.settings.heartbeat_interval_s
    first_config = _config(work, instance) if may_begin and not _BEGUN_ELSEWHERE & work.operation.args.keys() else None
    files = guest_files(instance, key, credential, report_interval_s=interval_s, first_config=first_config)
    if (machines := doors.settings.machines) is not None:
        files |= machine_files(instance, machines, credential, report_interval_s=interval_s, new_volume=new_volume)
    zone = work.operation.args.get("availability_zone")
    return ServerSpec(
        instance_id=instance.id,
        name=instance.name,
        project_id=instance.project_id,
        image_id=version.image_id,
        image_tags=version.image_tags,
        flavor=doors.cloud.flavor(instance.flavor_id),
        manager=version.manager,
        tcp_ports=registry.spec(version.manager).tcp_ports,
        availability_zone=None if zone is None else str(zone),
        locality=instance.locality,
        server_group=None if instance.locality is None else instance.cluster_id or instance.replica_of or instance.id,
        files=files,
    )


def remove_server(work: Work) -> None:
    """Delete the server and take the guest off the bus."""
    work.doors.cloud.delete_server(work.operation.resource_id)
    work.doors.admission.expel(work.operation.resource_id)
    with work.doors.database.transaction() as tx:
        operations.check(tx, work.fence)
        guests.forget(tx, work.operation.resource_id)


def prepare_database(work: Work) -> None:
    """Have the guest agent set up the database server with its databases and users, and wait until it serves."""
    with work.doors.database.reading() as tx:
        instance = instances.get(tx, work.operation.resource_id)
    args: dict[str, JSON] = {
        "config": _config(work, instance),
        "databases": work.operation.args.get("databases") or [],
        "users": work.operation.secrets.get("users") or [],
        "root_password": work.operation.secrets.get("root_password"),
        **({"restore": restored} if (restored := restore_job(work)) is not None else {}),
    }
    run_job(work, "prepare", args, waiting_for="the guest agent to prepare the database")
    await_serving(work, waiting_for="the first report of the database server")
    forget_job(work)


def enables_root(doors: Doors, version: DatastoreVersion) -> bool:
    """Tell whether new instances of a version have their superuser enabled at once."""
    return version.manager in doors.settings.root_on_create and Facet.ROOT in registry.spec(version.manager).facets


def check_accounts(spec: Spec, databases: Sequence[Database], users: Sequence[User]) -> None:
    """Raise `InvalidInput` naming the entry and the field unless the engine will accept all databases and users."""
    _need_facet(spec, Facet.DATABASES, databases, "databases")
    _need_facet(spec, Facet.USERS, users, "users")
    for index, database in enumerate(databases):
        _checked(f"databases[{index}]", spec.check_database, database)
    names = [database.name for database in databases]
    _refuse_doubles("databases", names)
    for index, user in enumerate(users):
        where = f"users[{index}]"
        _checked(where, spec.check_user, user)
        if user.password is None:
            raise InvalidInput(f"{where}: password: is required")
        _checked(where, spec.check_password, user.password)
        for name in user.databases:
            if name not in names:
                raise InvalidInput(f"{where}: databases: {name!r} is not among the databases of this request")
    _refuse_doubles("users", [f"{user.name}@{user.host}" for user in users])


def _settle(tx: Tx, work: Work, *, there: bool) -> None:
    if there or instances.exists(tx, work.operation.resource_id):
        commit_reserved(tx, work)
    else:
        release_reserved(tx, work)


def _config(work: Work, instance: Instance) -> str:
    ram_mib = work.doors.cloud.flavor(instance.flavor_id).ram_mib
    with work.doors.database.reading() as tx:
        return config_of(tx, instance, ram_mib=ram_mib)


def _need_facet(spec: Spec, facet: Facet, given: Collection[object], field_name: str) -> None:
    if given and facet not in spec.facets:
        raise Unsupported(f"{field_name}: {spec.title} has no {facet.value} that Trove manages")


def _checked(where: str, check: Callable[[T], None], value: T) -> None:
    try:
        check(value)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}") from error


def _refuse_doubles(field_name: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidInput(f"{field_name}[{index}]: {name!r} is given twice")


def wanted_flavor(doors: Doors, ref: str | None) -> Flavor:
    """Return the flavor that an id, or a link that ends in one, names. Raises `InvalidInput`."""
    if ref is None or not ref.strip("/"):
        raise InvalidInput("flavorRef: is required")
    flavor_id = ref.rstrip("/").rsplit("/", 1)[-1]
    try:
        return doors.cloud.flavor(flavor_id)
    except NotFound as error:
        raise InvalidInput(f"flavorRef: flavor {flavor_id} cannot be found") from error


def _version(tx: Tx, doors: Doors, request: CreateInstance, backup: Backup | None) -> DatastoreVersion:
    """Return the version that is asked for; what is restored has that of its backup unless another is named."""
    ours = None if backup is None else backup.datastore_version
    if request.datastore_type is None and request.datastore_version is None and ours is not None and ours.active:
        return ours
    return datastores.resolve(
        tx,
        type=request.datastore_type,
        version=request.datastore_version,
        number=request.datastore_version_number,
        default_datastore=doors.settings.default_datastore,
    )


def check_region(doors: Doors, region: str | None) -> None:
    """Raise `InvalidInput` for another region than this one."""
    if region is not None and region != doors.settings.region:
        raise InvalidInput(f"region_name: {region!r} is not served here, only {doors.settings.region!r}")


def check_volume(doors: Doors, spec: Spec, size: int | None, volume_type: str | None) -> None:
    """Raise `InvalidInput`, `QuotaExceeded` or `Unsupported` unless an instance of the engine may have such a data volume.

    `size` is in GiB; None for no volume.
    """
    if not (spec.volume_support and doors.settings.volume_support):
        if size is not None:
            raise Unsupported(f"volume: {spec.title if doors.settings.volume_support else 'this cloud'} has no data volumes")
        return
    if size is None:
        raise InvalidInput("volume: size is required")
    if size < 1:
        raise InvalidInput("volume: size must be at least 1 GiB")
    if volume_type is not None and volume_type not in (types := doors.cloud.volume_types()):
        raise InvalidInput(f"volume: type {volume_type!r} cannot be found; on offer: {', '.join(types)}")
    check_volume_size(doors, size)


def check_volume_size(doors: Doors, size_gib: int) -> None:
    """Raise `QuotaExceeded` when one volume may not be as large."""
    most = doors.settings.limits.max_volume_size_gib
    if 0 <= most < size_gib:
        raise QuotaExceeded(f"volume: size {size_gib} GiB is more than the {most} GiB that one volume may have")


def _book(
    tx: Tx, doors: Doors, caller: Caller, request: CreateInstance, version: DatastoreVersion, flavor: Flavor
) -> tuple[Instance, str]:
    if request.configuration_id is not None:
        attachable(tx, request.configuration_id, project_id=caller.project_id, version=version)
    size = request.volume_size_gib
    if request.backup_ref is not None:
        hold_restorable(tx, request.backup_ref)
    charges = charge(ram_mib=flavor.ram_mib, volume_gib=size)
    quotas.reserve(tx, caller.project_id, charges, quota_defaults(doors.settings.limits))
    instance = instances.insert(
        tx,
        NewInstance(
            id=new_id(),
            name=request.name,
            project_id=caller.project_id,
            flavor_id=flavor.id,
            ram_mib=flavor.ram_mib,
            datastore_version_id=version.id,
            key=os.urandom(KEY_BYTES),
            volume_size_gib=size,
            volume_type=request.volume_type,
            region=doors.settings.region,
            access=request.access,
            availability_zone=request.availability_zone,
            configuration_id=request.configuration_id,
            locality=request.locality,
        ),
    )
    operation = book(
        tx,
        caller,
        instance,
        KIND,
        timeout_s=doors.settings.build_timeout_s if request.backup_ref is None else doors.settings.restore_timeout_s,
        args={
            **({} if request.backup_ref is None else {BACKUP_ID: request.backup_ref}),
            "databases": [database.to_json() for database in request.databases],
            "nic": asdict(request.nic),
            "availability_zone": request.availability_zone,
            **named(doors),
            **intend_first(tx, caller, instance, request.module_ids),
        },
        secrets={
            "users": [user.to_json() for user in request.users],
            **({"root_password": request.root_password} if enables_root(doors, version) else {}),
        },
        reserved=charges,
    )
    return instance, operation.id
