"""Create a cluster: all its members in one operation, which then has them find each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trove.core.callers import Caller
from trove.core.clusters import Cluster, ClusterEvent, NewCluster
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput, TroveError
from trove.core.flavors import Flavor
from trove.core.ids import new_id
from trove.core.json import JSON
from trove.operations.booking import need_room
from trove.operations.cluster import building, joining
from trove.operations.cluster.building import MemberRequest
from trove.operations.cluster.members import MEMBERS, book_cluster, clustering_spec, conclude, member_ids
from trove.operations.doors import Doors
from trove.operations.instance.configuring import attachable
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import clusters, datastores
from trove.store.session import Tx

KIND = "cluster.create"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCluster:
    """What the tenant asked for. `extended_properties` are kept and shown; engines with members of several types use them."""

    name: str
    datastore_type: str
    datastore_version: str
    members: tuple[MemberRequest, ...]
    locality: str | None = None
    configuration_id: str | None = None
    extended_properties: Mapping[str, JSON] = field(default_factory=dict)


def start(doors: Doors, caller: Caller, request: CreateCluster) -> Cluster:
    """Check the request, book the cluster, its members, their quota and one operation together, and announce it.

    Raises `InvalidInput`, `NotFound` (datastore, configuration group), `QuotaExceeded` counting all members, `Unsupported` for
    a datastore without clusters, `Overloaded`; after any of them nothing is left.
    """
    with doors.database.reading() as tx:
        need_room(tx, doors.settings.limits)
        version = datastores.resolve(tx, type=request.datastore_type, version=request.datastore_version)
    spec = clustering_spec(version.manager)
    least = spec.clusters.min_members
    if len(request.members) < least:
        raise InvalidInput(f"instances: a cluster of {spec.title} needs at least {least} members, not {len(request.members)}.")
    flavor = building.checked_flavor(doors, spec, version.id, caller.project_id, request.members, "instances")
    cluster, operation_id = doors.database.run(_book, doors, caller, request, version, flavor)
    doors.announcer.announce(operation_id)
    return cluster


def flow(work: Work) -> Any:
    """Return the flow that builds the members and has them form the cluster. Its undoing removes what was built."""
    return line(
        work,
        *building.build_steps(work),
        step(work, form_cluster, waiting_for=joining.JOINED),
        step(work, building.settle, waiting_for=joining.SETTLED),
    )


def succeed(tx: Tx, work: Work) -> None:
    """Show the members as ACTIVE, in the transaction that ends the operation."""
    conclude(tx, work, ClusterEvent.ENDED)
    building.newcomers_built(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Show the members as ERROR, and let go of the cluster, which can only be deleted now."""
    conclude(tx, work, ClusterEvent.ENDED, error)
    building.newcomers_failed(tx, work, error)


def form_cluster(work: Work) -> None:
    """Have the first member found the cluster, and the others join it."""
    joining.install(work, member_ids(work), founding=True)


def _book(
    tx: Tx, doors: Doors, caller: Caller, request: CreateCluster, version: DatastoreVersion, flavor: Flavor
) -> tuple[Cluster, str]:
    if request.configuration_id is not None:
        attachable(tx, request.configuration_id, project_id=caller.project_id, version=version)
    new = NewCluster(
        id=new_id(),
        name=request.name,
        project_id=caller.project_id,
        datastore_version_id=version.id,
        configuration_id=request.configuration_id,
        locality=request.locality,
        extended_properties=request.extended_properties,
    )
    clusters.insert(tx, new)
    cluster = clusters.get(tx, new.id)
    asked, reserved = building.add_members(tx, (doors, caller), cluster, flavor, request.members)
    timeout_s = len(asked) * doors.settings.build_timeout_s
    told = {"name": cluster.name, "locality": cluster.locality, "configuration_id": cluster.configuration_id}
    args: dict[str, JSON] = {**told, "datastore_version_id": version.id, MEMBERS: asked}
    secrets = joining.new_secret()
    operation = book_cluster(tx, caller, cluster, KIND, timeout_s=timeout_s, args=args, secrets=secrets, reserved=reserved)
    return clusters.get(tx, cluster.id), operation.id
