"""Logs of a guest: the database server's and the agent's own, and how much of each was published to the object store."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trove.core.json import JSON

AGENT_LOG = "guest"
"""The log of the agent itself, which every engine has."""


class LogType(StrEnum):
    """Whose a log is: USER logs are switched on and off by tenants, SYS logs are always written."""

    USER = "USER"
    SYS = "SYS"


class LogStatus(StrEnum):
    """How it stands with a log, in the words that clients know."""

    DISABLED = "Disabled"
    ENABLED = "Enabled"
    UNAVAILABLE = "Unavailable"
    READY = "Ready"
    PUBLISHED = "Published"
    PARTIAL = "Partial"
    ROTATED = "Rotated"
    RESTART_REQUIRED = "Restart Required"
    RESTART_COMPLETED = "Restart Completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What a guest says of a log. `published` bytes of it are in the object store, `pending` are not yet."""

    name: str
    type: LogType
    status: LogStatus
    published: int
    pending: int

    def to_json(self) -> dict[str, JSON]:
        """Return what crosses the bus."""
        return {
            "name": self.name,
            "type": self.type.value,
            "status": self.status.value,
            "published": self.published,
            "pending": self.pending,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "LogReport":
        """Read what crossed the bus. Raises KeyError or ValueError."""
        return cls(
            name=str(data["name"]),
            type=LogType(str(data["type"])),
            status=LogStatus(str(data["status"])),
            published=int(str(data["published"])),
            pending=int(str(data["pending"])),
        )


def home_of(instance_id: str, datastore: str, name: str) -> str:
    """Return what the names of all objects of a log begin with."""
    return f"{instance_id}/{datastore}-{name}"


def prefix_of(home: str) -> str:
    """Return what the names of the pieces of a log begin with."""
    return f"{home}/"


def metafile_of(home: str) -> str:
    """Return the name of the object that tells of a log."""
    return f"{home}_metafile"
