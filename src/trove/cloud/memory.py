"""A cloud that lives in memory: the whole contract for unit tests, with faults to order and a record of what was asked."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trove.cloud.contract import (
    HostInfo,
    Leftovers,
    NicRequest,
    PortInfo,
    ServerInfo,
    ServerSpec,
    StoragePool,
    VolumeInfo,
    resolved,
)
from trove.cloud.flavors import DEFAULT_FLAVORS, FlavorList
from trove.core.errors import CloudError, InvalidInput, NotFound, Unavailable
from trove.core.flavors import Flavor
from trove.core.instances import Access, Address
from trove.core.status import ServerStatus

DEFAULT_VOLUME_TYPE = "memory"
HOSTS = ("memory-1", "memory-2")
HOST_RAM_MIB = 64 * 1024
ZONE = "db.example.org"
"""Where names of instances are."""
IMAGES: Mapping[str, frozenset[str]] = {"host": frozenset({"trove", "host"}), "other": frozenset({"trove", "other"})}
"""The images there are, with their tags."""


@dataclass(slots=True)
class _Fault:
    """What the next calls of a verb shall suffer. `left` counts down; None means forever."""

    error: Exception | None
    delay_s: float
    left: int | None
    after: bool


class MemoryCloud:
    """A cloud in memory. Thread-safe.

    `on_boot(spec)` is called once for each server that was booted, outside the lock: a test hangs its fake guest there.
    `calls` lists every verb with the instance id it was called for, in order; `specs` keeps what each server was booted with,
    `accesses` for whom each port was opened, `names` what the name of each instance means.
    """

    def __init__(
        self, *, flavors: Sequence[Flavor] = DEFAULT_FLAVORS, on_boot: Callable[[ServerSpec], None] | None = None
    ) -> None:
        self._flavors = FlavorList(flavors)
        self._on_boot = on_boot
        self._lock = threading.RLock()
        self._volumes: dict[str, VolumeInfo] = {}
        self._ports: dict[str, PortInfo] = {}
        self._servers: dict[str, ServerInfo] = {}
        self._faults: dict[str, list[_Fault]] = {}
        self._next_address = 1
        self.specs: dict[str, ServerSpec] = {}
        self.accesses: dict[str, Access | None] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.calls: list[tuple[str, str]] = []

    def order_fault(
        self, verb: str, error: Exception | None = None, *, delay_s: float = 0.0, times: int | None = 1, after: bool = False
    ) -> None:
        """Make the next `times` calls (None: all from now on) of a verb wait `delay_s` and then raise `error`, if given.

        With `after` the verb does its work first: the caller sees an error although it happened.
        """
        if not hasattr(MemoryCloud, verb):
            raise InvalidInput(f"no such verb: {verb}")
        with self._lock:
            self._faults.setdefault(verb, []).append(_Fault(error, delay_s, times, after))

    def clear_faults(self) -> None:
        """Forget all faults that were ordered."""
        with self._lock:
            self._faults.clear()

    def break_server(self, instance_id: str, fault: str = "the server broke") -> None:
        """Turn a server into ERROR with `fault` as the cloud's own text. Raises `NotFound`."""
        with self._lock:
            self._servers[instance_id] = replace(self._server(instance_id), status=ServerStatus.ERROR, fault=fault)

    def flavors(self) -> Sequence[Flavor]:
        """Return all flavors on offer, ordered by memory."""
        with self._verb("flavors", ""):
            return self._flavors.all()

    def flavor(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""
        with self._verb("flavor", ""):
            return self._flavors.get(flavor_id)

    def volume_types(self) -> Sequence[str]:
        """Return the names of the volume types on offer."""
        with self._verb("volume_types", ""):
            return (DEFAULT_VOLUME_TYPE,)

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Return the id of an image, found by its id or by tags; raises `NotFound`."""
        with self._verb("find_image", ""):
            for known, has in IMAGES.items():
                if image_id == known or (image_id is None and tags and has.issuperset(tags)):
                    return known
            raise NotFound(f"Image {image_id or ', '.join(tags)} cannot be found.")

    def hosts(self) -> Sequence[HostInfo]:
        """Return the machines that servers run on: two."""
        with self._verb("hosts", ""):
            return tuple(self._host(name) for name in HOSTS)

    def storage(self) -> Sequence[StoragePool]:
        """Return the one place where volumes are kept."""
        with self._verb("storage", ""):
            provisioned = sum(volume.size_gib for volume in self._volumes.values())
            return (
                StoragePool(
                    name="memory", type=DEFAULT_VOLUME_TYPE, total_gib=1024, free_gib=1024, provisioned_gib=provisioned
                ),
            )

    def ensure_volume(self, instance_id: str, *, size_gib: int, volume_type: str | None) -> VolumeInfo:
        """Create the instance's data volume unless it is there."""
        with self._verb("ensure_volume", instance_id):
            existing = self._volumes.get(instance_id)
            if existing is not None:
                return existing
            if size_gib < 1:
                raise InvalidInput("volume.size: must be at least 1")
            if volume_type not in {None, DEFAULT_VOLUME_TYPE}:
                raise CloudError(f"Volume type {volume_type!r} cannot be found; on offer: {DEFAULT_VOLUME_TYPE}.")
            volume = VolumeInfo(
                id=f"volume-{instance_id}",
                instance_id=instance_id,
                size_gib=size_gib,
                type=volume_type or DEFAULT_VOLUME_TYPE,
                attached=False,
            )
            self._volumes[instance_id] = volume
            return volume

    def check_nic(self, nic: NicRequest, project_id: str) -> None:
        """Raise `InvalidInput` for a port that exists already, as there are none; any network and subnet will do."""
        with self._verb("check_nic", ""):
            if nic.port_id is not None:
                raise InvalidInput("nics[0]['port-id']: the memory cloud has no ports of tenants; leave it out.")

    def update_access(self, instance_id: str, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Remember who may connect. May run twice. Raises `NotFound`."""
        with self._verb("update_access", instance_id):
            port = self._ports.get(instance_id)
            if port is None:
                raise NotFound(f"Instance {instance_id} has no port.")
            self.accesses[instance_id] = access
            return port

    def ensure_port(self, instance_id: str, nic: NicRequest, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Reserve the instance's address."""
        with self._verb("ensure_port", instance_id):
            existing = self._ports.get(instance_id)
            if existing is not None:
                return existing
            taken = {address.address for port in self._ports.values() for address in port.addresses}
            wanted = nic.ip_address
            if wanted is None:
                wanted = self._free_address(taken)
            elif wanted in taken:
                raise CloudError(f"Address {wanted} is taken.")
            port = PortInfo(id=f"port-{instance_id}", instance_id=instance_id, addresses=(Address(address=wanted),))
            self.accesses[instance_id] = access
            self._ports[instance_id] = port
            return port

    def ensure_server(self, spec: ServerSpec) -> ServerInfo:
        """Boot the server unless it is there. Its status is ACTIVE at once. Raises `CloudError` without a port."""
        with self._verb("ensure_server", spec.instance_id):
            existing = self._servers.get(spec.instance_id)
            if existing is not None:
                return existing
            if spec.instance_id not in self._ports:
                raise CloudError(f"Instance {spec.instance_id} has no port; it must be ensured before the server.")
            server = ServerInfo(
                id=f"server-{spec.instance_id}",
                instance_id=spec.instance_id,
                name=spec.name,
                status=ServerStatus.ACTIVE,
                flavor_id=spec.flavor.id,
                host=HOSTS[0],
            )
            self._servers[spec.instance_id] = server
            self.specs[spec.instance_id] = spec
            self._attach(spec.instance_id, attached=True)
        if self._on_boot is not None:
            self._on_boot(spec)
        return server

    def find_server(self, instance_id: str) -> ServerInfo | None:
        """Return the server of an instance, or None."""
        with self._verb("find_server", instance_id):
            return self._servers.get(instance_id)

    def find_volume(self, instance_id: str) -> VolumeInfo | None:
        """Return the data volume of an instance, or None."""
        with self._verb("find_volume", instance_id):
            return self._volumes.get(instance_id)

    def start_server(self, instance_id: str) -> ServerInfo:
        """Start a stopped or broken server. Raises `NotFound`."""
        with self._verb("start_server", instance_id):
            server = replace(self._server(instance_id), status=ServerStatus.ACTIVE, fault=None)
            self._servers[instance_id] = server
            return server

    def stop_server(self, instance_id: str, *, timeout_s: float) -> None:
        """Stop a server; data stays. May run twice. Raises `NotFound`."""
        with self._verb("stop_server", instance_id):
            self._servers[instance_id] = replace(self._server(instance_id), status=ServerStatus.SHUTDOWN)

    def reboot_server(self, instance_id: str, *, timeout_s: float) -> ServerInfo:
        """Start the server, whatever it was. Raises `NotFound`."""
        with self._verb("reboot_server", instance_id):
            self._servers[instance_id] = replace(self._server(instance_id), status=ServerStatus.ACTIVE, fault=None)
            return self._servers[instance_id]

    def rebuild_server(self, spec: ServerSpec) -> ServerInfo:
        """Make the server anew; its volume stays. Raises `CloudError`."""
        with self._verb("rebuild_server", spec.instance_id):
            if spec.image_id is not None and spec.image_id not in IMAGES:
                raise CloudError(f"Image {spec.image_id} cannot be found.")
            if spec.instance_id not in self._volumes:
                raise CloudError(f"Instance {spec.instance_id} has no volume that could be kept.")
            was = self._servers.pop(spec.instance_id, None)
        server = self.ensure_server(spec)
        with self._lock:
            server = self._servers[spec.instance_id] = replace(server, host=was.host if was else server.host)
        return server

    def migrate_server(self, instance_id: str, host: str) -> ServerInfo:
        """Move the server to the other machine, or leave it where it is. Raises `NotFound`, `CloudError`."""
        with self._verb("migrate_server", instance_id):
            if host not in HOSTS:
                raise CloudError(f"Host {host} cannot be found; there are: {', '.join(HOSTS)}.")
            self._servers[instance_id] = replace(self._server(instance_id), host=host)
            return self._servers[instance_id]

    def resize_server(self, instance_id: str, flavor: Flavor) -> ServerInfo:
        """Give the server another flavor. May run twice. Raises `NotFound`."""
        with self._verb("resize_server", instance_id):
            server = replace(self._server(instance_id), flavor_id=flavor.id)
            self._servers[instance_id] = server
            return server

    def grow_volume(self, instance_id: str, *, size_gib: int) -> VolumeInfo:
        """Make the volume at least `size_gib` large. May run twice. Raises `NotFound`."""
        with self._verb("grow_volume", instance_id):
            volume = self._volumes.get(instance_id)
            if volume is None:
                raise NotFound(f"Instance {instance_id} has no volume.")
            self._volumes[instance_id] = replace(volume, size_gib=max(volume.size_gib, size_gib))
            return self._volumes[instance_id]

    def delete_server(self, instance_id: str) -> None:
        """Delete the server. Missing is fine."""
        with self._verb("delete_server", instance_id):
            if self._servers.pop(instance_id, None) is not None:
                self._attach(instance_id, attached=False)
                self.specs.pop(instance_id, None)

    def delete_volume(self, instance_id: str) -> None:
        """Delete the volume. Missing is fine; `Unavailable` while the server is there."""
        with self._verb("delete_volume", instance_id):
            if instance_id in self._volumes and instance_id in self._servers:
                raise Unavailable(f"The volume of instance {instance_id} is still attached.")
            self._volumes.pop(instance_id, None)

    def delete_port(self, instance_id: str) -> None:
        """Release the address. Missing is fine."""
        with self._verb("delete_port", instance_id):
            self._ports.pop(instance_id, None)
            self.accesses.pop(instance_id, None)

    def ensure_name(self, instance_id: str, addresses: Sequence[Address]) -> str:
        """Make the instance's name mean `addresses`; return it."""
        with self._verb("ensure_name", instance_id):
            self.names[instance_id] = resolved(addresses)
            return f"{instance_id}.{ZONE}"

    def delete_name(self, instance_id: str) -> None:
        """Forget the name. Missing is fine."""
        with self._verb("delete_name", instance_id):
            self.names.pop(instance_id, None)

    def held_names(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a name."""
        with self._verb("held_names", ""):
            return tuple(sorted(self.names))

    def leftovers(self) -> Leftovers:
        """Return what is held for instances."""
        with self._verb("leftovers", ""):
            return Leftovers(
                servers=tuple(sorted(self._servers)), volumes=tuple(sorted(self._volumes)), ports=tuple(sorted(self._ports))
            )

    @contextmanager
    def _verb(self, verb: str, instance_id: str) -> Iterator[None]:
        with self._lock:
            self.calls.append((verb, instance_id))
            fault = self._take_fault(verb)
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault is not None and fault.error is not None and not fault.after:
            raise fault.error
        with self._lock:
            yield
        if fault is not None and fault.error is not None:
            raise fault.error

    def _take_fault(self, verb: str) -> _Fault | None:
        waiting = self._faults.get(verb)
        if not waiting:
            return None
        fault = waiting[0]
        if fault.left is not None:
            fault.left -= 1
            if fault.left <= 0:
                waiting.pop(0)
        return fault

    def _server(self, instance_id: str) -> ServerInfo:
        try:
            return self._servers[instance_id]
        except KeyError:
            raise NotFound(f"Instance {instance_id} has no server.") from None

    def _host(self, name: str) -> HostInfo:
        here = sorted(server.instance_id for server in self._servers.values() if server.host == name)
        used = sum(self._flavors.get(self._servers[one].flavor_id or "").ram_mib for one in here)
        return HostInfo(name=name, total_ram_mib=HOST_RAM_MIB, used_ram_mib=used, instance_ids=tuple(here))

    def _attach(self, instance_id: str, *, attached: bool) -> None:
        volume = self._volumes.get(instance_id)
        if volume is not None:
            self._volumes[instance_id] = replace(volume, attached=attached)

    def _free_address(self, taken: set[str]) -> str:
        while True:
            address = f"10.{self._next_address >> 16 & 255}.{self._next_address >> 8 & 255}.{self._next_address & 255}"
            self._next_address += 1
            if address not in taken:
                return address
