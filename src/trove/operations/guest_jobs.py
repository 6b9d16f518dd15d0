"""Waiting for a named job of a guest agent, whatever is lost on the way: the cast, the report, the agent, or this process."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from trove.bus.guest import GuestCaller
from trove.core.clock import utcnow
from trove.core.errors import CloudError, GuestError, Unavailable
from trove.core.instances import Job
from trove.core.json import JSON
from trove.core.status import SERVING, ServerStatus
from trove.operations.work import Pauses, Work
from trove.store import guests, operations
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

FIRST_POLL_S = 0.005
LONGEST_POLL_S = 0.5
POLL_GROWTH = 1.05
"""Pauses grow to a twentieth of what was waited: quick jobs are seen soon, slow ones cost little."""
RECAST_AFTER = timedelta(seconds=5)
CAST_AGAIN_AFTER = timedelta(seconds=1)
"""How long after a cast that failed; one of which nothing is heard is repeated after `RECAST_AFTER`."""
SERVER_CHECK_AFTER = timedelta(seconds=2)
LONGEST_SERVER_CHECK = timedelta(seconds=15)
SERVER_CHECK_GROWTH = 1.5
"""The cloud is asked for the server less and less often: each look is a request, and what breaks mostly does so early."""
HEALTHY_WITHIN = timedelta(seconds=120)
STOPPED_WITHIN = timedelta(seconds=30)

DONE = "DONE"
FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Which job of an operation is meant, where there are several.

    `guest` is the instance whose guest does it, None the operation's own; `tag` tells the operation's jobs apart on one guest.
    """

    guest: str | None = None
    tag: str = ""

    def instance_id(self, work: Work) -> str:
        """Return the id of the instance whose guest does it."""
        return self.guest or work.operation.resource_id

    def name(self, work: Work) -> str:
        """Return the name of the job. What undoes has a name of its own beside the one that it undoes."""
        return f"{self.first_name(work)}:undo" if work.pulse.undoing else self.first_name(work)

    def first_name(self, work: Work) -> str:
        """Return the name of the job where nothing is undone."""
        return f"{work.operation.id}:{self.tag}" if self.tag else work.operation.id


ONLY = Errand()
"""The one job that the operation has, done by its own instance's guest."""


def run_job(
    work: Work, kind: str, args: Mapping[str, JSON], *, waiting_for: str, errand: Errand = ONLY, stall_s: float = 0.0
) -> Mapping[str, object]:
    """Have the guest do a job named after the operation and return its result. May run twice: the guest knows the name.

    While the operation is undone the job has a name of its own beside the one that it undoes.

    Raises `GuestError` with the guest's words, or when it tells of no progress for `stall_s` seconds (0: never), `CloudError`
    with the cloud's when the server broke meanwhile, and what `Work.check` raises. The job is cast again while nothing is heard
    of it.
    """
    wait = _Wait(waiting_for=waiting_for, errand=errand, stall_s=stall_s)
    job = _await_job(work, kind, args, wait)
    if job.state == FAILED:
        raise GuestError(job.error or f"The guest agent failed at {job.step or kind} without saying why.")
    return job.result or {}


def cast_job(work: Work, kind: str, args: Mapping[str, JSON], *, errand: Errand) -> None:
    """Have the guest do a job whose end nobody waits for. Losing it does no harm. Raises `Unavailable`."""
    _guest(work, errand).start_job(errand.name(work), kind, args)


def is_done(tx: Tx, work: Work, errand: Errand) -> bool:
    """Tell whether the guest has reported that a job of the operation, not of its undoing, is done."""
    job = guests.job(tx, errand.instance_id(work), errand.first_name(work))
    return job is not None and job.state == DONE


def forget_job(work: Work, errand: Errand = ONLY) -> None:
    """Tell the guest that the end of its job is known, so that it stops repeating it. Losing this does no harm."""
    try:
        _guest(work, errand).forget_jobs([errand.name(work)])
    except Unavailable:
        LOG.info("The guest of %s will repeat its finished job for a while: the bus is away", errand.instance_id(work))


def stop_job(work: Work, errand: Errand = ONLY) -> None:
    """Have the guest stop the job that is being undone, and wait for that a while; a guest that does not answer is let be."""
    name, until = errand.first_name(work), utcnow() + STOPPED_WITHIN
    pauses = Pauses()
    try:
        while not _guest(work, errand).cancel_job(name) and utcnow() < until:
            work.pause(next(pauses))
    except (Unavailable, GuestError) as error:
        LOG.warning("The guest of %s could not be told to stop: %s", errand.instance_id(work), error.message)


def await_serving(work: Work, *, waiting_for: str, guest: str | None = None) -> None:
    """Wait until the guest, of the operation's instance unless another is named, reports that its database server answers."""
    pauses = Pauses(next_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S, factor=POLL_GROWTH)
    until = utcnow() + HEALTHY_WITHIN
    while True:
        with work.doors.database.reading() as tx:
            status = guests.service_status(tx, guest or work.operation.resource_id)
            if status in SERVING:
                return
            work.check(tx, waiting_for=waiting_for, heard=f"the database service is {status.value!r}", until=until)
        work.pause(next(pauses))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    """What is waited for, and how long without a sign of it."""

    waiting_for: str
    errand: Errand
    stall_s: float

    def need_progress(self, since: datetime, heard: str) -> None:
        """Raise `GuestError` when nothing new was heard for too long."""
        waited = (utcnow() - since).total_seconds()
        if 0 < self.stall_s < waited:
            raise GuestError(f"The guest agent told of no progress for {int(waited)} s. Last heard: {heard}.")


def _await_job(work: Work, kind: str, args: Mapping[str, JSON], wait: _Wait) -> Job:
    errand = wait.errand
    pauses = Pauses(next_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S, factor=POLL_GROWTH)
    heard = "nothing from the guest agent"
    shown: tuple[str, int] | None = None
    cast_at: datetime | None = None
    not_before: datetime | None = None
    server_seen = progressed = utcnow()
    look_after = SERVER_CHECK_AFTER
    while True:
        with work.doors.database.reading() as tx:
            job = guests.job(tx, errand.instance_id(work), errand.name(work))
            if job is None or job.state not in {DONE, FAILED}:
                work.check(tx, waiting_for=wait.waiting_for, heard=heard)
        if job is not None:
            heard = f"{job.step or kind} at {job.percent} %"
            if job.state in {DONE, FAILED}:
                return job
            if (job.step, job.percent) != shown:
                shown, progressed = (job.step, job.percent), utcnow()
                pauses = Pauses(next_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S, factor=POLL_GROWTH)  # more may come soon
                _show(work, job, kind)
        wait.need_progress(progressed, heard)
        now = utcnow()
        last = max((moment for moment in (cast_at, job.sent if job else None) if moment), default=None)
        if (last is None or now - last > RECAST_AFTER) and (not_before is None or now > not_before):
            try:
                _cast(work, kind, args, errand)
                cast_at = now
            except Unavailable as error:
                # The bus may have it all the same: its report is waited for meanwhile, or else many casts would pile up.
                heard, not_before = error.message.rstrip("."), now + CAST_AGAIN_AFTER
        if now - server_seen > look_after:
            server_seen, look_after = now, min(look_after * SERVER_CHECK_GROWTH, LONGEST_SERVER_CHECK)
            _check_server(work, errand)
        work.pause(next(pauses))


def _cast(work: Work, kind: str, args: Mapping[str, JSON], errand: Errand) -> None:
    try:
        cast_job(work, kind, args, errand=errand)
    except Unavailable:
        # Perhaps the broker is there, but lost the guest's queue and user when it died.
        with suppress(Unavailable):
            work.doors.admission.admit(errand.instance_id(work))
        raise


def _guest(work: Work, errand: Errand) -> GuestCaller:
    return GuestCaller(
        work.doors.bus,
        errand.instance_id(work),
        timeout_s=work.doors.settings.guest_call_timeout_s,
        request_id=work.operation.request_id,
    )


def _show(work: Work, job: Job, kind: str) -> None:
    with work.doors.database.transaction() as tx:
        operations.progress(
            tx, work.fence, step=f"{kind}: {job.step}", percent=min(99, max(work.operation.percent, job.percent))
        )


def _check_server(work: Work, errand: Errand) -> None:
    server = work.doors.cloud.find_server(errand.instance_id(work))
    if server is None:
        raise CloudError("The server vanished from the cloud.")
    if server.status is ServerStatus.ERROR:
        raise CloudError(server.fault or "The server broke; the cloud gives no reason.")
