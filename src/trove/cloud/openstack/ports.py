"""Neutron's ports: one for each instance with a security group of its own, and those on management networks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from openstack import exceptions as sdk

from trove.cloud.contract import NicRequest, PortInfo
from trove.cloud.openstack.errors import translated, words
from trove.cloud.openstack.naming import TAG, group_name, instance_tagged, management_name_of, name_of, tag_of
from trove.cloud.openstack.settings import OpenStackSettings
from trove.cloud.openstack.taken import TakenPorts
from trove.core.errors import CloudError, InvalidInput, NotFound
from trove.core.instances import Access, Address

IPV4, IPV6 = "IPv4", "IPv6"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rule:
    """Who may connect to which port."""

    cidr: str
    tcp_port: int

    @property
    def ether_type(self) -> str:
        """Return the kind of address that the rule is about, as Neutron calls it."""
        return IPV6 if ":" in self.cidr else IPV4


class Ports:
    """The ports of instances."""

    def __init__(self, connection: Any, settings: OpenStackSettings) -> None:
        self._network = connection.network
        self._settings = settings
        with translated("log in"):
            self._own = str(connection.current_project_id)
        self._taken = TakenPorts(connection.network, self._own)

    def check(self, nic: NicRequest, project_id: str) -> None:
        """Raise `InvalidInput` for what no port of the project can be; nothing is reserved."""
        if nic.port_id is not None:
            self._taken.check(nic, project_id)
            return
        with translated("look for the network"):
            if nic.network_id is not None and not self._may_use(nic.network_id, project_id):
                raise InvalidInput(f"nics[0]['network_id']: {nic.network_id} cannot be found")
            if nic.subnet_id is not None:
                subnet = next(iter(self._network.subnets(id=nic.subnet_id)), None)
                if subnet is None or not self._may_use(subnet.network_id, project_id):
                    raise InvalidInput(f"nics[0]['subnet_id']: {nic.subnet_id} cannot be found")
                if nic.network_id is not None and subnet.network_id != nic.network_id:
                    raise InvalidInput(f"nics[0]['subnet_id']: {nic.subnet_id} is not a subnet of {nic.network_id}")
        if nic.network_id is None and nic.subnet_id is None and self._settings.network is None:
            raise InvalidInput("nics: must name the network of the instance; this cloud has none by default")

    def ensure(self, instance_id: str, nic: NicRequest, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Reserve the address, open the ports on it, and give it a floating address when it is to be public."""
        if nic.port_id is not None:
            group = self._ensure_group(instance_id)
            self._ensure_rules(group, access, tcp_ports)
            found = self._taken.take(instance_id, nic.port_id, group.id)
        else:
            found = self._made(instance_id) or self._make(instance_id, nic, access, tcp_ports)
            self._mark(found, instance_id)
        self._ensure_floating(instance_id, found, access)
        return self._info(instance_id, found)

    def update_access(self, instance_id: str, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Open the ports for `access` instead of for whom they were open. Raises `NotFound`."""
        found = self._find(instance_id)
        if found is None:
            raise NotFound(f"Instance {instance_id} has no port.")
        self._ensure_rules(self._ensure_group(instance_id), access, tcp_ports)
        self._ensure_floating(instance_id, found, access)
        return self._info(instance_id, found)

    def ids(self, instance_id: str) -> tuple[str, ...]:
        """Return the ids of the ports for a new server, those for management first, which are made now.

        Raises `CloudError` when the instance's own port is missing.
        """
        own = self._find(instance_id)
        if own is None:
            raise CloudError(f"Instance {instance_id} has no port; it must be ensured before the server.")
        networks = enumerate(self._settings.management_networks)
        return (*(self._ensure_management(instance_id, number, name).id for number, name in networks), own.id)

    def delete(self, instance_id: str) -> None:
        """Release the addresses, and remove the security group. Missing is fine."""
        names = [name_of(instance_id)]
        names += [management_name_of(instance_id, number) for number in range(len(self._settings.management_networks))]
        with translated("release the addresses"):
            for name in names:
                for port in self._network.ports(name=name, project_id=self._own):
                    self._delete_floating(instance_id, port)
                    self._network.delete_port(port)
            groups = self._groups(instance_id)
            taken = self._taken.of(instance_id)
            if taken is not None:
                self._delete_floating(instance_id, taken)
                self._taken.leave(instance_id, taken, {group.id for group in groups})
            for group in groups:
                self._network.delete_security_group(group)

    def held(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a port."""
        with translated("list ports"):
            found = [instance_tagged(port.tags) for port in self._network.ports(tags=TAG, project_id=self._own)]
        return tuple(sorted({each for each in found if each}))

    def _find(self, instance_id: str) -> Any | None:
        """Return the port of an instance: one that we made, or one that it took."""
        return self._made(instance_id) or self._taken.of(instance_id)

    def _made(self, instance_id: str) -> Any | None:
        with translated("look for the port"):
            found = list(self._network.ports(name=name_of(instance_id), project_id=self._own))
        return min(found, key=lambda each: str(each.created_at)) if found else None

    def _make(self, instance_id: str, nic: NicRequest, access: Access | None, tcp_ports: Sequence[int]) -> Any:
        group = self._ensure_group(instance_id)
        self._ensure_rules(group, access, tcp_ports)
        return self._create(instance_id, nic, group.id)

    def _may_use(self, network_id: str, project_id: str) -> bool:
        """Tell whether a network is the project's own, or somebody shares it with the project."""
        network = next(iter(self._network.networks(id=network_id)), None)
        if network is None:
            return False
        if network.is_shared or project_id == network.project_id:
            return True
        shared = self._network.rbac_policies(object_type="network", object_id=network_id, action="access_as_shared")
        return any(each.target_project_id in {project_id, "*"} for each in shared)

    def _create(self, instance_id: str, nic: NicRequest, group_id: str) -> Any:
        fixed: dict[str, str] = {}
        if nic.subnet_id is not None:
            fixed["subnet_id"] = nic.subnet_id
        if nic.ip_address is not None:
            fixed["ip_address"] = nic.ip_address
        with translated("reserve an address"):
            wanted = {
                "name": name_of(instance_id),
                "description": f"Database instance {instance_id}",
                "network_id": self._network_of(nic),
                "security_group_ids": [group_id],
                **({"fixed_ips": [fixed]} if fixed else {}),
            }
            try:
                return self._network.create_port(**wanted)
            except sdk.ConflictException as error:
                if nic.ip_address is None or "quota" in words(error).lower():
                    raise
                raise CloudError(f"The address {nic.ip_address} is taken: {words(error)}") from error
            except sdk.BadRequestException as error:
                if nic.ip_address is None:
                    raise
                raise CloudError(f"The address {nic.ip_address} cannot be had: {words(error)}") from error

    def _network_of(self, nic: NicRequest) -> str:
        if nic.network_id is not None:
            return nic.network_id
        if nic.subnet_id is not None:
            return str(self._network.get_subnet(nic.subnet_id).network_id)
        return self._named(self._settings.network)

    def _named(self, name: str | None) -> str:
        for found in (*self._network.networks(id=name), *self._network.networks(name=name)) if name else ():
            return str(found.id)
        raise CloudError(f"The network {name!r} that the service is configured with cannot be found.")

    def _ensure_management(self, instance_id: str, number: int, network: str) -> Any:
        name = management_name_of(instance_id, number)
        with translated("make the management port"):
            found = next(iter(self._network.ports(name=name, project_id=self._own)), None)
            if found is None:
                found = self._network.create_port(
                    name=name,
                    description=f"Management of database instance {instance_id}",
                    network_id=self._named(network),
                    security_group_ids=list(self._settings.management_security_groups),
                )
        self._mark(found, instance_id)
        return found

    def _mark(self, port: Any, instance_id: str) -> None:
        """Tag a port, which may have been made by somebody who died before he did."""
        tags = {TAG, tag_of(instance_id)}
        if not tags <= set(port.tags or ()):
            with translated("tag the port"):
                self._network.set_tags(port, sorted(tags))

    def _group_name(self, instance_id: str) -> str:
        return group_name(self._settings.security_group_prefix, instance_id)

    def _groups(self, instance_id: str) -> list[Any]:
        return list(self._network.security_groups(name=self._group_name(instance_id), project_id=self._own))

    def _ensure_group(self, instance_id: str) -> Any:
        name = self._group_name(instance_id)
        with translated("make the security group"):
            found = next(iter(self._groups(instance_id)), None)
            if found is None:
                found = self._network.create_security_group(
                    name=name, description=f"Who may connect to database instance {instance_id}"
                )
        return found

    def _ensure_rules(self, group: Any, access: Access | None, tcp_ports: Sequence[int]) -> None:
        """Add what is missing before what is too much is taken away: nobody who may connect is shut out in between."""
        wanted = rules_for(access, tcp_ports, default_cidr=self._settings.default_cidr)
        with translated("set the security rules"):
            ingress = self._network.security_group_rules(security_group_id=group.id, direction="ingress")
            there = {_rule(each): each for each in ingress}
            for rule in sorted(wanted - there.keys()):
                self._network.create_security_group_rule(
                    security_group_id=group.id,
                    direction="ingress",
                    ether_type=rule.ether_type,
                    protocol="tcp",
                    port_range_min=rule.tcp_port,
                    port_range_max=rule.tcp_port,
                    remote_ip_prefix=rule.cidr,
                )
            for known, made in there.items():
                if known not in wanted:
                    self._network.delete_security_group_rule(made)

    def _ensure_floating(self, instance_id: str, port: Any, access: Access | None) -> None:
        public = access is not None and access.is_public
        with translated("give out a floating address"):
            there = self._floating(port)
            if public and not self._settings.public_network:
                raise CloudError("access.is_public: this cloud has no public network.")
            if public and not there:
                network = self._named(self._settings.public_network)
                self._network.create_ip(floating_network_id=network, port_id=port.id, description=name_of(instance_id))
            if not public:
                self._delete_floating(instance_id, port)

    def _delete_floating(self, instance_id: str, port: Any) -> None:
        """Give back the floating addresses that we gave, not those that a port had before an instance took it."""
        for floating in self._floating(port):
            if floating.description == name_of(instance_id):
                self._network.delete_ip(floating)

    def _floating(self, port: Any) -> list[Any]:
        """Return the floating addresses of a port; Neutron knows of none where it has no routers."""
        return list(self._network.ips(port_id=port.id)) if self._settings.public_network else []

    def _info(self, instance_id: str, port: Any) -> PortInfo:
        private = [Address(address=str(each["ip_address"]), network=str(port.network_id)) for each in port.fixed_ips or ()]
        with translated("look for floating addresses"):
            public = [Address(address=str(each.floating_ip_address), type="public") for each in self._floating(port)]
        return PortInfo(id=str(port.id), instance_id=instance_id, addresses=(*private, *public))


def rules_for(access: Access | None, tcp_ports: Iterable[int], *, default_cidr: str) -> frozenset[Rule]:
    """Return the rules that let in whom `access` names, or everybody whom the service lets in without it."""
    cidrs = access.allowed_cidrs if access is not None and access.allowed_cidrs else (default_cidr,)
    return frozenset(Rule(cidr=cidr, tcp_port=port) for cidr in cidrs for port in tcp_ports)


def _rule(made: Any) -> Rule | str:
    """Return what a rule of Neutron says; its id when it is none that this service makes."""
    if made.protocol != "tcp" or made.port_range_min != made.port_range_max or not made.remote_ip_prefix:
        return str(made.id)
    return Rule(cidr=str(made.remote_ip_prefix), tcp_port=int(made.port_range_min))
