"""Quotas per project."""

from dataclasses import dataclass
from enum import StrEnum

UNLIMITED = -1


class Resource(StrEnum):
    """What is counted: instances and backups by number, volumes in GiB, ram in MiB."""

    INSTANCES = "instances"
    RAM = "ram"
    VOLUMES = "volumes"
    BACKUPS = "backups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Usage and limit of one resource in one project; a limit of -1 is unlimited.

    `in_use` is what exists, `reserved` what accepted operations are about to make; both count against the limit.
    """

    resource: Resource
    in_use: int
    limit: int
    reserved: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A count of one resource in one project that differs from what the rows add up to (`true_in_use`, `true_reserved`)."""

    project_id: str
    resource: Resource
    in_use: int
    reserved: int
    true_in_use: int
    true_reserved: int


def charge(*, ram_mib: int, volume_gib: int | None, instances: int = 1) -> dict[Resource, int]:
    """Return what `instances` of one size count for: a request for three counts three times."""
    return {
        Resource.INSTANCES: instances,
        Resource.RAM: instances * ram_mib,
        Resource.VOLUMES: instances * (volume_gib or 0),
    }
