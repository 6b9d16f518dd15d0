"""Operations that nobody runs: handed to the runner of this task manager, which knows leases, fences and deadlines."""

import logging
from datetime import timedelta

from trove.core.clock import wire_time
from trove.operations.reconcile.round import Round
from trove.store import census

LOG = logging.getLogger(__name__)


def offer(this: Round) -> None:
    """Offer unfinished operations without a runner. One that is in hand already, or does not fit, is offered again later."""
    before = this.began - timedelta(seconds=this.settings.unowned_after_s)
    with this.doors.database.reading() as tx:
        unowned = census.unowned(tx, before=before, limit=this.settings.batch)
    for seen in unowned:
        if this.offer(seen.operation_id):
            LOG.warning(
                "Operation %s (%s on %s) has had no runner since %s and is taken up",
                seen.operation_id,
                seen.kind,
                seen.resource_id,
                wire_time(seen.since),
            )
            this.count("operations taken up")
