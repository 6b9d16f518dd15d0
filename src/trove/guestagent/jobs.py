"""Named, idempotent jobs: long work that survives a restart of the agent and is reported until the control plane has it.

A job is a file below the agent's private directory. It holds the job's arguments (secrets among them) while the job runs, and
only the outcome afterwards. A job found RUNNING when the agent starts is run again: every verb may run twice.
"""

import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trove.core.errors import Cancelled, InvalidInput, TroveError
from trove.core.json import JSON
from trove.core.trail import trail
from trove.datastores.contract import Host
from trove.guestagent.liveness import WANTED

LOG = logging.getLogger(__name__)

RUNNING, DONE, FAILED = "RUNNING", "DONE", "FAILED"
MAX_ATTEMPTS = 5
"""A job during which the agent died this often is given up."""
KEPT = 50
"""Finished jobs that nobody asked to forget; the oldest beyond are dropped."""

CANCELLED = "Cancelled."

_BAD_NAME = "The name of a job is 1 to 128 letters, digits, '.', '_', ':' or '-', and begins with none of these."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

Progress = Callable[[str, int], None]
Work = Callable[[Mapping[str, JSON], Progress], Mapping[str, JSON]]
"""Does a job: gets the arguments and a way to tell (step, percent); returns the result. Runs again after a crash.

Telling raises `Cancelled` once the job is to stop, and so does waiting for a program: what can be stopped tells often.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as it is on disk. `began` orders jobs (seconds since the epoch)."""

    name: str
    kind: str
    state: str
    began: float
    attempts: int = 0
    percent: int = 0
    step: str = ""
    error: str | None = None
    result: Mapping[str, JSON] = field(default_factory=dict)
    args: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    request_id: str | None = None
    cancelled: bool = False

    def report(self) -> dict[str, JSON]:
        """Return what the conductor is told."""
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "percent": self.percent,
            "step": self.step,
            "error": self.error,
            "result": self.result,
        }


class Jobs:
    """Runs jobs one after the other on one thread. `changed` is called after every change of any job."""

    def __init__(self, host: Host, kinds: Mapping[str, Work], *, changed: Callable[[], None]) -> None:
        self._host = host
        self._folder: Path = host.private_dir / "jobs"
        self._kinds = kinds
        self._changed = changed
        self._lock = threading.Lock()
        self._jobs: dict[str, JobRecord] = {}
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        host.make_dir(self._folder)

    def resume(self) -> None:
        """Read the jobs on disk and run again those that had not ended. Call once, before anything else."""
        for torn in self._host.files_in(self._folder, ".*"):  # an agent died while it wrote: the file may hold passwords
            self._host.remove_file(torn)
        for path in self._host.files_in(self._folder, "*.json"):
            record = self._read(path)
            if record is not None:
                self._jobs[record.name] = record
        for record in sorted(self._jobs.values(), key=lambda job: job.began):
            if record.state == RUNNING:
                LOG.info("job %s (%s) is taken up again", record.name, record.kind)
                self._enqueue(record.name)

    def start(self, name: str, kind: str, args: Mapping[str, JSON], *, request_id: str | None = None) -> None:
        """Begin a job; a name that runs or is done is left as it is and reported again, one that failed is tried anew.

        The job is on disk when this returns. Raises `InvalidInput` for a malformed name or an unknown kind.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput(_BAD_NAME)
        if kind not in self._kinds:
            raise InvalidInput(f"There is no job of kind '{kind}'; there are: {', '.join(sorted(self._kinds))}.")
        with self._lock:
            known = self._jobs.get(name)
            new = known is None or (known.state == FAILED and not known.cancelled)
            if new:
                record = JobRecord(
                    name=name, kind=kind, state=RUNNING, began=time.time(), args=dict(args), request_id=request_id
                )
                self._store(record)
        if new:
            self._enqueue(name)
        self._changed()

    def cancel(self, name: str) -> bool:
        """Have a job stop at its next progress, or never begin; return whether it has ended. May run twice.

        Raises `InvalidInput` for a malformed name.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput(_BAD_NAME)
        with self._lock:
            job = self._jobs.get(name)
            if job is None:
                # It may have been cast, and come later.
                job = JobRecord(name=name, kind="", state=FAILED, began=time.time(), error=CANCELLED, cancelled=True)
                self._store(job)
            elif job.state == RUNNING and not job.cancelled:
                self._store(replace(job, cancelled=True))
        return job.state != RUNNING

    def forget(self, names: Sequence[str]) -> None:
        """Drop finished jobs that the control plane has stored; others of these names stay. May run twice."""
        with self._lock:
            for name in names:
                if name in self._jobs and self._jobs[name].state != RUNNING:
                    self._drop(name)

    def all(self) -> tuple[JobRecord, ...]:
        """Return every job that is known, oldest first."""
        with self._lock:
            return tuple(sorted(self._jobs.values(), key=lambda job: job.began))

    def running_kinds(self) -> frozenset[str]:
        """Return the kinds of the jobs that run or wait for their turn."""
        with self._lock:
            return frozenset(job.kind for job in self._jobs.values() if job.state == RUNNING)

    def _enqueue(self, name: str) -> None:
        self._waiting.put(name)
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="jobs", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        while True:
            name = self._waiting.get()
            try:
                self._run(name)
            except Exception:
                LOG.exception("job %s could not be recorded", name)
            self._changed()

    def _run(self, name: str) -> None:
        with self._lock:
            job = replace(self._jobs[name], attempts=self._jobs[name].attempts + 1)
            self._store(job)
        with trail(request_id=job.request_id):
            self._do(job)

    def _do(self, job: JobRecord) -> None:
        if job.attempts > MAX_ATTEMPTS:
            self._finish(job.name, FAILED, error=f"The guest agent died {MAX_ATTEMPTS} times while it did this.")
            return
        if job.cancelled:
            self._finish(job.name, FAILED, error=CANCELLED)
            return
        LOG.info("job %s (%s) begins", job.name, job.kind)
        try:
            WANTED.set(lambda: self._need(job.name))
            result = self._kinds[job.kind](job.args, lambda step, percent: self._progress(job.name, step, percent))
        except TroveError as error:
            LOG.warning("job %s (%s) failed: %s", job.name, job.kind, error)
            self._finish(job.name, FAILED, error=str(error))
        except Exception as error:
            LOG.exception("job %s (%s) broke", job.name, job.kind)
            self._finish(job.name, FAILED, error=f"The guest agent failed: {type(error).__name__}.")
        else:
            LOG.info("job %s (%s) is done", job.name, job.kind)
            self._finish(job.name, DONE, result=result)

    def _need(self, name: str) -> None:
        if self._jobs[name].cancelled:
            raise Cancelled(CANCELLED)

    def _progress(self, name: str, step: str, percent: int) -> None:
        with self._lock:
            self._need(name)
            self._jobs[name] = replace(self._jobs[name], step=step, percent=percent)
        self._changed()

    def _finish(self, name: str, state: str, *, error: str | None = None, result: Mapping[str, JSON] | None = None) -> None:
        with self._lock:
            job = self._jobs[name]
            percent = 100 if state == DONE else job.percent
            self._store(replace(job, state=state, percent=percent, error=error, result=result or {}, args={}))
            finished = sorted((job for job in self._jobs.values() if job.state != RUNNING), key=lambda job: job.began)
            for old in finished[:-KEPT]:
                self._drop(old.name)

    def _store(self, record: JobRecord) -> None:
        content = {name: getattr(record, name) for name in record.__dataclass_fields__}
        self._jobs[record.name] = record
        self._host.write_file(self._path(record.name), json.dumps(content).encode())

    def _drop(self, name: str) -> None:
        del self._jobs[name]
        self._host.remove_file(self._path(name))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, path: Path) -> JobRecord | None:
        try:
            stored: dict[str, Any] = json.loads(self._host.read_file(path) or b"")
            return JobRecord(**stored)
        except (ValueError, TypeError):
            LOG.error("%s is no job: it is left alone", path.name)
            return None
