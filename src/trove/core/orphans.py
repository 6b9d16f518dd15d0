"""Orphans: what the cloud or the bus holds for an instance that this state database does not know."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HeldKind(StrEnum):
    """What is held for an instance, in the order in which it is removed."""

    SERVER = "server"
    VOLUME = "volume"
    NAME = "name"
    PORT = "port"
    BUS_USER = "bus-user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """One thing that belongs to no instance here. `instance_id` is the one it was made for; `reason` is for operators."""

    kind: HeldKind
    instance_id: str
    reason: str
    first_seen: datetime
    last_seen: datetime
