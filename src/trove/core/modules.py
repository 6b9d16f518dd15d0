"""Modules: files with settings that are handed to instances, where a driver of their type does something with them."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trove.core.json import JSON

_DIGEST = re.compile("[0-9a-f]{32}")

ALL = "all"
"""What is shown as the datastore, version or project of a module that is for all of them."""

FIRST_ORDER, DEFAULT_ORDER, LAST_ORDER = 0, 5, 9


class ModuleStatus(StrEnum):
    """How it stands with a module on an instance."""

    OK = "OK"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module, without its contents, which are secret.

    `project_id`, `datastore_id` and `version_id` None mean all of them. `is_admin`: only administrators may change it. `md5` is
    that of the contents.
    """

    id: str
    name: str
    type: str
    description: str | None
    project_id: str | None
    datastore_id: str | None
    datastore_name: str | None
    version_id: str | None
    version_name: str | None
    auto_apply: bool
    visible: bool
    live_update: bool
    priority_apply: bool
    apply_order: int
    is_admin: bool
    md5: str
    created: datetime
    updated: datetime

    @property
    def turn(self) -> tuple[bool, int, str, str]:
        """Return what orders modules that are applied together."""
        return not self.priority_apply, self.apply_order, self.name, self.id

    def concerns_others(self) -> bool:
        """Tell whether it is something that only administrators may have made of it."""
        return self.project_id is None or self.auto_apply or not self.visible or self.priority_apply


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModule:
    """What a module is, as it is stored. Fields as of `Module`."""

    name: str
    type: str
    description: str | None
    project_id: str | None
    datastore_id: str | None
    version_id: str | None
    auto_apply: bool
    visible: bool
    live_update: bool
    priority_apply: bool
    apply_order: int
    is_admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A module on an instance. `md5` is that of the contents it has there, None while that is not confirmed."""

    module: Module
    md5: str | None
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many instances have the same contents of a module. `md5` None: not confirmed."""

    md5: str | None
    instances: int
    first_updated: datetime
    last_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleResult:
    """What a guest says of a module. `contents` is base64, None unless asked for; times are of the guest's clock."""

    id: str
    name: str
    type: str
    md5: str
    status: ModuleStatus
    message: str
    created: datetime
    updated: datetime
    contents: str | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "ModuleResult":
        """Read what crossed the bus. Raises KeyError or ValueError."""
        contents = data.get("contents")
        return cls(
            id=str(data["id"]),
            name=str(data["name"]),
            type=str(data["type"]),
            md5=read_digest(data["md5"]),
            status=ModuleStatus(str(data["status"])),
            message=str(data["message"]),
            created=datetime.fromisoformat(str(data["created"])),
            updated=datetime.fromisoformat(str(data["updated"])),
            contents=None if contents is None else str(contents),
        )

    def to_json(self) -> dict[str, JSON]:
        """Return what crosses the bus."""
        return {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "md5": self.md5,
            "status": self.status.value,
            "message": self.message,
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
            "contents": self.contents,
        }


def digest(contents: bytes) -> str:
    """Return the MD5 of contents in hexadecimal, as `md5sum` prints it for the file: to tell them apart, not to prove them."""
    return hashlib.md5(contents, usedforsecurity=False).hexdigest()


def read_digest(told: object) -> str:
    """Return an MD5 that a guest tells. Raises ValueError: a guest may say anything."""
    text = str(told)
    if not _DIGEST.fullmatch(text):
        raise ValueError("this is no MD5")
    return text


def in_turn(modules: Sequence[Module]) -> tuple[Module, ...]:
    """Return modules in the order in which they are applied."""
    return tuple(sorted(modules, key=lambda module: module.turn))
