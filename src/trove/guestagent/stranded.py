"""An agent whose machine cannot be made ready: it says so, and does nothing else, so that no data come to a wrong place."""

import logging
from collections.abc import Mapping
from typing import NoReturn

from trove.bus.contract import Bus, Message, guest_topic
from trove.core.clock import utcnow
from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.core.status import ServiceStatus
from trove.guestagent import arguments
from trove.guestagent.heartbeat import Heartbeat, Pulse
from trove.guestagent.jobs import FAILED, JobRecord

LOG = logging.getLogger(__name__)

_WORKERS = 2
_KEPT = 50


class StrandedAgent:
    """Answers everything with `reason`: calls with an error, jobs with their failure, heartbeats with the status FAILED."""

    def __init__(self, instance_id: str, bus: Bus, *, reason: str, version: str, report_interval_s: float) -> None:
        self._instance_id = instance_id
        self._bus = bus
        self._reason = reason
        self._jobs: dict[str, JobRecord] = {}
        self._version = version
        self._heartbeat = Heartbeat(bus, status=lambda: ServiceStatus.FAILED, pulse=self._pulse, interval_s=report_interval_s)

    def start(self) -> None:
        """Serve and beat."""
        LOG.error("the machine is not ready: %s", self._reason)
        self._bus.serve(guest_topic(self._instance_id), self._handle, workers=_WORKERS)
        self._heartbeat.start(self)

    def stop(self) -> None:
        """Beat no more. May run twice."""
        self._heartbeat.stop()

    def all(self) -> tuple[JobRecord, ...]:
        """Return the jobs that were asked for, all of which failed."""
        return tuple(self._jobs.values())

    def _pulse(self) -> Pulse:
        return Pulse(
            agent_version=self._version, datastore_version=None, restarts=0, volume_used_bytes=None, volume_total_bytes=None
        )

    def _handle(self, message: Message) -> JSON:
        if message.method == "rpc_ping":
            return True
        if message.method == "get_status":
            return dict(self._heartbeat.describe())
        if message.method == "start_job":
            self._fail(message.args, message.request_id)
            return None
        if message.method == "forget_jobs":
            for name in arguments.texts(message.args, "names"):
                self._jobs.pop(name, None)
            return None
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise GuestError(self._reason)

    def _fail(self, args: Mapping[str, JSON], request_id: str | None) -> None:
        """Report the job as failed. It is not on disk: an agent that can do it does it when it is asked again."""
        name, kind = arguments.text(args, "name"), arguments.text(args, "kind")
        self._jobs[name] = JobRecord(
            name=name, kind=kind, state=FAILED, began=utcnow().timestamp(), error=self._reason, request_id=request_id
        )
        for old in tuple(self._jobs)[:-_KEPT]:
            del self._jobs[old]
        self._heartbeat.poke()
