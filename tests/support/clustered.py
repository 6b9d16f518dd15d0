"""What guests of tests do as members of a cluster: whom each knows, and whether a cluster was ever begun twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trove.core.json import JSON


@dataclass
class Clustered:
    """Whom the members know, by the member's id; `settled` have been told that all joined."""

    known: dict[str, frozenset[str]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    founders: dict[str, str] = field(default_factory=dict)
    amiss: list[str] = field(default_factory=list)

    def do(self, instance_id: str, kind: str, args: Mapping[str, JSON]) -> None:
        """Do a job, if it is one of these."""
        if kind == "install_cluster":
            self._join(instance_id, args)
        elif kind == "update_cluster":
            self.known[instance_id] = _ids(args)
        elif kind == "leave_cluster":
            self.known.pop(instance_id, None)
        elif kind == "cluster_complete":
            self.settled.add(instance_id)

    def _join(self, instance_id: str, args: Mapping[str, JSON]) -> None:
        cluster_id = str(args["cluster_id"])
        if not args["secret"]:
            self.amiss.append(f"{instance_id} joined without a secret")
        if args["founder"] and self.founders.setdefault(cluster_id, instance_id) != instance_id:
            self.amiss.append(f"{instance_id} began a cluster that was there")
        if not args["founder"] and cluster_id not in self.founders:
            self.amiss.append(f"{instance_id} joined a cluster that nobody had begun")
        self.known[instance_id] = _ids(args)


def _ids(args: Mapping[str, JSON]) -> frozenset[str]:
    peers = args["peers"]
    assert isinstance(peers, list)
    return frozenset(str(peer["id"]) for peer in peers if isinstance(peer, Mapping))
