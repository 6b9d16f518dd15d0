"""What instances serve TLS with: the certificate for whoever looks, and with its key, sealed, for those who serve.

It is kept as long as an instance serves with it, for its replicas that are to come, and once more for a way back.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from sqlalchemy import false, select, update

from trove.core.json import JSON
from trove.core.operations import Fence
from trove.core.tls import Tls
from trove.store import operations
from trove.store.session import Tx
from trove.store.tables import instance_tls, instances
from trove.store.upserts import insert_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a server serves with, and what was named as its origin in the key manager."""

    tls: Tls
    ref: str

    def to_json(self) -> dict[str, JSON]:
        """Return it as what is sealed. Holds the key."""
        return {"tls": self.tls.to_json(), "ref": self.ref}

    @classmethod
    def from_json(cls, data: JSON) -> Self | None:
        """Read what `to_json` made; None for what the server does by itself."""
        if not isinstance(data, Mapping):
            return None
        material = data["tls"]
        assert isinstance(material, Mapping)
        return cls(tls=Tls.from_json(material), ref=str(data["ref"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an instance serves with, None for what its server does by itself; and if `has_way_back`, what it did before."""

    current: Serving | None = None
    has_way_back: bool = False
    previous: Serving | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is told of the TLS of an instance. `certificate` is in PEM."""

    mode: str | None
    certificate: str | None


def shown(tx: Tx, instance_id: str) -> Shown:
    """Return what is told; nothing opens a seal for it."""
    query = (
        select(instances.c.ssl_mode, instance_tls.c.certificate)
        .select_from(instances.outerjoin(instance_tls, instance_tls.c.instance_id == instances.c.id))
        .where(instances.c.id == instance_id, instances.c.deleted == false())
    )
    row = tx.execute(query).first()
    return Shown(mode=None, certificate=None) if row is None else Shown(mode=row[0], certificate=row[1])


def kept(tx: Tx, instance_id: str) -> Kept:
    """Return what is kept of an instance, with keys."""
    sealed = tx.execute(select(instance_tls.c.sealed).where(instance_tls.c.instance_id == instance_id)).scalar_one_or_none()
    if sealed is None:
        return Kept()
    data = json.loads(tx.vault.open(sealed))
    return Kept(
        current=Serving.from_json(data["current"]),
        has_way_back=data["has_way_back"],
        previous=Serving.from_json(data["previous"]),
    )


def refs(tx: Tx, instance_ids: Iterable[str]) -> dict[str, str]:
    """Return, of those of these instances that serve TLS with something, what was named as its origin."""
    query = select(instances.c.id, instances.c.ssl_ref).where(
        instances.c.id.in_(sorted(instance_ids)), instances.c.ssl_mode.is_not(None), instances.c.deleted == false()
    )
    return {row[0]: row[1] for row in tx.execute(query) if row[1]}


def put(tx: Tx, instance_id: str, wanted: Kept, *, fence: Fence | None) -> None:
    """Store what an instance serves with. May run twice. Raises `Fenced`."""
    if fence is not None:
        operations.check(tx, fence)
    current = wanted.current
    data = {
        "current": None if current is None else current.to_json(),
        "has_way_back": wanted.has_way_back,
        "previous": None if wanted.previous is None else wanted.previous.to_json(),
    }
    _have(tx, instance_id)
    values = {
        "certificate": None if current is None else current.tls.certificate,
        "sealed": tx.vault.seal(json.dumps(data).encode()),
    }
    tx.execute(update(instance_tls).where(instance_tls.c.instance_id == instance_id).values(**values))
    told = {
        "ssl_mode": None if current is None else current.tls.mode.value,
        "ssl_ref": None if current is None else current.ref,
    }
    tx.execute(update(instances).where(instances.c.id == instance_id, instances.c.deleted == false()).values(**told))


def prepare(tx: Tx, instance_ids: Iterable[str]) -> None:
    """Have a row of each of these instances, which waits for no restart as far as is known now."""
    for each in sorted(instance_ids):
        _have(tx, each)
        tx.execute(update(instance_tls).where(instance_tls.c.instance_id == each).values(restart_required=False))


def note_restart(tx: Tx, instance_id: str, *, required: bool, fence: Fence) -> None:
    """Store whether what a guest was asked for last waits for a restart. May run twice. Raises `Fenced`."""
    operations.check(tx, fence)
    tx.execute(update(instance_tls).where(instance_tls.c.instance_id == instance_id).values(restart_required=required))


def waiting_for_restart(tx: Tx, instance_ids: Iterable[str]) -> frozenset[str]:
    """Return those of these instances of which `note_restart` was told so last."""
    wanted = (instance_tls.c.instance_id.in_(sorted(instance_ids)), instance_tls.c.restart_required)
    return frozenset(tx.execute(select(instance_tls.c.instance_id).where(*wanted)).scalars())


def _have(tx: Tx, instance_id: str) -> None:
    row = {"instance_id": instance_id, "certificate": None, "sealed": None, "restart_required": False}
    tx.execute(insert_missing(tx.dialect, instance_tls), row)
