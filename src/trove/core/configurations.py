"""Configuration groups: values for parameters of one datastore version, which instances of that version may share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trove.core.datastores import DatastoreVersion
from trove.core.json import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One group. `values` are by the parameters' own names; they are empty, and `instance_count` is 0, where lists show it."""

    id: str
    name: str
    description: str | None
    project_id: str
    created: datetime
    updated: datetime
    datastore_version: DatastoreVersion
    values: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    instance_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """An instance that a group is attached to."""

    id: str
    name: str
