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
    """Usage and limit of one resource in one project; a limit of -1 is unlimited."""

    resource: Resource
    in_use: int
    limit: int
    reserved: int = 0
