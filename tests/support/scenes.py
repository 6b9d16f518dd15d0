"""What stands on the crash test-kit's stage before a kind is rehearsed, where one idle instance is not enough."""

from collections.abc import Callable, Mapping

from tests.support.stepped import SteppedWorld, idle_instance, unseen
from tests.support.world import CALLER

from trove.core.clusters import ClusterTask
from trove.operations.catalogue import KINDS
from trove.operations.cluster import create as create_cluster
from trove.operations.cluster import rehearsal
from trove.operations.instance import delete, detach, eject, promote, rejoin, replicate
from trove.operations.tls import change as change_tls
from trove.store import clusters, instances

SILENCE_S = 200.0

Scene = Callable[[SteppedWorld], str]
"""Builds what stands on the stage; returns the id of the instance that the kind's `rehearse` gets."""


def replicated_set(here: SteppedWorld, *, replicas: int = 2) -> str:
    """Build a source with replicas and let them come to rest; return the source's id."""
    source = idle_instance(here)
    wanted = replicate.CreateReplicas(name="replica", source_id=source, count=replicas)
    replicate.start(here.doors, CALLER, wanted)
    here.run_until_quiet(unseen)
    with here.store.reading() as tx:
        made = instances.get(tx, source).replicas
    assert len(made) == replicas
    assert not any(here.guests.replication.role(each).writable for each in made)
    return source


def source_with_tls(here: SteppedWorld) -> str:
    """Build an instance that serves TLS with a certificate of its tenant's; return its id."""
    source = idle_instance(here)
    KINDS[change_tls.KIND].rehearse(here.doors, CALLER, source)
    here.run_until_quiet(unseen)
    assert here.guests.tls[source] is not None
    return source


def silent_source(here: SteppedWorld) -> str:
    """Build the same, and let nothing be heard of the source any more; return its id."""
    source = replicated_set(here)
    here.clock.advance(SILENCE_S)
    with here.store.reading() as tx:
        replicas = instances.get(tx, source).replicas
    for number, replica in enumerate(replicas):
        here.guests.beat(replica)
        here.guests.replication.received[replica] = 10 + number
    while here.bus.order:
        here.deliver(unseen)
    return source


def ejected_source(here: SteppedWorld) -> str:
    """Build the same, and eject the source; return its id."""
    source = silent_source(here)
    eject.start(here.doors, CALLER, source)
    here.run_until_quiet(unseen)
    return source


def one_replica(here: SteppedWorld) -> str:
    """Build a source with a replica; return the replica's id."""
    source = replicated_set(here, replicas=1)
    with here.store.reading() as tx:
        (replica,) = instances.get(tx, source).replicas
    return replica


def idle_cluster(here: SteppedWorld) -> str:
    """Build a cluster and let it come to rest; return the id of its eldest member."""
    like = idle_instance(here)
    cluster_id = rehearsal.create_cluster_like(here.doors, CALLER, like)
    here.run_until_quiet(unseen)
    delete.start(here.doors, CALLER, like)
    here.run_until_quiet(unseen)
    with here.store.reading() as tx:
        cluster = clusters.get(tx, cluster_id)
        assert cluster.task is ClusterTask.NONE
        assert cluster.fault is None
    return cluster.members[0].id


SCENES: Mapping[str, Scene] = {
    change_tls.KIND: replicated_set,
    detach.KIND: one_replica,
    eject.KIND: silent_source,
    rejoin.KIND: ejected_source,
    promote.KIND: replicated_set,
    **{kind: idle_cluster for kind in KINDS if kind.startswith("cluster.") and kind != create_cluster.KIND},
}


def scene_of(kind: str) -> Scene:
    """Return what builds the scene of a kind."""
    return SCENES.get(kind, idle_instance)
