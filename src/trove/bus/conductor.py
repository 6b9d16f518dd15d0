"""What guests report to the conductor: the guest's typed casts, and the conductor's reading of them.

Nothing that a guest writes is believed beyond its own instance: the instance id and the time come from the seal, and a report
that is not exactly of its form is `Refused`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, Bus, Message
from trove.core.errors import Refused
from trove.core.instances import Heartbeat, Job
from trove.core.json import JSON
from trove.core.replication import MAX_PROBLEM, ReplicaState
from trove.core.status import ServiceStatus

HEARTBEAT = "heartbeat"
REPORT_JOB = "report_job"
REPORT_ROOT = "report_root"

JOB_STATES = frozenset({"RUNNING", "DONE", "FAILED"})

_MAX_NAME = 64
_MAX_TEXT = 255
_MAX_ERROR = 8192
_MAX_NUMBER = 2**63 - 1
_MAX_LAG_S = 10.0**9
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class ConductorCaller:
    """The guest's side: casts that raise `Unavailable` when the bus is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Report how the database server is. Instance id and time of `heartbeat` are not sent: the seal carries them."""
        self._bus.cast(
            CONDUCTOR_TOPIC,
            HEARTBEAT,
            {
                "status": str(heartbeat.status),
                "agent_version": heartbeat.agent_version,
                "datastore_version": heartbeat.datastore_version,
                "restarts": heartbeat.restarts,
                "volume_used_bytes": heartbeat.volume_used_bytes,
                "volume_total_bytes": heartbeat.volume_total_bytes,
                "replication": None if heartbeat.replica_state is None else heartbeat.replica_state.to_json(),
            },
        )

    def report_job(self, job: Job, *, result: Mapping[str, JSON] | None = None) -> None:
        """Report how far a named job is. `result` is what it produced, plain JSON, when it is DONE."""
        self._bus.cast(
            CONDUCTOR_TOPIC,
            REPORT_JOB,
            {
                "name": job.name,
                "kind": job.kind,
                "state": job.state,
                "percent": job.percent,
                "step": job.step,
                "error": job.error,
                "result": result,
            },
        )

    def report_root(self, user: str) -> None:
        """Report that the superuser was enabled on the server."""
        self._bus.cast(CONDUCTOR_TOPIC, REPORT_ROOT, {"user": user})


@dataclass(frozen=True, slots=True, kw_only=True)
class RootReport:
    """The superuser `user` of an instance was enabled."""

    instance_id: str
    user: str


Report = Heartbeat | Job | RootReport


def parse(message: Message) -> Report:
    """Read any report of a guest. Raises `Refused` for another method, another sender or a malformed report."""
    readers: Mapping[str, Callable[[Message], Report]] = {
        HEARTBEAT: parse_heartbeat,
        REPORT_JOB: parse_job,
        REPORT_ROOT: parse_root,
    }
    reader = readers.get(message.method)
    if reader is None:
        raise Refused(f"the conductor has no method {message.method[:_MAX_NAME]!r}")
    return reader(message)


def parse_heartbeat(message: Message) -> Heartbeat:
    """Read a heartbeat; raises `Refused`."""
    form = _Form(message)
    try:
        status = ServiceStatus(form.text("status", limit=_MAX_NAME))
    except ValueError:
        raise form.refusal("status") from None
    return Heartbeat(
        instance_id=message.sender,
        sent=message.sent,
        status=status,
        agent_version=form.optional_text("agent_version"),
        datastore_version=form.optional_text("datastore_version"),
        restarts=form.number("restarts"),
        volume_used_bytes=form.optional_number("volume_used_bytes"),
        volume_total_bytes=form.optional_number("volume_total_bytes"),
        replica_state=form.replica_state("replication"),
    )


def parse_job(message: Message) -> Job:
    """Read a job report; raises `Refused`."""
    form = _Form(message)
    state = form.text("state", limit=_MAX_NAME)
    percent = form.number("percent")
    result = message.args.get("result")
    if state not in JOB_STATES:
        raise form.refusal("state")
    if percent > 100:
        raise form.refusal("percent")
    if result is not None and not isinstance(result, Mapping):
        raise form.refusal("result")
    return Job(
        instance_id=message.sender,
        name=form.text("name", limit=_MAX_NAME),
        kind=form.text("kind", limit=_MAX_NAME),
        state=state,
        sent=message.sent,
        percent=percent,
        step=form.optional_text("step") or "",
        error=form.optional_text("error", limit=_MAX_ERROR),
        result=result,
    )


def parse_root(message: Message) -> RootReport:
    """Read a report of the superuser; raises `Refused`."""
    return RootReport(instance_id=message.sender, user=_Form(message).text("user", limit=_MAX_TEXT))


def _is_text(value: object, *, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit and not _CONTROL_CHARACTERS.search(value)


class _Form:
    """Reads the arguments of a guest's report."""

    def __init__(self, message: Message) -> None:
        if message.sender == CONTROL:
            raise Refused(f"{message.method!r} is a guest's report, the control plane sent it")
        self._message = message

    def refusal(self, name: str) -> Refused:
        """Return the error for a field; it does not repeat the value."""
        return Refused(f"{self._message.method!r} of {self._message.sender!r} has a malformed {name!r}")

    def text(self, name: str, *, limit: int = _MAX_TEXT) -> str:
        value = self.optional_text(name, limit=limit)
        if not value:
            raise self.refusal(name)
        return value

    def optional_text(self, name: str, *, limit: int = _MAX_TEXT) -> str | None:
        value = self._message.args.get(name)
        if value is None:
            return None
        if not _is_text(value, limit=limit):
            raise self.refusal(name)
        return str(value)

    def replica_state(self, name: str) -> ReplicaState | None:
        value = self._message.args.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping) or not isinstance(value.get("following"), bool):
            raise self.refusal(name)
        lag_s, problem = value.get("lag_s"), value.get("problem")
        if lag_s is not None and (
            isinstance(lag_s, bool) or not isinstance(lag_s, int | float) or not 0 <= lag_s <= _MAX_LAG_S
        ):
            raise self.refusal(name)
        if problem is not None and not _is_text(problem, limit=MAX_PROBLEM):
            raise self.refusal(name)
        return ReplicaState.from_json(value)

    def number(self, name: str) -> int:
        return self.optional_number(name) or 0

    def optional_number(self, name: str) -> int | None:
        value = self._message.args.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
            raise self.refusal(name)
        return value
