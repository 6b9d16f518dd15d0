"""`trove-local status`: which services run, and which database servers."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from trove.cloud.local import Processes
from trove.cmd.local import console, fleet, processes, services, settings, statedb
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.services import API, BUS, CONDUCTOR, OBJECTSTORE, taskmanagers
from trove.cmd.local.settings import EMBEDDED
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.status import IDLE_TASKS, shown_status


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """One service. `state` is `up`, `restarting`, `down` or `external`; `since` is when its process began."""

    pid: int | None
    state: str
    rss_mib: float | None
    since: str | None

    def to_json(self) -> dict[str, JSON]:
        """Return the documented form."""
        return {"pid": self.pid, "state": self.state, "rss_mib": self.rss_mib, "since": self.since}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """One instance; pids are None where no process runs."""

    id: str
    name: str
    datastore: str
    status: str
    address: str | None
    port: int | None
    agent_pid: int | None
    server_pid: int | None

    def to_json(self) -> dict[str, JSON]:
        """Return the documented form."""
        return {
            "id": self.id,
            "name": self.name,
            "datastore": self.datastore,
            "status": self.status,
            "address": self.address,
            "port": self.port,
            "agent_pid": self.agent_pid,
            "server_pid": self.server_pid,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole stack."""

    services: dict[str, ServiceReport]
    instances: tuple[InstanceReport, ...]

    @property
    def all_up(self) -> bool:
        """Tell whether no service is missing."""
        return all(service.state in {"up", "external"} for service in self.services.values())

    def to_json(self) -> dict[str, JSON]:
        """Return the documented form."""
        return {
            "services": {name: service.to_json() for name, service in self.services.items()},
            "instances": [instance.to_json() for instance in self.instances],
        }

    def to_text(self) -> str:
        """Return tables for people."""
        rows = [[name, *map(_cell, service.to_json().values())] for name, service in self.services.items()]
        text = console.table(("SERVICE", "PID", "STATE", "RSS MIB", "SINCE"), rows)
        if self.instances:
            header = ("ID", "NAME", "DATASTORE", "STATUS", "ADDRESS", "PORT", "AGENT PID", "SERVER PID")
            text += "\n\n" + console.table(header, [[*map(_cell, one.to_json().values())] for one in self.instances])
        return text


def report(layout: Layout) -> Report:
    """Look at everything now. A state database that does not answer costs the instances only, with a word on stderr."""
    chosen = settings.load(layout)
    external = chosen is not None and chosen.bus != EMBEDDED
    known = {service.name: service for service in services.read_services(layout)}
    deaths = services.read_deaths(layout)
    found: dict[str, ServiceReport] = {}
    for name in (API, *taskmanagers(1 if chosen is None else chosen.task_managers), OBJECTSTORE, CONDUCTOR, BUS):
        identity = services.running(layout, known[name]) if name in known else None
        if identity is not None:
            began = datetime.fromtimestamp(processes.began_at(identity), UTC).isoformat(timespec="seconds")
            found[name] = ServiceReport(pid=identity.pid, state="up", rss_mib=processes.resident_mib(identity), since=began)
        else:
            state = "external" if name == BUS and external else "restarting" if deaths.get(name) else "down"
            found[name] = ServiceReport(pid=None, state=state, rss_mib=None, since=None)
    return Report(services=found, instances=_instances(layout) if chosen is not None else ())


def _instances(layout: Layout) -> tuple[InstanceReport, ...]:
    try:
        rows = statedb.living(layout)
    except StackError as error:
        console.complain(str(error))
        return ()
    found = []
    for row in rows:
        pids = fleet.pids(layout, row.id)
        found.append(
            InstanceReport(
                id=row.id,
                name=row.name,
                datastore=row.datastore_version.datastore_name,
                status=_status(row, pids),
                address=row.addresses[0].address if row.addresses else None,
                port=row.port,
                agent_pid=pids.agent_pid,
                server_pid=pids.server_pid,
            )
        )
    return tuple(found)


def _status(row: Instance, pids: Processes) -> str:
    """Return what the API shows, but SHUTDOWN for an instance at rest that `down` has stopped."""
    stopped = row.task in IDLE_TASKS and pids.agent_pid is None and pids.server_pid is None
    return "SHUTDOWN" if stopped else shown_status(row.task, row.server_status)


def _cell(value: JSON) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
