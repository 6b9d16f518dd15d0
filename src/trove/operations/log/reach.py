"""Which logs of which instances a caller reaches, and where their objects are."""

from collections.abc import Mapping
from dataclasses import dataclass

from trove.bus.guest import GuestCaller
from trove.core.callers import Caller
from trove.core.errors import NotFound, NotReady, Unsupported
from trove.core.instances import Instance
from trove.core.logs import AGENT_LOG, LogReport, LogType, home_of
from trove.core.status import shown_status
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.objectstore.contract import ObjectStore
from trove.operations.doors import Doors
from trove.operations.sight import instance_of

GONE = frozenset({"BUILD", "SHUTDOWN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a guest says of a log, and where its objects are. `container` is None while nothing of it was published."""

    report: LogReport
    container: str | None
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """An instance, its guest, and the logs that the caller may see, by name."""

    doors: Doors
    instance: Instance
    guest: GuestCaller
    types: Mapping[str, LogType]

    @property
    def objects(self) -> ObjectStore:
        """Return where the logs of the instance are published."""
        return self.doors.objects.of(self.instance.project_id)

    def home(self, name: str) -> str:
        """Return what the names of a log's objects begin with."""
        return home_of(self.instance.id, self.instance.datastore_version.datastore_name, name)

    def shown(self, report: LogReport) -> Shown:
        """Return a report with where its objects are."""
        container = self.doors.settings.logs.container if report.published else None
        return Shown(report=report, container=container, home=self.home(report.name))

    def need(self, name: str) -> LogType:
        """Return the type of a log. Raises `NotFound` naming those that there are."""
        if name not in self.types:
            raise NotFound(f"Log {name[:100]} was not found; there are {', '.join(self.types) or 'none'}.")
        return self.types[name]


def reach(doors: Doors, caller: Caller, instance_id: str) -> Reach:
    """Return what a caller reaches; system logs are hidden from tenants where operators do not expose them.

    Raises `NotFound`, `Unsupported` for an engine whose logs are not managed, `NotReady` while there is no guest to be asked.
    """
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
    manager = instance.datastore_version.manager
    spec = registry.spec(manager)
    if Facet.LOGS not in spec.facets:
        raise Unsupported(f"Instance {instance.id} runs {spec.title}, whose logs Trove does not manage.")
    shown = shown_status(instance.task, instance.server_status)
    if shown in GONE:
        raise NotReady(f"The logs of instance {instance.id} cannot be seen now: its status is {shown}.")
    exposed = doors.settings.logs.exposed.get(manager, frozenset())
    types = {**spec.logs, AGENT_LOG: LogType.SYS}
    timeout_s = doors.settings.guest_call_timeout_s
    return Reach(
        doors=doors,
        instance=instance,
        guest=GuestCaller(doors.bus, instance.id, timeout_s=timeout_s, request_id=caller.request_id or None),
        types={name: kind for name, kind in types.items() if caller.is_admin or kind is LogType.USER or name in exposed},
    )
