"""What every cloud does for Trove. Verbs are *ensure*, *find* and *delete*: each may run twice with the same outcome.

Everything is found again by the instance id it was made for; nothing needs the ids that an earlier run got.
Errors: `CloudError` (refused or failed, with the cloud's own words), `Unavailable` (try again; `CloudBusy` when the cloud is
overloaded, limits our rate, or holds the thing busy), `NotFound`, `Unsupported`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from trove.core.flavors import Flavor
from trove.core.instances import Access, Address
from trove.core.status import ServerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """A data volume as the cloud knows it."""

    id: str
    instance_id: str
    size_gib: int
    type: str | None
    attached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PortInfo:
    """A network address reserved for an instance."""

    id: str
    instance_id: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """A server as the cloud knows it. `fault` is the cloud's own text when `status` is ERROR; None is unknown.

    `image_id` is what it was made of, when the cloud tells.
    """

    id: str
    instance_id: str
    name: str
    status: ServerStatus
    fault: str | None = None
    flavor_id: str | None = None
    host: str | None = None
    image_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """What to boot. `files` are put into the guest before its agent starts, readable by the agent only.

    Servers of one `server_group` (its name) are placed by `locality`: on one host (`affinity`), on different ones
    (`anti-affinity`), or so where it is possible (`soft-…`). A cloud of one host takes note of it and does no more.
    """

    instance_id: str
    name: str
    project_id: str
    image_id: str | None
    image_tags: tuple[str, ...]
    flavor: Flavor
    manager: str
    tcp_ports: tuple[int, ...]
    availability_zone: str | None = None
    locality: str | None = None
    server_group: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NicRequest:
    """Where the tenant wants the instance's port. All None lets the cloud choose. `port_id` is one that he has made himself."""

    network_id: str | None = None
    subnet_id: str | None = None
    ip_address: str | None = None
    port_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Everything the cloud still holds for instances, by instance id: what the reconciler compares with the rows."""

    servers: tuple[str, ...]
    volumes: tuple[str, ...]
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfo:
    """A machine that servers run on. `used_ram_mib` is what the flavors of its servers (`instance_ids`) add up to."""

    name: str
    total_ram_mib: int
    used_ram_mib: int
    instance_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePool:
    """Where volumes are kept. `provisioned_gib` is what the sizes of its volumes add up to, `free_gib` what is not written."""

    name: str
    type: str
    total_gib: float
    free_gib: float
    provisioned_gib: int


class Cloud(Protocol):
    """A cloud."""

    def flavors(self) -> Sequence[Flavor]:
        """Return all flavors on offer, ordered by memory."""

    def flavor(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""

    def volume_types(self) -> Sequence[str]:
        """Return the names of the volume types on offer."""

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Return the id of an image: that one, or for None the newest that has all `tags`. Raises `NotFound`."""

    def hosts(self) -> Sequence[HostInfo]:
        """Return the machines that servers run on, by name."""

    def storage(self) -> Sequence[StoragePool]:
        """Return where volumes are kept, by name."""

    def ensure_volume(self, instance_id: str, *, size_gib: int, volume_type: str | None) -> VolumeInfo:
        """Create the instance's data volume unless it is there. An existing one is returned as it is, whatever its size."""

    def check_nic(self, nic: NicRequest, project_id: str) -> None:
        """Raise `InvalidInput` for what no port of an instance of the project can be in this cloud; nothing is reserved."""

    def update_access(self, instance_id: str, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Open `tcp_ports` on the instance's port for `access` instead of for whom they were open. May run twice.

        Raises `NotFound`; `CloudError` when the cloud refuses, and then as many may connect as before, or as asked for.
        """

    def ensure_port(self, instance_id: str, nic: NicRequest, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Reserve the instance's address and open `tcp_ports` on it for `access`.

        A port that the tenant made himself is taken as it is; `delete_port` leaves it to him.
        """

    def ensure_server(self, spec: ServerSpec) -> ServerInfo:
        """Boot the server with its volume and port (ensured before) unless it is there; does not wait for it."""

    def find_server(self, instance_id: str) -> ServerInfo | None:
        """Return the server of an instance, or None."""

    def find_volume(self, instance_id: str) -> VolumeInfo | None:
        """Return the data volume of an instance, or None."""

    def start_server(self, instance_id: str) -> ServerInfo:
        """Start a stopped server, or restart one whose agent is gone. Raises `NotFound`."""

    def stop_server(self, instance_id: str, *, timeout_s: float) -> None:
        """Stop a server cleanly (database server first); data stays. May run twice."""

    def reboot_server(self, instance_id: str, *, timeout_s: float) -> ServerInfo:
        """Stop the server cleanly, killing its database server after `timeout_s`, and start it; data stays. May run twice.

        Raises `NotFound`. A server that was stopped runs afterwards.
        """

    def rebuild_server(self, spec: ServerSpec) -> ServerInfo:
        """Make the server anew from the image of `spec`; its volume and port are kept, and all else on it is lost.

        May run twice; a server that is missing is made. Raises `CloudError` for an image that is missing, or when there is no
        volume to keep: nothing has changed then.
        """

    def migrate_server(self, instance_id: str, host: str) -> ServerInfo:
        """Move the server, with all its data, to the machine `host`. May run twice: on that host it stays.

        Raises `NotFound`; `CloudError` for an unknown host; `Unsupported` where there is no other.
        """

    def resize_server(self, instance_id: str, flavor: Flavor) -> ServerInfo:
        """Give the server the size of `flavor`; its data stays. May run twice.

        The configuration of its database server must fit the smaller of both sizes meanwhile. Raises `NotFound`; `CloudError`
        when there is no room for it, and the server is then as large as before.
        """

    def grow_volume(self, instance_id: str, *, size_gib: int) -> VolumeInfo:
        """Make the instance's data volume at least `size_gib` large, with its file system; its data stays. May run twice.

        A volume that is as large, or larger, is left as it is: none ever shrinks. Where the cloud cannot do it under a running
        database server, the server is stopped and started again; who died meanwhile leaves it stopped. Raises `NotFound`;
        `CloudError` when there is no room for it. Only when this was done does `find_volume` tell the new size.
        """

    def delete_server(self, instance_id: str) -> None:
        """Delete the server. Missing is fine."""

    def delete_volume(self, instance_id: str) -> None:
        """Delete the volume with its data. Missing is fine; `Unavailable` while still attached."""

    def delete_port(self, instance_id: str) -> None:
        """Release the address. Missing is fine."""

    def leftovers(self) -> Leftovers:
        """Return what is held for instances."""


@runtime_checkable
class Names(Protocol):
    """What a cloud that gives instances names in DNS does besides. Verbs are like those of `Cloud`, with the same errors."""

    def ensure_name(self, instance_id: str, addresses: Sequence[Address]) -> str:
        """Make the instance's name mean `addresses`, whatever it meant before; return it, without a dot at its end.

        The name depends on nothing but the instance's id. It means its public addresses, where there are any, else the private
        ones. Raises `CloudError` when the cloud's DNS does not take it; `Unavailable` while its servers do not answer so yet.
        """

    def delete_name(self, instance_id: str) -> None:
        """Have the name forgotten, whose records may be seen for as long as they are kept elsewhere. Missing is fine."""

    def held_names(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyToken:
    """What lets a caller into a key manager: the token of a request, and the catalogue of services that came with it (JSON)."""

    token: str = field(repr=False)
    catalogue: str = field(default="", repr=False)


MOST_SECRET_BYTES = 64 * 1024
"""No secret that a key manager holds is read further."""


class KeyManager(Protocol):
    """What keeps secrets of tenants. Trove has no rights there: all is done as the caller, with what he has shown.

    A reference is a URL below the key manager's own. `InvalidInput` that names `field` for one that is not, for what is missing
    or not for the caller to read, and what is too long; `Unsupported` where the caller's cloud has no key manager;
    `Unavailable` while it does not answer. No message ever holds a secret.
    """

    def read(self, token: KeyToken, ref: str, *, field: str) -> Mapping[str, bytes]:
        """Return what a secret holds as `payload`, or what the secrets of a certificate's container hold, by their names there.

        These are `certificate`, `private_key`, `intermediates` and `private_key_passphrase`; not all need be there.
        """

    def add_consumer(self, token: KeyToken, ref: str, instance_id: str) -> None:
        """Note with a secret or a container that an instance uses it. May run twice."""

    def remove_consumer(self, token: KeyToken, ref: str, instance_id: str) -> None:
        """Take that note away. Missing is fine."""


def resolved(addresses: Sequence[Address]) -> tuple[str, ...]:
    """Return which of its addresses the name of an instance means, in order."""
    public = {each.address for each in addresses if each.type == "public"}
    return tuple(sorted(public or {each.address for each in addresses}))
