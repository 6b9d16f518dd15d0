"""Notifications: what others (Ceilometer, billing, audit) are told of what happens here. Contract section 16.4."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trove.core.json import JSON
from trove.core.status import ServerStatus, Task, shown_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """In whose name a process stores notifications. A process without one stores none.

    `id` is `<service>.<host>`; `server_type` is `api` or `taskmanager`. `service_ids` is what consumers know the datastores by,
    by manager.
    """

    id: str
    server_type: str
    server_ip: str
    service_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One that waits to be published. `number` orders them."""

    number: int
    publisher_id: str
    event_type: str
    payload: Mapping[str, JSON]
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What one instance uses, as its row has it, also when it is deleted."""

    instance_id: str
    name: str
    project_id: str
    task: Task
    server_status: ServerStatus | None
    flavor_id: str
    ram_mib: int
    volume_size_gib: int | None
    volume_id: str | None
    server_id: str | None
    region: str | None
    availability_zone: str | None
    manager: str | None
    created: datetime
    deleted_at: datetime | None


def moment(time: datetime) -> str:
    """Return a time as notifications have it: UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def usage_payload(used: Used, publisher: Publisher, *, user_id: str | None = None) -> dict[str, JSON]:
    """Return the payload of `trove.instance.*`. The name of the flavor (`instance_type`) is filled in when it is published."""
    state = shown_status(used.task, used.server_status).lower()
    payload: dict[str, JSON] = {
        "created_at": moment(used.created),
        "launched_at": moment(used.created),
        "name": used.name,
        "instance_id": used.instance_id,
        "instance_name": used.name,
        "instance_type_id": used.flavor_id,
        "instance_type": None,
        "instance_size": used.ram_mib,
        "nova_instance_id": used.server_id,
        "region": used.region,
        "state": state,
        "state_description": state,
        "tenant_id": used.project_id,
        "user_id": user_id,
        "service_id": publisher.service_ids.get(used.manager or ""),
        "availability_zone": used.availability_zone,
        "volume_size": used.volume_size_gib,
        "nova_volume_id": used.volume_id,
    }
    return payload if used.deleted_at is None else payload | {"deleted_at": moment(used.deleted_at)}
