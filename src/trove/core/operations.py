"""Operations: every changing request that is carried out in the background."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trove.core.json import JSON


class OperationState(StrEnum):
    """Life of an operation: PENDING → RUNNING → SUCCEEDED, or → REVERTING → FAILED or CANCELLED."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    REVERTING = "REVERTING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


UNFINISHED = frozenset({OperationState.PENDING, OperationState.RUNNING, OperationState.REVERTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the `operations` table.

    `args` are plain and may be shown to operators; `secrets` are stored encrypted, and emptied when the operation ends.
    `fence` grows by one with each claim: a runner whose number is older than the row's must stop. `lease_until` is how long
    its runner is believed to live without a further sign; None before it was claimed. `reserved` is the quota that was
    reserved for it and is settled when it ends, by resource.
    """

    id: str
    kind: str
    resource_type: str
    resource_id: str
    project_id: str
    user_id: str
    request_id: str
    state: OperationState
    created: datetime
    updated: datetime
    deadline: datetime
    step: str = ""
    percent: int = 0
    attempts: int = 0
    fence: int = 0
    owner: str | None = None
    cancel_requested: bool = False
    started: datetime | None = None
    finished: datetime | None = None
    error: str | None = None
    lease_until: datetime | None = None
    args: Mapping[str, JSON] = field(default_factory=dict)
    secrets: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    reserved: Mapping[str, int] = field(default_factory=dict)
    client_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """What `store.operations.insert` needs."""

    id: str
    kind: str
    resource_type: str
    resource_id: str
    project_id: str
    user_id: str
    request_id: str
    deadline: datetime
    args: Mapping[str, JSON] = field(default_factory=dict)
    secrets: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    reserved: Mapping[str, int] = field(default_factory=dict)
    client_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Proof of the exclusive right to an operation, taken by `store.operations.claim`."""

    operation_id: str
    number: int
