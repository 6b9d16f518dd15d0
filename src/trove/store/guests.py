"""What guest agents report: heartbeats and the state of their jobs. Written in batches."""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, delete, false, select

from trove.core.clock import utcnow
from trove.core.instances import Heartbeat, Job
from trove.core.status import ServiceStatus
from trove.store.session import Tx
from trove.store.tables import guest_jobs, instances, service_statuses
from trove.store.upserts import upsert

_KNOWN = select(instances.c.id).where(instances.c.id.in_(bindparam("ids", expanding=True)), instances.c.deleted == false())
_JOB = select(guest_jobs).where(guest_jobs.c.instance_id == bindparam("instance"), guest_jobs.c.name == bindparam("job"))
_STATUS = select(service_statuses.c.status).where(service_statuses.c.instance_id == bindparam("instance"))
_FORGET = tuple(delete(table).where(table.c.instance_id == bindparam("instance")) for table in (guest_jobs, service_statuses))
_IDS_AT_ONCE = 1000


def apply_heartbeats(tx: Tx, heartbeats: Sequence[Heartbeat]) -> frozenset[str]:
    """Store reports, each unless a later one (by `sent`) is stored; return the ids that are no live instance. May run twice."""
    latest: dict[str, Heartbeat] = {}
    for heartbeat in heartbeats:
        known = latest.get(heartbeat.instance_id)
        if known is None or heartbeat.sent >= known.sent:
            latest[heartbeat.instance_id] = heartbeat
    live = _live(tx, latest)
    now = utcnow()
    rows = [
        {
            "instance_id": instance_id,
            "status": report.status,
            "status_updated": now,
            "sent": report.sent,
            "heard_at": now,
            "agent_version": report.agent_version,
            "datastore_version": report.datastore_version,
            "restarts": report.restarts,
            "volume_used_bytes": report.volume_used_bytes,
            "volume_total_bytes": report.volume_total_bytes,
            "replica_state": None if report.replica_state is None else json.dumps(report.replica_state.to_json()),
        }
        for instance_id, report in sorted(latest.items())  # always in one order, so that two conductors do not deadlock
        if instance_id in live
    ]
    if rows:
        tx.execute(upsert(tx.dialect, service_statuses, order="sent", since=("status_updated", "status")), rows)
    return frozenset(latest) - live


def apply_jobs(tx: Tx, jobs: Sequence[Job]) -> frozenset[str]:
    """Store states of jobs, each unless a later one (by `sent`) is stored; return ids of no live instance. May run twice."""
    latest: dict[tuple[str, str], Job] = {}
    for job in jobs:
        known = latest.get((job.instance_id, job.name))
        if known is None or job.sent >= known.sent:
            latest[job.instance_id, job.name] = job
    named = frozenset(instance_id for instance_id, _ in latest)
    live = _live(tx, named)
    rows = [
        {
            "instance_id": instance_id,
            "name": name,
            "kind": job.kind,
            "state": job.state,
            "sent": job.sent,
            "percent": job.percent,
            "step": job.step[:255],
            "error": job.error,
            "result": None if job.result is None else json.dumps(job.result),
        }
        for (instance_id, name), job in sorted(latest.items(), key=lambda item: item[0])
        if instance_id in live
    ]
    if rows:
        tx.execute(upsert(tx.dialect, guest_jobs, order="sent"), rows)
    return named - live


def job(tx: Tx, instance_id: str, name: str) -> Job | None:
    """Return the state of a job as last reported; None when nothing was reported."""
    row = tx.execute(_JOB, {"instance": instance_id, "job": name}).mappings().first()
    if row is None:
        return None
    return Job(**{**row, "result": None if row["result"] is None else json.loads(row["result"])})


def service_status(tx: Tx, instance_id: str) -> ServiceStatus:
    """Return what the guest said last about its database server; NEW when it has said nothing yet."""
    found = tx.execute(_STATUS, {"instance": instance_id}).scalar_one_or_none()
    return ServiceStatus.NEW if found is None else ServiceStatus(found)


def forget(tx: Tx, instance_id: str) -> None:
    """Remove everything that the guest of an instance reported. May run twice."""
    for statement in _FORGET:
        tx.execute(statement, {"instance": instance_id})


def _live(tx: Tx, ids: Collection[str]) -> frozenset[str]:
    ordered = sorted(ids)
    chunks = [ordered[start : start + _IDS_AT_ONCE] for start in range(0, len(ordered), _IDS_AT_ONCE)]
    return frozenset(found for chunk in chunks for found in tx.execute(_KNOWN, {"ids": chunk}).scalars())
