"""Every kind of operation: its flow, and what its end means for the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

from trove.core.accounts import Database, User
from trove.core.callers import Caller
from trove.core.errors import TroveError
from trove.operations.doors import Doors
from trove.operations.instance import create, delete, resize_flavor, resize_volume, restart
from trove.operations.work import Work
from trove.store import instances
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How operations of one kind run and end.

    `flow` makes the TaskFlow flow. `succeed` and `fail` change the rows, in the one transaction that also ends the operation;
    they leave a resource alone that a deletion has taken or that is gone. `cancellable` tells whether its user may cancel it:
    what it began is undone, and no data is lost by that.

    `rehearse` has one such operation accepted, in a world where the instance of the given id is idle, and returns the id of
    the resource that it works on. With it the crash test-kit covers the kind; nothing else calls it.
    """

    flow: Callable[[Work], Any]
    succeed: Callable[[Tx, Work], None]
    fail: Callable[[Tx, Work, TroveError], None]
    cancellable: bool
    rehearse: Callable[[Doors, Caller, str], str]


def _create_another(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept an instance like the given one, with a database and a user, so that there is a secret to be lost."""
    with doors.database.reading() as tx:
        like = instances.get(tx, instance_id)
    wanted = create.CreateInstance(
        name="rehearsal",
        flavor_ref=like.flavor_id,
        volume_size_gib=like.volume.size_gib if like.volume else None,
        datastore_type=like.datastore_version.datastore_name,
        datastore_version=like.datastore_version.id,
        databases=(Database(name="rehearsal"),),
        users=(User(name="rehearsal", password=token_urlsafe(), databases=("rehearsal",)),),
    )
    return create.start(doors, caller, wanted).id


def _delete_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    delete.start(doors, caller, instance_id)
    return instance_id


def _restart_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    restart.start(doors, caller, instance_id)
    return instance_id


def _grow_its_volume(doors: Doors, caller: Caller, instance_id: str) -> str:
    with doors.database.reading() as tx:
        volume = instances.get(tx, instance_id).volume
    resize_volume.start(doors, caller, instance_id, (volume.size_gib if volume else 0) + 1)
    return instance_id


def _change_its_flavor(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the change to the next larger flavor, or from the largest to the one before it."""
    with doors.database.reading() as tx:
        has = instances.get(tx, instance_id).flavor_id
    flavors = [flavor.id for flavor in doors.cloud.flavors()]
    at = flavors.index(has)
    resize_flavor.start(doors, caller, instance_id, flavors[at + 1 if at + 1 < len(flavors) else at - 1])
    return instance_id


KINDS: Mapping[str, Kind] = {
    create.KIND: Kind(flow=create.flow, succeed=create.succeed, fail=create.fail, cancellable=True, rehearse=_create_another),
    delete.KIND: Kind(flow=delete.flow, succeed=delete.succeed, fail=delete.fail, cancellable=False, rehearse=_delete_it),
    resize_flavor.KIND: Kind(
        flow=resize_flavor.flow,
        succeed=resize_flavor.succeed,
        fail=resize_flavor.fail,
        cancellable=True,
        rehearse=_change_its_flavor,
    ),
    resize_volume.KIND: Kind(
        flow=resize_volume.flow,
        succeed=resize_volume.succeed,
        fail=resize_volume.fail,
        cancellable=False,
        rehearse=_grow_its_volume,
    ),
    restart.KIND: Kind(flow=restart.flow, succeed=restart.succeed, fail=restart.fail, cancellable=True, rehearse=_restart_it),
}
