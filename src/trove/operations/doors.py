"""What operations work through: the store, the cloud, the guests and the settings, chosen by `trove.cmd`."""

from dataclasses import dataclass
from typing import Protocol

from trove.bus.contract import Admission, Bus
from trove.cloud.contract import Cloud
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
class Settings:
    """What operators set and operations read. Times in seconds."""

    limits: Limits = Limits()
    region: str = "RegionOne"
    default_datastore: str | None = None
    heartbeat_expiry_s: float = 90.0
    build_timeout_s: float = 1800.0
    restart_timeout_s: float = 600.0
    resize_timeout_s: float = 900.0
    delete_timeout_s: float = 600.0
    reboot_timeout_s: float = 120.0
    volume_timeout_s: float = 300.0
    revert_timeout_s: float = 600.0
    guest_call_timeout_s: float = 15.0
    heartbeat_interval_s: float = 30.0


class OperationAnnouncer(Protocol):
    """Tells task managers that an operation waits. Losing the announcement only delays it until the next sweep."""

    def announce(self, operation_id: str) -> None:
        """Announce without raising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Everything an operation may touch."""

    database: Database
    cloud: Cloud
    bus: Bus
    admission: Admission
    announcer: OperationAnnouncer
    settings: Settings
