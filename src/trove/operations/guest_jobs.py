"""Waiting for a named job of a guest agent, whatever is lost on the way: the cast, the report, the agent, or this process."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from trove.bus.guest import GuestCaller
from trove.core.clock import utcnow
from trove.core.errors import CloudError, GuestError, Unavailable
from trove.core.instances import Job
from trove.core.json import JSON
from trove.core.status import SERVING, ServerStatus
from trove.operations.work import Pauses, Work
from trove.store import guests, operations

LOG = logging.getLogger(__name__)

FIRST_POLL_S = 0.005
LONGEST_POLL_S = 0.5
POLL_GROWTH = 1.05
"""Pauses grow to a twentieth of what was waited: quick jobs are seen soon, slow ones cost little."""
RECAST_AFTER = timedelta(seconds=5)
SERVER_CHECK_AFTER = timedelta(seconds=2)
HEALTHY_WITHIN = timedelta(seconds=120)

DONE = "DONE"
FAILED = "FAILED"


def run_job(work: Work, kind: str, args: Mapping[str, JSON], *, waiting_for: str) -> None:
    """Have the guest do a job named after the operation and wait for its end. May run twice: the guest knows the name.

    While the operation is undone the job has a name of its own beside the one that it undoes.

    Raises `GuestError` with the guest's words, `CloudError` with the cloud's when the server broke meanwhile, and what
    `Work.check` raises. The job is cast again while nothing is heard of it.
    """
    job = _await_job(work, kind, args, waiting_for=waiting_for)
    if job.state == FAILED:
        raise GuestError(job.error or f"The guest agent failed at {job.step or kind} without saying why.")


def forget_job(work: Work) -> None:
    """Tell the guest that the end of its job is known, so that it stops repeating it. Losing this does no harm."""
    try:
        _guest(work).forget_jobs([_name(work)])
    except Unavailable:
        LOG.info("The guest of %s will repeat its finished job for a while: the bus is away", work.operation.resource_id)


def await_serving(work: Work, *, waiting_for: str) -> None:
    """Wait until the guest reports that its database server answers."""
    pauses = Pauses(next_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S, factor=POLL_GROWTH)
    until = utcnow() + HEALTHY_WITHIN
    while True:
        with work.doors.database.reading() as tx:
            status = guests.service_status(tx, work.operation.resource_id)
            if status in SERVING:
                return
            work.check(tx, waiting_for=waiting_for, heard=f"the database service is {status.value!r}", until=until)
        work.pause(next(pauses))


def _await_job(work: Work, kind: str, args: Mapping[str, JSON], *, waiting_for: str) -> Job:
    pauses = Pauses(next_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S, factor=POLL_GROWTH)
    heard = "nothing from the guest agent"
    shown: tuple[str, int] | None = None
    cast_at: datetime | None = None
    server_seen = utcnow()
    while True:
        with work.doors.database.reading() as tx:
            job = guests.job(tx, work.operation.resource_id, _name(work))
            if job is None or job.state not in {DONE, FAILED}:
                work.check(tx, waiting_for=waiting_for, heard=heard)
        if job is not None:
            heard = f"{job.step or kind} at {job.percent} %"
            if job.state in {DONE, FAILED}:
                return job
            if (job.step, job.percent) != shown:
                shown = (job.step, job.percent)
                pauses = Pauses(next_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S, factor=POLL_GROWTH)  # more may come soon
                _show(work, job, kind)
        now = utcnow()
        last = max((moment for moment in (cast_at, job.sent if job else None) if moment), default=None)
        if last is None or now - last > RECAST_AFTER:
            _cast(work, kind, args)
            cast_at = now
        if now - server_seen > SERVER_CHECK_AFTER:
            server_seen = now
            _check_server(work)
        work.pause(next(pauses))


def _name(work: Work) -> str:
    return f"{work.operation.id}:undo" if work.pulse.undoing else work.operation.id


def _cast(work: Work, kind: str, args: Mapping[str, JSON]) -> None:
    try:
        _guest(work).start_job(_name(work), kind, args)
    except Unavailable:
        # Perhaps the broker is there, but lost the guest's queue and user when it died.
        with suppress(Unavailable):
            work.doors.admission.admit(work.operation.resource_id)
        raise


def _guest(work: Work) -> GuestCaller:
    return GuestCaller(
        work.doors.bus,
        work.operation.resource_id,
        timeout_s=work.doors.settings.guest_call_timeout_s,
        request_id=work.operation.request_id,
    )


def _show(work: Work, job: Job, kind: str) -> None:
    with work.doors.database.transaction() as tx:
        operations.progress(
            tx, work.fence, step=f"{kind}: {job.step}", percent=min(99, max(work.operation.percent, job.percent))
        )


def _check_server(work: Work) -> None:
    server = work.doors.cloud.find_server(work.operation.resource_id)
    if server is None:
        raise CloudError("The server vanished from the cloud.")
    if server.status is ServerStatus.ERROR:
        raise CloudError(server.fault or "The server broke; the cloud gives no reason.")
