"""What operations work through: the store, the cloud, the guests, the object store and the settings, chosen by `trove.cmd`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trove.bus.contract import Admission, Bus
from trove.cloud.contract import Cloud, KeyManager, Names
from trove.objectstore.contract import ObjectStore
from trove.store.session import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Defaults of quotas and ceilings; -1 is unlimited. `max_volume_size_gib` bounds one volume.

    `max_pending_operations` bounds the unfinished operations of all projects; 0 is unlimited.
    """

    max_instances: int = 10
    max_volumes_gib: int = 40
    max_backups: int = 50
    max_ram_mib: int = -1
    max_volume_size_gib: int = 10
    max_pending_operations: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """How backups are made and kept.

    `container` is for who names none, `replica_container` for what replicas are built from, as long as that lasts.
    `segment_bytes` bounds one object. A backup that runs longer than `running_expires_days` may be deleted although it seems to
    run. `before_upgrade`: one is made before each upgrade whose request does not say.
    """

    container: str = "database_backups"
    replica_container: str = "database_replicas"
    storage_driver: str = "swift"
    timeout_s: float = 36000.0
    segment_bytes: int = 8 * 1024 * 1024
    running_expires_days: float = 3.0
    encrypted: bool = False
    stall_timeout_s: float = 900.0
    before_upgrade: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSettings:
    """Which types modules may have, and how gently they are applied again: instances at a time, seconds between."""

    types: tuple[str, ...] = ("ping", "new_relic_license")
    reapply_max_batch_size: int = 50
    reapply_min_batch_delay_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Where published logs go, in pieces of how many bytes, and for how long. `exposed`: system logs that tenants see."""

    container: str = "database_logs"
    piece_bytes: int = 1_000_000
    keep_s: int = 2_592_000
    exposed: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestMachines:
    """What guest agents are told of machines that are their instances' alone.

    `mount_points` are where the data volume goes, by manager. `device_path` counts only on machines whose disks tell no serial
    numbers. `uid` is whom database servers run as. `agent_options` is the text of an ini file with options for every agent, and
    `ca` the certificates, as PEM, that agents trust when they speak to the bus and the object store; None for the usual ones.
    """

    mount_points: Mapping[str, str]
    device_path: str = "/dev/vdb"
    volume_fstype: str = "ext4"
    format_options: str = "-m 5"
    mount_options: str = "defaults,noatime"
    uid: int = 1001
    agent_options: str = ""
    ca: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What operators set and operations read. Times in seconds. `root_on_create` are managers of datastores.

    `machines` is None where the cloud itself tells guest agents of their machines, and looks after their volumes. Without
    `volume_support` no instance has a data volume.
    """

    limits: Limits = Limits()
    backups: BackupSettings = BackupSettings()
    modules: ModuleSettings = ModuleSettings()
    logs: LogSettings = field(default_factory=LogSettings)
    machines: GuestMachines | None = None
    volume_support: bool = True
    region: str = "RegionOne"
    default_datastore: str | None = None
    root_on_create: frozenset[str] = frozenset()
    heartbeat_expiry_s: float = 90.0
    build_timeout_s: float = 1800.0
    restore_timeout_s: float = 3600.0
    restart_timeout_s: float = 600.0
    resize_timeout_s: float = 900.0
    failover_timeout_s: float = 1800.0
    delete_timeout_s: float = 600.0
    reboot_timeout_s: float = 120.0
    volume_timeout_s: float = 300.0
    name_timeout_s: float = 120.0
    revert_timeout_s: float = 600.0
    guest_call_timeout_s: float = 15.0
    heartbeat_interval_s: float = 30.0


class OperationAnnouncer(Protocol):
    """Tells task managers that an operation waits. Losing the announcement only delays it until the next sweep."""

    def announce(self, operation_id: str) -> None:
        """Announce without raising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Everything an operation may touch.

    `names` is None where instances get no names in DNS, `keys` where there is no key manager.
    """

    database: Database
    cloud: Cloud
    bus: Bus
    admission: Admission
    objects: ObjectStore
    announcer: OperationAnnouncer
    settings: Settings
    names: Names | None = None
    keys: KeyManager | None = None
