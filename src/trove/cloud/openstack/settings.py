"""What must be known about an OpenStack cloud in order to use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """For how many seconds the cloud may be at one thing before that counts as failed. `poll_s` lies between two looks."""

    volume_s: float = 60.0
    server_s: float = 600.0
    delete_s: float = 120.0
    name_s: float = 120.0
    reboot_s: float = 180.0
    resize_s: float = 900.0
    poll_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """The zone in Designate for names of instances, which the service's project owns: its name, its id, or both."""

    name: str | None = None
    id: str | None = None
    ttl_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStackSettings:
    """How to log in, and where instances go.

    `auth` are the words that keystoneauth's plugins for passwords and application credentials take; `verify` is False, True or
    the path of the authority's certificates. A `network` (id or name) is where ports go whose tenant names none; servers also
    get a port on each of `management_networks`, with `management_security_groups` (ids). `files_directory` is where the files
    of the guest agent are in a server.
    """

    auth: Mapping[str, str] = field(repr=False)
    region: str | None = None
    verify: bool | str = True
    overrides: Mapping[str, str] = field(default_factory=dict)
    """What differs from the catalogue, by openstacksdk's names, such as `compute_interface` or `image_endpoint_override`."""
    network: str | None = None
    management_networks: tuple[str, ...] = ()
    management_security_groups: tuple[str, ...] = ()
    public_network: str | None = None
    security_group_prefix: str = "trove_sg"
    default_cidr: str = "0.0.0.0/0"
    zone: ZoneSettings = field(default_factory=ZoneSettings)
    volume_type: str | None = None
    online_volume_growth: bool = True
    """False where Cinder's driver cannot extend a volume that a server has: what is known need not fail first."""
    config_drive: bool = True
    keypair: str | None = None
    files_directory: str = "/etc/trove/conf.d"
    extra_userdata: Mapping[str, str] = field(default_factory=dict)
    """Text of a cloud-config by datastore manager, that is merged into what Trove itself gives."""
    timeouts: Timeouts = field(default_factory=Timeouts)
