"""Tells the conductor how the instance is: at fixed intervals, and at once when something changed."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from trove.bus.contract import CONDUCTOR_TOPIC, Bus
from trove.core.errors import TroveError
from trove.core.json import JSON
from trove.core.status import ServiceStatus
from trove.guestagent.jobs import JobRecord

LOG = logging.getLogger(__name__)

_RETRY_S = 2.0
_NOTED = 32


class Reported(Protocol):
    """Jobs whose state is told."""

    def all(self) -> Sequence[JobRecord]:
        """Return every job that is known, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What one heartbeat says, beside the status. None where nothing is known."""

    agent_version: str
    datastore_version: str | None
    restarts: int
    volume_used_bytes: int | None
    volume_total_bytes: int | None
    replication: Mapping[str, JSON] | None = None


class Heartbeat:
    """Sends heartbeats and reports of jobs from one thread; what could not be sent is sent when the bus is back."""

    def __init__(self, bus: Bus, *, status: Callable[[], ServiceStatus], pulse: Callable[[], Pulse], interval_s: float) -> None:
        self._bus = bus
        self._status = status
        self._pulse = pulse
        self._interval_s = interval_s
        self._jobs: Reported | None = None
        self._due = threading.Event()
        self._stopping = False
        self._noted: deque[ServiceStatus] = deque(maxlen=_NOTED)
        self._roots: deque[str] = deque(maxlen=_NOTED)
        self._failing = False
        self._thread: threading.Thread | None = None

    def start(self, jobs: Reported) -> None:
        """Send the first heartbeat now, and go on."""
        self._jobs = jobs
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """Send nothing more. May run twice."""
        self._stopping = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def poke(self) -> None:
        """Send at once: something changed."""
        self._due.set()

    def note(self, status: ServiceStatus) -> None:
        """Report a status that may be over before it is sent, such as a crash; then the present one."""
        self._noted.append(status)
        self._due.set()

    def root_enabled(self, user: str) -> None:
        """Report that a superuser was let in."""
        self._roots.append(user)
        self._due.set()

    def describe(self) -> Mapping[str, JSON]:
        """Return what a heartbeat would say now."""
        return self._describe(self._status())

    def _beat(self) -> None:
        while not self._stopping:
            self._due.clear()
            sent = self._send_all()
            self._due.wait(self._interval_s if sent else min(_RETRY_S, self._interval_s))

    def _send_all(self) -> bool:
        try:
            while self._noted:
                self._send_status(self._noted[0])
                self._noted.popleft()
            while self._roots:
                self._cast("report_root", {"user": self._roots[0]})
                self._roots.popleft()
            for job in () if self._jobs is None else self._jobs.all():
                self._cast("report_job", job.report(), request_id=job.request_id)
            self._send_status(self._status())
        except TroveError as error:
            if not self._failing:
                LOG.warning("reports do not reach the conductor, they are repeated: %s", error)
            self._failing = True
            return False
        except Exception:
            LOG.exception("a heartbeat broke")
            return False
        if self._failing:
            LOG.info("reports reach the conductor again")
        self._failing = False
        return True

    def _send_status(self, status: ServiceStatus) -> None:
        self._cast("heartbeat", self._describe(status))

    def _describe(self, status: ServiceStatus) -> dict[str, JSON]:
        return {"status": status.value, **asdict(self._pulse())}

    def _cast(self, method: str, args: dict[str, JSON], *, request_id: str | None = None) -> None:
        self._bus.cast(CONDUCTOR_TOPIC, method, args, request_id=request_id)


def quietly(read: Callable[[], int]) -> int | None:
    """Return a figure, None when it cannot be read now."""
    with contextlib.suppress(TroveError, OSError):
        return read()
    return None
