"""Instances: one database server of a tenant, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trove.core.datastores import DatastoreVersion
from trove.core.replication import ReplicaState
from trove.core.status import ServerStatus, ServiceStatus, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the database answers. `type` is `private` or `public`."""

    address: str
    type: str = "private"
    network: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The data volume. `used_bytes` and `total_bytes` are the guest's last report, None before it."""

    size_gib: int
    type: str | None = None
    volume_id: str | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the last operation on an instance failed, in the tenant's words; `details` is for operators."""

    message: str
    details: str | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may connect. Stored as given, None when never given."""

    is_public: bool = False
    allowed_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What the guest agent last reported. `replica_state` is None for what is no replica, or tells nothing now."""

    status: ServiceStatus = ServiceStatus.NEW
    status_updated: datetime | None = None
    heard_at: datetime | None = None
    agent_version: str | None = None
    datastore_version: str | None = None
    restarts: int = 0
    replica_state: ReplicaState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One row of the `instances` table with what belongs to it. `deleted_at` is told only to who asks for deleted ones."""

    id: str
    name: str
    project_id: str
    task: Task
    flavor_id: str
    datastore_version: DatastoreVersion
    created: datetime
    updated: datetime
    volume: Volume | None = None
    region: str | None = None
    access: Access | None = None
    addresses: tuple[Address, ...] = ()
    hostname: str | None = None
    port: int | None = None
    server_id: str | None = None
    server_status: ServerStatus | None = None
    guest: Guest = Guest()
    fault: Fault | None = None
    replica_of: str | None = None
    cluster_id: str | None = None
    configuration_id: str | None = None
    configuration_name: str | None = None
    replicas: tuple[str, ...] = ()
    locality: str | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """What `store.instances.insert` needs. `key` is the 32-byte sealing key of the guest, stored encrypted."""

    id: str
    name: str
    project_id: str
    flavor_id: str
    ram_mib: int
    datastore_version_id: str
    key: bytes
    volume_size_gib: int | None = None
    volume_type: str | None = None
    region: str | None = None
    access: Access | None = None
    availability_zone: str | None = None
    configuration_id: str | None = None
    replica_of: str | None = None
    locality: str | None = None
    cluster_id: str | None = None
    member_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One report of a guest agent. `sent` orders reports; an older one than the stored is ignored."""

    instance_id: str
    sent: datetime
    status: ServiceStatus
    agent_version: str | None = None
    datastore_version: str | None = None
    restarts: int = 0
    volume_used_bytes: int | None = None
    volume_total_bytes: int | None = None
    replica_state: ReplicaState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """State of a named guest job as last reported. `state` is one of RUNNING, DONE, FAILED."""

    instance_id: str
    name: str
    kind: str
    state: str
    sent: datetime
    percent: int = 0
    step: str = ""
    error: str | None = None
    result: Mapping[str, object] | None = None
