"""Security groups: another way to tell who may connect to an instance. None is stored, each is derived from its instance."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from trove.core.instances import Instance

EVERYWHERE = "0.0.0.0/0"
"""Who may connect to an instance that names no networks."""

_NAMESPACE = UUID("6e0a5bb5-2f7e-4d0c-9b2b-1f3a0c8e4d21")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One network that may connect to one port."""

    id: str
    port: int
    cidr: str
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    """The group of one instance."""

    id: str
    instance_id: str
    name: str
    description: str
    created: datetime
    updated: datetime
    cidrs: tuple[str, ...]
    rules: tuple[Rule, ...]


def group_id(instance_id: str) -> str:
    """Return the id of an instance's group, always the same."""
    return str(uuid5(_NAMESPACE, instance_id))


def security_group(instance: Instance, tcp_ports: tuple[int, ...]) -> SecurityGroup:
    """Return the group of an instance whose engine listens on `tcp_ports`: each network that may connect, to each port."""
    cidrs = (instance.access.allowed_cidrs if instance.access else ()) or (EVERYWHERE,)
    return SecurityGroup(
        id=group_id(instance.id),
        instance_id=instance.id,
        name=f"trove_sg_{instance.id}",
        description=f"Who may connect to instance {instance.id}",
        created=instance.created,
        updated=instance.updated,
        cidrs=cidrs,
        rules=tuple(
            Rule(id=str(uuid5(_NAMESPACE, f"{instance.id} {port} {cidr}")), port=port, cidr=cidr)
            for cidr in cidrs
            for port in tcp_ports
        ),
    )
