"""Replicas that do not follow their sources: their owners see it on them, and operators in the log."""

import logging

from trove.operations.reconcile.round import Round
from trove.store import census

LOG = logging.getLogger(__name__)

TROUBLE = "replica"


def tell(this: Round) -> None:
    """Count the replicas whose guests say that they do not follow, and name each that was seen so in two rounds, once."""
    with this.doors.database.reading() as tx:
        astray = census.astray(tx, limit=this.settings.batch)
    this.count("replicas that do not follow", len(astray))
    for instance_id, state in astray:
        if this.memory.seen_twice((TROUBLE, instance_id)) and this.memory.first_time((TROUBLE, instance_id)):
            LOG.warning("Replica %s does not follow its source: %s", instance_id, state.problem or "it gives no reason")
