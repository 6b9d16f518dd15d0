"""What guests of tests do as members of a replicated set, and whether two of them ever took writes at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trove.cloud.contract import ServerSpec
from trove.cloud.memory import MemoryCloud
from trove.core.json import JSON
from trove.core.status import ServerStatus


@dataclass(frozen=True, kw_only=True)
class Role:
    """Whom a guest's server follows (host), whom it followed last, and whether it takes writes."""

    follows: str | None = None
    followed: str | None = None
    writable: bool = True


@dataclass
class Replicas:
    """The roles of all servers that were ever told one. `received` is how far a replica has come, 1 where it is not said."""

    cloud: MemoryCloud | None = None
    roles: dict[str, Role] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    split: list[str] = field(default_factory=list)

    def role(self, instance_id: str) -> Role:
        return self.roles.get(instance_id, Role())

    def boot(self, spec: ServerSpec) -> None:
        """Note that a machine was made that begins nothing by itself: its server is down until it is told what to do."""
        if "first.cnf" not in spec.files:
            self.roles[spec.instance_id] = replace(self.role(spec.instance_id), writable=False)

    def do(self, instance_id: str, kind: str, args: Mapping[str, JSON]) -> JSON:
        """Do a job, if it is one of these, and return its result."""
        role = self.role(instance_id)
        if kind == "get_replication_snapshot":
            return {"snapshot": {"of": instance_id}}
        if kind == "get_latest_txn_id":
            return {"txn": "0-1-77"}
        if kind == "get_last_txn":
            return {"origin": "0", "position": self.received.get(instance_id, 1)}
        if kind == "make_read_only":
            self.roles[instance_id] = replace(role, writable=not args["read_only"])
        elif kind in {"prepare", "upgrade"}:
            if instance_id in self.roles:
                self.roles[instance_id] = replace(role, writable=role.follows is None)
        elif kind in {"prepare_replica", "attach_replica", "rejoin_replica"}:
            source = args["source"]
            host = str(source["host"]) if isinstance(source, Mapping) else role.follows or role.followed
            self.roles[instance_id] = Role(follows=host, followed=host, writable=False)
        elif kind == "detach_replica":
            self.roles[instance_id] = replace(role, follows=None, writable=not args["for_failover"])
        elif kind == "enable_as_master":
            self._look_for_another(instance_id, role)
            self.roles[instance_id] = replace(role, follows=None, writable=True)
        return None

    def _look_for_another(self, instance_id: str, role: Role) -> None:
        assert self.cloud is not None
        for other, port in self.cloud._ports.items():
            server = self.cloud._servers.get(other)
            running = server is not None and server.status is ServerStatus.ACTIVE
            if port.addresses[0].address == role.followed and running and self.role(other).writable and other != instance_id:
                self.split.append(f"{instance_id} was opened while {other} took writes")
