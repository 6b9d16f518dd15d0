"""Every kind of operation: its flow, and what its end means for the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trove.core.errors import TroveError
from trove.operations.instance import create, delete, restart
from trove.operations.work import Work
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How operations of one kind run and end.

    `flow` makes the TaskFlow flow. `succeed` and `fail` change the rows, in the one transaction that also ends the operation;
    they leave a resource alone that a deletion has taken or that is gone. `cancellable` tells whether its user may cancel it:
    what it began is undone, and no data is lost by that.
    """

    flow: Callable[[Work], Any]
    succeed: Callable[[Tx, Work], None]
    fail: Callable[[Tx, Work, TroveError], None]
    cancellable: bool


KINDS: Mapping[str, Kind] = {
    create.KIND: Kind(flow=create.flow, succeed=create.succeed, fail=create.fail, cancellable=True),
    delete.KIND: Kind(flow=delete.flow, succeed=delete.succeed, fail=delete.fail, cancellable=False),
    restart.KIND: Kind(flow=restart.flow, succeed=restart.succeed, fail=restart.fail, cancellable=True),
}
