"""Clusters: several database servers of a tenant that act as one, and what may happen to them, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trove.core.datastores import DatastoreVersion
from trove.core.errors import NotReady
from trove.core.json import JSON

MEMBER = "member"
"""Type of a member that is like all others."""


class ClusterTask(StrEnum):
    """What the service is doing with a cluster. A cluster has no other status."""

    NONE = "NONE"
    BUILDING = "BUILDING"
    DELETING = "DELETING"
    ADDING_SHARD = "ADDING_SHARD"
    GROWING = "GROWING_CLUSTER"
    SHRINKING = "SHRINKING_CLUSTER"
    UPGRADING = "UPGRADING_CLUSTER"
    RESTARTING = "RESTARTING_CLUSTER"
    UPDATING = "UPDATING_CLUSTER"


CODES: Mapping[ClusterTask, int] = {task: number for number, task in enumerate(ClusterTask, start=1)}
"""What clients know the tasks by, besides their names."""

DESCRIPTIONS: Mapping[ClusterTask, str] = {
    ClusterTask.NONE: "No tasks for the cluster.",
    ClusterTask.BUILDING: "The cluster is being built.",
    ClusterTask.DELETING: "The cluster is being deleted.",
    ClusterTask.ADDING_SHARD: "A shard is being added to the cluster.",
    ClusterTask.GROWING: "Members are being added to the cluster.",
    ClusterTask.SHRINKING: "Members are being removed from the cluster.",
    ClusterTask.UPGRADING: "The cluster is being upgraded to another version, one member after the other.",
    ClusterTask.RESTARTING: "The cluster is being restarted, one member after the other.",
    ClusterTask.UPDATING: "The configuration of the cluster is being changed.",
}


class ClusterEvent(StrEnum):
    """What happens to a cluster: a request is accepted, its operation ends, or somebody repairs what no operation ends."""

    CREATE_ACCEPTED = "create accepted"
    GROW_ACCEPTED = "grow accepted"
    SHRINK_ACCEPTED = "shrink accepted"
    UPGRADE_ACCEPTED = "upgrade accepted"
    RESTART_ACCEPTED = "restart accepted"
    CONFIGURE_ACCEPTED = "configure accepted"
    ENDED = "ended"
    DELETE_ACCEPTED = "delete accepted"
    DELETED = "deleted"
    DELETE_FAILED = "delete failed"
    STATUS_RESET = "status reset"


_BUSY = frozenset(ClusterTask) - {ClusterTask.NONE, ClusterTask.DELETING}
_ENDING: Mapping[ClusterTask | None, ClusterTask] = dict.fromkeys(sorted(_BUSY), ClusterTask.NONE)

TRANSITIONS: Mapping[ClusterEvent, Mapping[ClusterTask | None, ClusterTask]] = {
    ClusterEvent.CREATE_ACCEPTED: {None: ClusterTask.BUILDING},
    ClusterEvent.GROW_ACCEPTED: {ClusterTask.NONE: ClusterTask.GROWING},
    ClusterEvent.SHRINK_ACCEPTED: {ClusterTask.NONE: ClusterTask.SHRINKING},
    ClusterEvent.UPGRADE_ACCEPTED: {ClusterTask.NONE: ClusterTask.UPGRADING},
    ClusterEvent.RESTART_ACCEPTED: {ClusterTask.NONE: ClusterTask.RESTARTING},
    ClusterEvent.CONFIGURE_ACCEPTED: {ClusterTask.NONE: ClusterTask.UPDATING},
    ClusterEvent.ENDED: _ENDING,
    # Again, too: what the first deletion left behind is deleted by the second.
    ClusterEvent.DELETE_ACCEPTED: dict.fromkeys((ClusterTask.NONE, ClusterTask.DELETING), ClusterTask.DELETING),
    # Nothing is left of the cluster, whatever was made of its task meanwhile.
    ClusterEvent.DELETED: dict.fromkeys(ClusterTask, ClusterTask.NONE),
    ClusterEvent.DELETE_FAILED: {ClusterTask.DELETING: ClusterTask.NONE},
    # A deletion always ends, and can be asked for again meanwhile: there is nothing to free it from.
    ClusterEvent.STATUS_RESET: {
        **dict.fromkeys(ClusterTask, ClusterTask.NONE),
        ClusterTask.DELETING: ClusterTask.DELETING,
    },
}
"""Event × task → task. The key None stands for a cluster that does not exist yet."""


def target(event: ClusterEvent, cluster_id: str, task: ClusterTask) -> ClusterTask:
    """Return what `event` leads to. Raises `NotReady` naming the task when it is not possible now."""
    found = TRANSITIONS[event].get(task)
    if found is None:
        raise NotReady(f"Cluster {cluster_id} is not ready for this action: its task is {task.value}.")
    return found


class ClusterVerb(StrEnum):
    """What may be asked of a cluster, in the words of the API, beyond what every cluster can: be made, shown and deleted."""

    GROW = "grow"
    SHRINK = "shrink"
    ADD_SHARD = "add_shard"
    UPGRADE = "upgrade"
    RESTART = "restart"
    ATTACH = "configuration_attach"
    DETACH = "configuration_detach"
    ROOT = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An instance that belongs to a cluster. `shard_id` is None where the datastore has no shards."""

    id: str
    name: str
    type: str = MEMBER
    shard_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One row of the `clusters` table with its members, the eldest first. `fault` is why its last action failed, if it did."""

    id: str
    name: str
    project_id: str
    task: ClusterTask
    datastore_version: DatastoreVersion
    created: datetime
    updated: datetime
    configuration_id: str | None = None
    locality: str | None = None
    extended_properties: Mapping[str, JSON] = field(default_factory=dict)
    fault: str | None = None
    members: tuple[Member, ...] = ()
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCluster:
    """What `store.clusters.insert` needs."""

    id: str
    name: str
    project_id: str
    datastore_version_id: str
    configuration_id: str | None = None
    locality: str | None = None
    extended_properties: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A member as the others reach it."""

    id: str
    name: str
    type: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a guest is told of the cluster that its server belongs to: all members, itself among them.

    `founder` tells that there is no cluster yet and this server begins it. `secret` is what the members know each other by; a
    new one is made whenever members are added.
    """

    cluster_id: str
    cluster_name: str
    member_id: str
    peers: tuple[Peer, ...]
    founder: bool = False
    secret: str | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON. It holds a secret: only sealed messages may carry it."""
        peers: list[JSON] = [
            {"id": peer.id, "name": peer.name, "type": peer.type, "host": peer.host, "port": peer.port} for peer in self.peers
        ]
        return {
            "cluster_id": self.cluster_id,
            "cluster_name": self.cluster_name,
            "member_id": self.member_id,
            "peers": peers,
            "founder": self.founder,
            "secret": self.secret,
        }
