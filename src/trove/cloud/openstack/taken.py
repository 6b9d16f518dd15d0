"""Ports that an operator made in the service's project for a tenant: an instance takes one as it is, and leaves it in the end.

Nova gives a server ports of its own project only, so that a port in the tenant's project cannot be had. Which tenant a port is
for, its tag says. An instance marks the port that it has by another, and puts its security group beside those that are there.
"""

from typing import Any

from trove.cloud.contract import NicRequest
from trove.cloud.openstack.errors import translated
from trove.cloud.openstack.naming import TAG, name_of, project_tag_of, tag_of
from trove.core.errors import CloudError, InvalidInput


class TakenPorts:
    """The ports that instances have, but did not make. `own` is the service's project."""

    def __init__(self, network: Any, own: str) -> None:
        self._network = network
        self._own = own

    def check(self, nic: NicRequest, project_id: str) -> None:
        """Raise `InvalidInput` unless the port is for the project, nobody uses it, and it is where `nic` says that it is."""
        field = "nics[0]['port-id']"
        with translated("look for the port"):
            port = next(iter(self._network.ports(id=nic.port_id)), None)
        if port is None or not self._is_for(port, project_id):
            told = f"{nic.port_id} cannot be found"
            if port is not None and port.project_id == project_id:
                told = "Nova gives no port of your project to a server of the service's; name network_id or subnet_id instead"
            raise InvalidInput(f"{field}: {told}")
        if why := _unfit(port):
            raise InvalidInput(f"{field}: {nic.port_id} {why}")
        fixed = port.fixed_ips
        for name, wanted, there in (
            ("network_id", nic.network_id, {port.network_id}),
            ("subnet_id", nic.subnet_id, {each["subnet_id"] for each in fixed}),
            ("ip_address", nic.ip_address, {each["ip_address"] for each in fixed}),
        ):
            if wanted is not None and wanted not in there:
                raise InvalidInput(f"nics[0]['{name}']: {wanted} is not that of the port {nic.port_id}; leave it out")

    def of(self, instance_id: str) -> Any | None:
        """Return the port that an instance has taken, or None."""
        with translated("look for the port"):
            found = self._network.ports(tags=tag_of(instance_id), project_id=self._own)
            return next((port for port in found if not str(port.name).startswith(name_of(instance_id))), None)

    def take(self, instance_id: str, port_id: str, group_id: str) -> Any:
        """Have an instance use a port; return it. May run twice. Raises `CloudError` when somebody else got it meanwhile."""
        with translated("take the port"):
            port = next(iter(self._network.ports(id=port_id, project_id=self._own)), None)
            if port is None:
                raise CloudError(f"The port {port_id} is no more.")
            if tag_of(instance_id) not in port.tags:
                if why := _unfit(port):
                    raise CloudError(f"The port {port_id} {why}.")
                self._network.set_tags(port, [*port.tags, TAG, tag_of(instance_id)])
            if group_id not in port.security_group_ids:
                port = self._network.update_port(port, security_group_ids=[*port.security_group_ids, group_id])
        return port

    def leave(self, instance_id: str, port: Any, group_ids: set[str]) -> None:
        """Let go of a port, which is then as it was before. May run twice."""
        kept = [each for each in port.security_group_ids if each not in group_ids]
        if len(kept) < len(port.security_group_ids):
            self._network.update_port(port, security_group_ids=kept)
        self._network.set_tags(port, [each for each in port.tags if each not in {TAG, tag_of(instance_id)}])

    def _is_for(self, port: Any, project_id: str) -> bool:
        return port.project_id == self._own and project_tag_of(project_id) in port.tags


def _unfit(port: Any) -> str | None:
    """Return why no instance can have a port, None when one can."""
    if TAG in port.tags:
        return "is another instance's already"
    if port.device_id or port.device_owner:
        return "is in use already"
    if not port.fixed_ips:
        return "has no address"
    if port.is_port_security_enabled is False:
        return "has port security switched off, so nobody could be kept out"
    return None
