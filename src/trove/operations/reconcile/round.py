"""One round of the reconciler: what its findings may use, what was seen of the cloud, and what earlier rounds remember."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trove.core.errors import TroveError
from trove.core.ids import is_id
from trove.core.orphans import HeldKind
from trove.operations.doors import Doors
from trove.workflow.locks import Lock

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSettings:
    """How much a round does, and when it does not believe its eyes.

    `batch` bounds the repairs and comparisons of each finding a round. `vanished_percent`: when more of all servers seem to
    have vanished at once, none is faulted; 100 is no limit. `unowned_after_s`: how long nobody may run an operation.
    """

    batch: int = 100
    vanished_percent: int = 50
    unowned_after_s: float = 60.0


@dataclass(slots=True)
class Memory:
    """What one round leaves for the next. It is lost with the process, which costs a round and nothing else.

    `began` is when the first round of this process began; `listening_since`, since when reports are known to arrive.
    """

    began: datetime
    cursors: dict[str, str] = field(default_factory=dict)
    listening_since: datetime | None = None
    told: set[Hashable] = field(default_factory=set)
    _before: set[Hashable] = field(default_factory=set)
    _now: set[Hashable] = field(default_factory=set)

    def turn(self) -> None:
        """Begin a round."""
        self._before, self._now = self._now, set()

    def seen_twice(self, what: Hashable) -> bool:
        """Remember that `what` was seen in this round; tell whether it was in the one before, too."""
        self._now.add(what)
        return what in self._before

    def seen_before(self, kind: str) -> tuple[str, ...]:
        """Return the second parts of all pairs `(kind, …)` that the last round saw."""
        return tuple(sorted(pair[1] for pair in self._before if isinstance(pair, tuple) and pair[0] == kind))

    def first_time(self, what: Hashable) -> bool:
        """Tell whether `what` is said for the first time by this process."""
        first = what not in self.told
        self.told.add(what)
        return first


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is held for instances, by instance id. A kind that is missing could not be asked for, or cannot be listed."""

    held: Mapping[HeldKind, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a finding gets.

    `lock` takes the exclusive right to a resource that runners take; None when somebody has it. `offer` hands an operation to
    the runner. `counts` are what the round found and did, for the log.
    """

    doors: Doors
    settings: ReconcileSettings
    memory: Memory
    survey: Survey
    began: datetime
    lock: Callable[[str], Lock | None]
    offer: Callable[[str], bool]
    stopping: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)

    def count(self, what: str, number: int = 1) -> None:
        """Count what was found or done."""
        if number:
            self.counts[what] += number


def survey(doors: Doors, memory: Memory) -> Survey:
    """Ask the cloud and the bus what they hold. Who does not answer is left out, with a warning: silence is not emptiness."""
    held: dict[HeldKind, frozenset[str]] = {}
    try:
        found = doors.cloud.leftovers()
    except TroveError as error:
        LOG.warning("The cloud is not compared in this round: %s", error.message)
    else:
        held[HeldKind.SERVER] = frozenset(found.servers)
        held[HeldKind.VOLUME] = frozenset(found.volumes)
        held[HeldKind.PORT] = frozenset(found.ports)
    if doors.names is not None:
        try:
            held[HeldKind.NAME] = frozenset(doors.names.held_names())
        except TroveError as error:
            LOG.warning("The names of instances are not compared in this round: %s", error.message)
    try:
        users = doors.admission.held()
    except TroveError as error:
        LOG.warning("The bus users of guests are not compared in this round: %s", error.message)
    else:
        if users is not None:
            held[HeldKind.BUS_USER] = users
    return Survey(held={kind: _only_ids(kind, ids, memory) for kind, ids in held.items()})


def _only_ids(kind: HeldKind, names: frozenset[str], memory: Memory) -> frozenset[str]:
    """Leave out, and tell once, what is named in no way of ours: nobody here made it."""
    strange = sorted(name for name in names if not is_id(name))
    fresh = [name for name in strange if memory.first_time((kind, name))]
    if fresh:
        LOG.warning("Things of kind %s that no instance can own are left alone: %s", kind.value, ", ".join(fresh[:10]))
    return names.difference(strange)
