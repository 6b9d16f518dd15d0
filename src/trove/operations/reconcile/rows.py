"""Rows that nothing needs any more."""

from datetime import timedelta

from trove.operations.reconcile.round import Round
from trove.store import leftovers

JOBS_KEPT = timedelta(days=1)


def clear(this: Round) -> None:
    """Remove the state of ended flows, and reports of instances and of operations that are gone."""
    run, limit = this.doors.database.run, this.settings.batch
    this.count("flows forgotten", run(leftovers.remove_workflows, limit=limit))
    this.count("reports forgotten", run(leftovers.remove_reports, limit=limit))
    this.count("jobs forgotten", run(leftovers.remove_jobs, before=this.began - JOBS_KEPT, limit=limit))
