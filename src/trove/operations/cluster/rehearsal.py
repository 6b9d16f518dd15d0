"""How the verbs on clusters are accepted when the crash test-kit rehearses them; nothing else calls these."""

from trove.core.callers import Caller
from trove.core.clusters import Cluster
from trove.core.configurations import Configuration
from trove.core.errors import NotFound
from trove.operations.cluster import attach_configuration, create, delete, detach_configuration, grow, restart, shrink, upgrade
from trove.operations.cluster.building import MemberRequest
from trove.operations.cluster.configuring import set_group
from trove.operations.configuration import create as create_configuration
from trove.operations.doors import Doors
from trove.store import clusters, datastores, instances

SMALLEST = 2


def create_cluster_like(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept a cluster of members like the given instance."""
    with doors.database.reading() as tx:
        like = instances.get(tx, instance_id)
    wanted = create.CreateCluster(
        name="rehearsal",
        datastore_type=like.datastore_version.datastore_name,
        datastore_version=like.datastore_version.id,
        members=SMALLEST * (_member(doors, instance_id),),
    )
    return create.start(doors, caller, wanted).id


def delete_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the deletion of the cluster that the instance belongs to."""
    cluster = _cluster(doors, instance_id)
    delete.start(doors, caller, cluster.id)
    return cluster.id


def grow_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept one more member."""
    return grow.start(doors, caller, _cluster(doors, instance_id).id, (_member(doors, instance_id),)).id


def shrink_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept that the youngest member leaves."""
    cluster = _cluster(doors, instance_id)
    return shrink.start(doors, caller, cluster.id, [cluster.members[-1].id]).id


def restart_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the restart of the cluster."""
    return restart.start(doors, caller, _cluster(doors, instance_id).id).id


def upgrade_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the upgrade to another version of its datastore."""
    cluster = _cluster(doors, instance_id)
    own = cluster.datastore_version
    with doors.database.reading() as tx:
        others = [each for each in datastores.get(tx, own.datastore_id).versions if each.id != own.id]
    return upgrade.start(doors, caller, cluster.id, others[0].id).id


def attach_a_group_to_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept a configuration group."""
    cluster = _cluster(doors, instance_id)
    return attach_configuration.start(doors, caller, cluster.id, _group(doors, caller, cluster).id).id


def detach_the_group_of_its_cluster(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept that a configuration group goes which had been attached for long."""
    cluster = _cluster(doors, instance_id)
    doors.database.run(set_group, cluster, _group(doors, caller, cluster).id)
    return detach_configuration.start(doors, caller, cluster.id).id


def _cluster(doors: Doors, instance_id: str) -> Cluster:
    with doors.database.reading() as tx:
        cluster_id = instances.get(tx, instance_id).cluster_id
        if cluster_id is None:
            raise NotFound(f"Instance {instance_id} belongs to no cluster.")
        return clusters.get(tx, cluster_id)


def _member(doors: Doors, instance_id: str) -> MemberRequest:
    with doors.database.reading() as tx:
        like = instances.get(tx, instance_id)
    return MemberRequest(flavor_ref=like.flavor_id, volume_size_gib=like.volume.size_gib if like.volume else None)


def _group(doors: Doors, caller: Caller, cluster: Cluster) -> Configuration:
    version = cluster.datastore_version
    wanted = create_configuration.CreateConfiguration(
        name="rehearsal",
        values={"max_connections": 77},
        datastore_type=version.datastore_name,
        datastore_version=version.id,
    )
    return create_configuration.start(doors, caller, wanted)
