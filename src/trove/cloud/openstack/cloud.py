"""The cloud contract on OpenStack. It keeps nothing itself: what there is, the cloud is asked each time."""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from trove.cloud.contract import HostInfo, Leftovers, NicRequest, PortInfo, ServerInfo, ServerSpec, StoragePool, VolumeInfo
from trove.cloud.openstack.errors import reaching, translated
from trove.cloud.openstack.images import Flavors, Images
from trove.cloud.openstack.names import DesignateNames
from trove.cloud.openstack.ports import Ports
from trove.cloud.openstack.servers import STATUS, Servers
from trove.cloud.openstack.session import connect
from trove.cloud.openstack.settings import OpenStackSettings
from trove.cloud.openstack.volumes import Volumes
from trove.cloud.openstack.waiting import wait_until
from trove.core.errors import CloudError, NotFound
from trove.core.flavors import Flavor
from trove.core.instances import Access, Address
from trove.core.status import ServerStatus

LOG = logging.getLogger(__name__)


class OpenStackCloud:
    """A cloud. Thread-safe; every verb may be repeated after a crash at any point with the same outcome."""

    def __init__(self, settings: OpenStackSettings) -> None:
        self._settings = settings

    def flavors(self) -> Sequence[Flavor]:
        """Return all flavors that are public, ordered by memory."""
        return self._flavors.all()

    def flavor(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""
        return self._flavors.get(flavor_id)

    def volume_types(self) -> Sequence[str]:
        """Return the names of the volume types on offer."""
        return self._volumes.types()

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Return the id of an image: that one, or for None the newest that has all `tags`. Raises `NotFound`."""
        return self._images.find(image_id, tags)

    def hosts(self) -> Sequence[HostInfo]:
        """Return the machines that servers run on, by name."""
        return self._servers.hosts()

    def storage(self) -> Sequence[StoragePool]:
        """Return where volumes are kept, by name."""
        return self._volumes.pools()

    def ensure_volume(self, instance_id: str, *, size_gib: int, volume_type: str | None) -> VolumeInfo:
        """Create the instance's data volume unless it is there, and wait until it can be attached."""
        return self._volumes.ensure(instance_id, size_gib=size_gib, volume_type=volume_type)

    def check_nic(self, nic: NicRequest, project_id: str) -> None:
        """Raise `InvalidInput` for what no port of an instance of the project can be; nothing is reserved."""
        self._ports.check(nic, project_id)

    def update_access(self, instance_id: str, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Open `tcp_ports` on the instance's port for `access` instead of for whom they were open. Raises `NotFound`."""
        return self._ports.update_access(instance_id, access, tcp_ports)

    def ensure_port(self, instance_id: str, nic: NicRequest, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Reserve the instance's address and open `tcp_ports` on it for `access`."""
        return self._ports.ensure(instance_id, nic, access, tcp_ports)

    def ensure_server(self, spec: ServerSpec) -> ServerInfo:
        """Boot the server with its volume and port (ensured before) unless it is there; does not wait for it.

        One that Nova could not build, and that never was on any host, is deleted and made once more.
        """
        found = self._servers.find(spec.instance_id)
        if found is not None and found.status == "ERROR" and not found.compute_host and not found.launched_at:
            self._servers.delete(spec.instance_id)
            found = None
        if found is None:
            found = self._create(spec)
        return self._servers.info(spec.instance_id, found)

    def find_server(self, instance_id: str) -> ServerInfo | None:
        """Return the server of an instance, or None."""
        found = self._servers.find(instance_id)
        return None if found is None else self._servers.info(instance_id, found)

    def find_volume(self, instance_id: str) -> VolumeInfo | None:
        """Return the data volume of an instance, or None."""
        return self._volumes.find(instance_id)

    def start_server(self, instance_id: str) -> ServerInfo:
        """Start a stopped server and wait until it runs. Raises `NotFound`."""
        return self._servers.info(instance_id, self._servers.start(self._servers.need(instance_id)))

    def stop_server(self, instance_id: str, *, timeout_s: float) -> None:
        """Shut a server down, the database server with it; data stays. May run twice. Raises `NotFound`."""
        self._servers.stop(self._servers.need(instance_id), timeout_s=timeout_s)

    def reboot_server(self, instance_id: str, *, timeout_s: float) -> ServerInfo:
        """Restart the server, or start it when it is stopped; data stays. May run twice. Raises `NotFound`."""
        server = self._servers.need(instance_id)
        runs = STATUS.get(str(server.status)) is ServerStatus.ACTIVE
        return self._servers.info(instance_id, self._servers.reboot(server) if runs else self._servers.start(server))

    def rebuild_server(self, spec: ServerSpec) -> ServerInfo:
        """Make the server anew from the image of `spec`; its volume and port are kept, and all else on it is lost."""
        image_id = self._images.need(spec.image_id, spec.image_tags)
        if self._volumes.find(spec.instance_id) is None:
            raise CloudError(f"Instance {spec.instance_id} has no volume that could be kept.")
        found = self._servers.find(spec.instance_id)
        if found is None:
            made = self._create(spec)
            return self._servers.info(spec.instance_id, self._servers.start(made))
        return self._servers.info(spec.instance_id, self._servers.rebuild(found, spec, image_id=image_id))

    def migrate_server(self, instance_id: str, host: str) -> ServerInfo:
        """Move the server, with all its data, to the machine `host`. May run twice: on that host it stays."""
        return self._servers.info(instance_id, self._servers.migrate(self._servers.need(instance_id), host))

    def resize_server(self, instance_id: str, flavor: Flavor) -> ServerInfo:
        """Give the server the size of `flavor`; its data stays. May run twice. Raises `NotFound`, `CloudError`."""
        return self._servers.info(instance_id, self._servers.resize(self._servers.need(instance_id), flavor))

    def grow_volume(self, instance_id: str, *, size_gib: int) -> VolumeInfo:
        """Make the instance's data volume at least `size_gib` large.

        Under a running server where Cinder's driver and Nova can do that; else the server is stopped and the volume taken from
        it meanwhile. The guest agent grows the file system to the size of its volume when it sees it.
        """
        volume = self._volumes.find(instance_id)
        if volume is None:
            raise NotFound(f"Instance {instance_id} has no volume.")
        server = self._servers.find(instance_id)
        if volume.size_gib >= size_gib or not volume.attached or server is None:
            grown = self._volumes.grow(instance_id, size_gib=size_gib)
            return self._reattached(instance_id, grown, server)
        if self._settings.online_volume_growth:
            try:
                return self._volumes.grow(instance_id, size_gib=size_gib)
            except CloudError as error:
                LOG.warning("the volume is made larger while its server is stopped: %s", error)
        return self._grow_apart(instance_id, volume, server, size_gib)

    def delete_server(self, instance_id: str) -> None:
        """Delete the server and wait until it is gone. Missing is fine."""
        self._servers.delete(instance_id)

    def delete_volume(self, instance_id: str) -> None:
        """Delete the volume with its data. Missing is fine; `Unavailable` while a server that is there holds it."""
        self._volumes.delete(instance_id)

    def delete_port(self, instance_id: str) -> None:
        """Release the addresses, and remove the security group. Missing is fine."""
        self._ports.delete(instance_id)

    def ensure_name(self, instance_id: str, addresses: Sequence[Address]) -> str:
        """Make the instance's name mean `addresses`, and wait until the name servers say so; return it."""
        return self._names.ensure(instance_id, addresses)

    def delete_name(self, instance_id: str) -> None:
        """Have Designate take the name from its servers; does not wait for it. Missing is fine."""
        self._names.delete(instance_id)

    def held_names(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a name."""
        return self._names.held()

    def leftovers(self) -> Leftovers:
        """Return what is held for instances."""
        return Leftovers(servers=self._servers.held(), volumes=self._volumes.held(), ports=self._ports.held())

    def _create(self, spec: ServerSpec) -> Any:
        image_id = self._images.need(spec.image_id, spec.image_tags)
        ports = self._ports.ids(spec.instance_id)
        volume = self._volumes.free(spec.instance_id)
        return self._servers.create(spec, image_id=image_id, ports=ports, volume_id=None if volume is None else volume.id)

    def _grow_apart(self, instance_id: str, volume: VolumeInfo, server: Any, size_gib: int) -> VolumeInfo:
        """Stop the server, take the volume from it, make it larger, and put all back as it was, also when that fails."""
        ran = STATUS.get(str(server.status)) is ServerStatus.ACTIVE
        stopped = self._servers.stop(server, timeout_s=self._settings.timeouts.reboot_s)
        self._servers.detach(stopped, volume.id)
        try:
            self._await_attached(instance_id, attached=False)
            self._volumes.grow(instance_id, size_gib=size_gib)
        finally:
            self._servers.attach(stopped, volume.id)
            self._await_attached(instance_id, attached=True)
            if ran:
                self._servers.start(self._servers.need(instance_id))
        found = self._volumes.find(instance_id)
        assert found is not None
        return found

    def _reattached(self, instance_id: str, volume: VolumeInfo, server: Any | None) -> VolumeInfo:
        """Give a volume back that somebody took from its server to make it larger, and who died before he gave it back."""
        if server is None or volume.attached:
            return volume
        self._servers.attach(server, volume.id)
        return self._await_attached(instance_id, attached=True)

    def _await_attached(self, instance_id: str, *, attached: bool) -> VolumeInfo:
        seen = wait_until(
            lambda: self._volumes.find(instance_id),
            lambda seen: seen is not None and seen.attached == attached,
            what="attach the volume" if attached else "detach the volume",
            timeout_s=self._settings.timeouts.volume_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        assert seen is not None
        return seen

    def _lives(self, server_id: str) -> bool:
        return self._servers.lives(server_id)

    @cached_property
    def _connection(self) -> Any:
        with translated("log in"):
            return connect(self._settings)

    @cached_property
    def _images(self) -> Images:
        with reaching("image"):
            return Images(self._connection)

    @cached_property
    def _flavors(self) -> Flavors:
        with reaching("compute"):
            return Flavors(self._connection)

    @cached_property
    def _volumes(self) -> Volumes:
        with reaching("block storage"):
            return Volumes(self._connection, self._settings, self._lives)

    @cached_property
    def _ports(self) -> Ports:
        with reaching("network"):
            return Ports(self._connection, self._settings)

    @cached_property
    def _names(self) -> DesignateNames:
        with reaching("DNS"):
            return DesignateNames(self._connection, self._settings)

    @cached_property
    def _servers(self) -> Servers:
        with reaching("compute"):
            return Servers(self._connection, self._settings, self._flavors.all)
