"""Removing what is held for an instance that is gone: always the server before its volume, and its name before its port."""

from collections.abc import Callable, Mapping

from trove.bus.contract import Admission
from trove.cloud.contract import Cloud, Names
from trove.core.orphans import HeldKind
from trove.store import census, operations
from trove.store.session import Tx


def deeds(cloud: Cloud, admission: Admission, names: Names | None) -> Mapping[HeldKind, Callable[[str], None]]:
    """Return what removes each kind that there is, in the order in which they must be removed. Each may run twice."""
    return {
        HeldKind.SERVER: cloud.delete_server,
        HeldKind.VOLUME: cloud.delete_volume,
        **({} if names is None else {HeldKind.NAME: names.delete_name}),
        HeldKind.PORT: cloud.delete_port,
        HeldKind.BUS_USER: admission.expel,
    }


def is_needed(tx: Tx, instance_id: str) -> bool:
    """Tell whether an instance lives, or an operation on it is unfinished: then nothing of it may be removed."""
    return bool(census.live_among(tx, [instance_id]) or operations.unfinished(tx, limit=1, resource_id=instance_id))
