"""Building members of a cluster: what creating and growing one have in common."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from trove.cloud.contract import NicRequest
from trove.core.callers import Caller
from trove.core.clusters import MEMBER, Cluster
from trove.core.errors import InvalidInput, NotFound, NotReady, TroveError
from trove.core.flavors import Flavor
from trove.core.ids import new_id
from trove.core.instances import NewInstance
from trove.core.json import JSON
from trove.core.quotas import Resource, charge
from trove.core.status import ServerStatus
from trove.core.transitions import Event
from trove.datastores.contract import Spec
from trove.operations.booking import commit_reserved, quota_defaults
from trove.operations.cluster import joining
from trove.operations.cluster.members import as_member, member_ids, record_fault
from trove.operations.doors import Doors
from trove.operations.instance import create, naming
from trove.operations.module.applying import MODULES, apply_first_modules, disown_first_modules, intend_first
from trove.operations.module.applying import WAITING_FOR as MODULES_APPLIED
from trove.operations.offers import need_offered
from trove.operations.steps import step
from trove.operations.work import Work
from trove.store import instances, quotas
from trove.store.session import Tx

NAME_CHARACTERS = 240
"""How much of a cluster's name its members' names begin with."""


Origin: TypeAlias = tuple[Doors, Caller]
"""Through which doors, and for whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRequest:
    """What the tenant asked for one member. `flavor_ref` may be an id or a link that ends in one."""

    flavor_ref: str | None = None
    volume_size_gib: int | None = None
    volume_type: str | None = None
    nic: NicRequest = field(default_factory=NicRequest)
    availability_zone: str | None = None
    region: str | None = None
    name: str | None = None
    type: str | None = None
    module_ids: tuple[str, ...] = ()


def checked_flavor(
    doors: Doors, spec: Spec, version_id: str, project_id: str, members: Sequence[MemberRequest], where: str
) -> Flavor:
    """Return the flavor of all members, which the request has under the key `where`.

    Raises `InvalidInput`, `QuotaExceeded` or `Unsupported`, naming the member and the field, unless each could be an instance
    and all are alike in flavor, volume and network.
    """
    flavors = []
    for number, each in enumerate(members):
        try:
            flavors.append(create.wanted_flavor(doors, each.flavor_ref))
            create.check_volume(doors, spec, each.volume_size_gib, each.volume_type)
            create.check_region(doors, each.region)
            doors.cloud.check_nic(each.nic, project_id)
        except InvalidInput as error:
            raise InvalidInput(f"{where}[{number}]: {error.message}") from error
        if each.type not in {None, spec.clusters.member_type}:
            raise InvalidInput(f"{where}[{number}]['type']: must be {spec.clusters.member_type} in clusters of {spec.title}.")
    _need_own_ports(where, [each.nic.port_id for each in members])
    _need_alike(f"{where}[{{}}]['flavorRef']", "flavor", [flavor.id for flavor in flavors])
    _need_alike(f"{where}[{{}}]['volume']", "volume", [(each.volume_size_gib, each.volume_type) for each in members])
    _need_alike(f"{where}[{{}}]['nics']", "network", [(each.nic.network_id, each.nic.subnet_id) for each in members])
    need_offered(doors, version_id, flavor_id=flavors[0].id, volume_type=members[0].volume_type)
    return flavors[0]


def add_members(
    tx: Tx, origin: Origin, cluster: Cluster, flavor: Flavor, members: Sequence[MemberRequest]
) -> tuple[list[JSON], dict[Resource, int]]:
    """Reserve quota for all members and store their rows; return them as the argument `MEMBERS`, and what was reserved.

    Raises `QuotaExceeded`, `InvalidInput` for a name that is taken, `NotFound` or `InvalidInput` for a module.
    """
    doors, caller = origin
    charges = charge(ram_mib=flavor.ram_mib, volume_gib=members[0].volume_size_gib)
    together = {resource: len(members) * amount for resource, amount in charges.items()}
    quotas.reserve(tx, cluster.project_id, together, quota_defaults(doors.settings.limits))
    asked: list[JSON] = []
    for name, member in zip(_names(cluster, members), members, strict=True):
        made = instances.insert(tx, _new(doors, cluster, flavor, member, name))
        modules = intend_first(tx, caller, made, member.module_ids)
        asked.append(
            {
                "id": made.id,
                "nic": asdict(member.nic),
                "availability_zone": member.availability_zone,
                **naming.named(doors),
                **modules,
            }
        )
    return asked, together


def build_steps(work: Work) -> Iterator[Any]:
    """Yield the steps that build the new members: all servers first, so that they come up at the same time."""
    newcomers = member_ids(work)
    for number, member_id in enumerate(newcomers, start=1):
        member = as_member(work, member_id)
        volume_s = work.doors.settings.volume_timeout_s
        yield _step(member, number, create.ensure_port, "the address", undo=create.remove_port)
        yield _step(member, number, create.ensure_volume, "the volume", undo=create.remove_volume, timeout_s=volume_s)
        yield _step(member, number, create.ensure_server, "the server", undo=create.remove_server)
        if naming.NAMED in member.operation.args:
            name_s = work.doors.settings.name_timeout_s
            yield _step(member, number, naming.ensure_name, naming.WAITING_FOR, undo=naming.remove_name, timeout_s=name_s)
    for number, member_id in enumerate(newcomers, start=1):
        member, waiting_for = as_member(work, member_id), "the guest agent to prepare the database"
        yield _step(member, number, create.prepare_database, waiting_for)
        if MODULES in member.operation.args:
            yield _step(member, number, apply_first_modules, MODULES_APPLIED, undo=disown_first_modules)


def newcomers_built(tx: Tx, work: Work) -> None:
    """Show the new members as ACTIVE and count them as used, in the transaction that ends the operation."""
    for member_id in member_ids(work):
        with suppress(NotReady, NotFound):
            instances.apply_to_member(tx, member_id, Event.BUILT, fence=work.fence)
            instances.clear_fault(tx, member_id)
    commit_reserved(tx, work)


def newcomers_failed(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the new members as ERROR with the fault. They count as used until they are deleted."""
    for member_id in member_ids(work):
        with suppress(NotReady, NotFound):
            instances.apply_to_member(tx, member_id, Event.BUILD_FAILED, fence=work.fence)
            instances.forget_server(tx, member_id, fence=work.fence, server_status=ServerStatus.ERROR)
            record_fault(tx, work, member_id, error)
    commit_reserved(tx, work)


def join(work: Work) -> None:
    """Have the new members join the cluster that there is."""
    joining.install(work, member_ids(work), founding=False)


def settle(work: Work) -> None:
    """Tell the new members that all have joined."""
    joining.complete(work, member_ids(work))


def _step(member: Work, number: int, do: Any, waiting_for: str, **more: Any) -> Any:
    return step(member, do, waiting_for=waiting_for, name=f"{do.__name__}_of_{number}", **more)


def _new(doors: Doors, cluster: Cluster, flavor: Flavor, member: MemberRequest, name: str) -> NewInstance:
    return NewInstance(
        id=new_id(),
        name=name,
        project_id=cluster.project_id,
        flavor_id=flavor.id,
        ram_mib=flavor.ram_mib,
        datastore_version_id=cluster.datastore_version.id,
        key=os.urandom(create.KEY_BYTES),
        volume_size_gib=member.volume_size_gib,
        volume_type=member.volume_type,
        region=doors.settings.region,
        availability_zone=member.availability_zone,
        configuration_id=cluster.configuration_id,
        locality=cluster.locality,
        cluster_id=cluster.id,
        member_type=member.type or MEMBER,
    )


def _names(cluster: Cluster, members: Sequence[MemberRequest]) -> Iterator[str]:
    """Yield a name for each new member: its own, or the cluster's with the next number that is free."""
    taken = {member.name for member in cluster.members}
    for given in (member.name for member in members if member.name is not None):
        if given in taken:
            raise InvalidInput(f"name: {given!r} is the name of another member of the cluster.")
        taken.add(given)
    count = 0
    for member in members:
        name = member.name
        while name is None:
            count += 1
            free = f"{cluster.name[:NAME_CHARACTERS]}-member-{count}"
            name = None if free in taken else free
        taken.add(name)
        yield name


def _need_own_ports(where: str, ports: Sequence[str | None]) -> None:
    for number, port in enumerate(ports):
        if port is not None and port in ports[:number]:
            raise InvalidInput(f"{where}[{number}]['nics'][0]['port-id']: {port} is another member's already.")


def _need_alike(field: str, what: str, values: Sequence[object]) -> None:
    for number, value in enumerate(values):
        if value != values[0]:
            raise InvalidInput(f"{field.format(number)}: all members of a cluster must have the same {what}.")
