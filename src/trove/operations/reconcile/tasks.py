"""Instances that are busy although nothing works on them: a deletion goes on, anything else has failed."""

import logging

from trove.core.callers import Caller
from trove.core.census import Stranded
from trove.core.errors import NotReady
from trove.core.ids import new_id
from trove.core.status import Task, shown_status
from trove.core.transitions import Event
from trove.operations.booking import book
from trove.operations.doors import Doors
from trove.operations.instance import delete
from trove.operations.reconcile.round import Round
from trove.store import census, instances
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

AUTHOR = "trove-reconciler"


def release(this: Round) -> None:
    """Free stranded instances; what works on one meanwhile is never disturbed."""
    with this.doors.database.reading() as tx:
        stranded = census.stranded(tx, limit=this.settings.batch)
    for seen in stranded:
        if this.stopping.is_set():
            return
        if seen.task is Task.DELETING:
            try:
                operation_id = this.doors.database.run(_delete_again, this.doors, seen)
            except NotReady:
                continue  # its cluster is busy, and frees it or deletes it
            if operation_id is not None:
                LOG.warning("Instance %s was to be deleted, and nothing did it: a new deletion is booked", seen.instance_id)
                this.offer(operation_id)
                this.count("deletions resumed")
        elif this.doors.database.run(_give_up, seen):
            LOG.warning("Instance %s was %s, and nothing worked on it: it has failed", seen.instance_id, seen.task.value)
            this.count("tasks given up")


def _delete_again(tx: Tx, doors: Doors, seen: Stranded) -> str | None:
    if not census.hold_stranded(tx, seen):
        return None
    instance = instances.get(tx, seen.instance_id)
    caller = Caller(project_id=instance.project_id, user_id=AUTHOR, request_id=f"req-{new_id()}")
    instances.apply(tx, instance.id, Event.DELETE_RESUMED)
    return book(tx, caller, instance, delete.KIND, timeout_s=doors.settings.delete_timeout_s).id


def _give_up(tx: Tx, seen: Stranded) -> bool:
    if not census.hold_stranded(tx, seen):
        return False
    instances.apply(tx, seen.instance_id, Event.ABANDONED)
    state = shown_status(seen.task, None)
    fault = f"The instance was left in state {state} with nothing working on it: its last action did not end."
    details = f"Found by the reconciler: task {seen.task.value} without an unfinished operation"
    instances.record_fault(tx, seen.instance_id, fault, details)
    return True
