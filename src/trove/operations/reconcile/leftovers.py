"""What cloud and bus hold for instances that are no more: removed where the tenant had them deleted, else only recorded."""

import logging
from collections.abc import Mapping

from trove.core.errors import TroveError
from trove.core.orphans import HeldKind
from trove.operations.booking import INSTANCE
from trove.operations.reconcile.removal import deeds, is_needed
from trove.operations.reconcile.round import Round
from trove.store import census, instances, orphans

LOG = logging.getLogger(__name__)

UNKNOWN = "The state database has never had this instance. It may belong to another Trove, or the database is an old copy."
STUCK = "Its instance was deleted, but it cannot be removed: {}"


def compare(this: Round) -> None:
    """Remove leftovers of deleted instances that were seen in two rounds; record what no row explains, and never remove it."""
    everything = frozenset().union(*this.survey.held.values())
    with this.doors.database.reading() as tx:
        ownerless = everything - instances.live_ids(tx)
        deleted = census.deleted_among(tx, ownerless)
    stuck = _remove(this, deleted)
    for kind, held in this.survey.held.items():
        reasons = [(one, UNKNOWN) for one in sorted((held & ownerless) - deleted)]
        reasons += sorted((one, STUCK.format(why)) for (about, one), why in stuck.items() if about is kind)
        _record(this, kind, reasons)


def _remove(this: Round, deleted: frozenset[str]) -> Mapping[tuple[HeldKind, str], str]:
    """Remove what is held for deleted instances; return the reasons where that failed."""
    stuck: dict[tuple[HeldKind, str], str] = {}
    removers = deeds(this.doors.cloud, this.doors.admission, this.doors.names)
    # All are remembered, also those for which there is no time in this round.
    due = [one for one in sorted(deleted) if this.memory.seen_twice(("leftover", one))]
    for instance_id in due[: this.settings.batch]:
        if this.stopping.is_set():
            break
        lock = this.lock(f"{INSTANCE}-{instance_id}")
        if lock is None:
            continue
        with lock:
            for kind, remove in removers.items():
                if instance_id in this.survey.held.get(kind, ()) and not _needed(this, instance_id):
                    try:
                        remove(instance_id)
                    except TroveError as error:
                        LOG.warning("The %s of deleted instance %s is not removed: %s", kind.value, instance_id, error.message)
                        stuck[kind, instance_id] = error.message
                    else:
                        LOG.warning("Removed the %s that was left of deleted instance %s", kind.value, instance_id)
                        this.count("leftovers removed")
    return stuck


def _needed(this: Round, instance_id: str) -> bool:
    with this.doors.database.reading() as tx:
        return is_needed(tx, instance_id)


def _record(this: Round, kind: HeldKind, reasons: list[tuple[str, str]]) -> None:
    """Make the record of a kind what was seen: new ones are told once, those that are gone or adopted vanish from it."""
    with this.doors.database.transaction() as tx:
        fresh = orphans.record(tx, kind, reasons, limit=this.settings.batch)
        seen = {instance_id for instance_id, _ in reasons}
        gone = {orphan.instance_id for orphan in orphans.all(tx, kind=kind)} - seen
        orphans.forget(tx, kind, gone)
    for instance_id in fresh:
        LOG.warning("Orphan: %s of %s. %s", kind.value, instance_id, dict(reasons)[instance_id])
    this.count("orphans found", len(fresh))
    this.count("orphans gone", len(gone))
