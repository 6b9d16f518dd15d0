"""Counts of quotas that differ from what the rows add up to."""

import logging

from trove.operations.reconcile.round import Round
from trove.store import quotas

LOG = logging.getLogger(__name__)

CURSOR = "projects"


def recount(this: Round) -> None:
    """Set the counts of the next projects right. Each is recounted while nobody else can change its counts."""
    with this.doors.database.reading() as tx:
        projects = quotas.projects(tx, limit=this.settings.batch, after=this.memory.cursors.get(CURSOR, ""))
    for project_id in projects:
        if this.stopping.is_set():
            return
        for drift in this.doors.database.run(quotas.recount, project_id):
            LOG.warning(
                "The quota of project %s for %s was counted wrong: in use %d, not %d; reserved %d, not %d. Set right.",
                drift.project_id,
                drift.resource.value,
                drift.true_in_use,
                drift.in_use,
                drift.true_reserved,
                drift.reserved,
            )
            this.count("quotas set right")
        this.memory.cursors[CURSOR] = project_id
    if len(projects) < this.settings.batch:
        this.memory.cursors[CURSOR] = ""
