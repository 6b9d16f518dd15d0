"""Which flavors and volume types a datastore version may use: those that were bound to it, or all while none was."""

from collections.abc import Collection, Mapping
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import delete, select

from trove.core import errors
from trove.core.ids import new_id
from trove.store.session import Tx
from trove.store.tables import datastore_version_metadata as bound
from trove.store.tables import datastore_versions


class Offer(StrEnum):
    """What can be bound to a version: flavors by id, volume types by name."""

    FLAVOR = "flavor"
    VOLUME_TYPE = "volume_type"


def of_version(tx: Tx, version_id: str) -> Mapping[Offer, frozenset[str]]:
    """Return what is bound to a version; a kind of which nothing is bound is absent: all of it may be used."""
    found: dict[Offer, set[str]] = {}
    mine = select(bound.c.key, bound.c.value).where(bound.c.datastore_version_id == version_id, bound.c.key.in_(list(Offer)))
    for key, value in tx.execute(mine):
        found.setdefault(Offer(key), set()).add(value)
    return {offer: frozenset(values) for offer, values in found.items()}


def bind(tx: Tx, version_id: str, offer: Offer, values: Collection[str]) -> None:
    """Let a version use `values`, and from the first ones on nothing else of their kind. May run twice. Raises `NotFound`."""
    held = select(datastore_versions.c.id).where(datastore_versions.c.id == version_id).with_for_update()
    if tx.execute(held).first() is None:
        raise errors.NotFound(f"Datastore version {version_id} was not found.")
    missing = sorted(set(values) - of_version(tx, version_id).get(offer, frozenset()))
    rows = [{"id": new_id(), "datastore_version_id": version_id, "key": offer, "value": value} for value in missing]
    if rows:
        tx.execute(sa.insert(bound), rows)


def unbind(tx: Tx, version_id: str, offer: Offer, value: str) -> None:
    """Take one away; without the last one the version may use all again. Raises `NotFound` when it was not bound."""
    mine = (bound.c.datastore_version_id == version_id, bound.c.key == offer, bound.c.value == value)
    if tx.execute(delete(bound).where(*mine)).rowcount == 0:
        raise errors.NotFound(f"{offer.value.replace('_', ' ').capitalize()} {value} is not bound to this datastore version.")
