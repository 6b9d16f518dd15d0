"""A whole control plane in memory: real SQLite store, memory cloud and bus, a real conductor, guests that follow a script."""

import configparser
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.backups import read_restore, store_backup
from tests.support.clustered import Clustered
from tests.support.engines import EVERYTHING
from tests.support.replicas import Replicas
from tests.support.state_files import make_state_file, open_state_file
from tests.support.versions import Versions

from trove.bus.contract import CONDUCTOR_TOPIC, GuestCredential, Message, Subscription, guest_topic
from trove.bus.memory import MemoryBus
from trove.cloud.contract import ServerSpec
from trove.cloud.memory import MemoryCloud
from trove.conductor.manager import Manager as Conductor
from trove.core.accounts import Database as NewDatabase
from trove.core.accounts import User
from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import Refused
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.operations import OperationState
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.doors import Doors, Limits, Settings
from trove.operations.instance.create import CreateInstance
from trove.store import datastores, instances, operations
from trove.store.session import Database
from trove.store.vault import Vault
from trove.taskmanager.runner import Runner
from trove.workflow.engine import Probe
from trove.workflow.locks import Locks

PROJECT = "p1"
CALLER = Caller(project_id=PROJECT, user_id="u1", request_id="req-1")
PASSWORD = "s3cr3t-of-a-tenant"


def until(condition: Callable[[], object], *, seconds: float = 60.0, what: str = "the condition") -> None:
    """Wait until `condition` holds; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.01)


def request(**changes: object) -> CreateInstance:
    """Return a request for an instance with a database and a user."""
    values: dict[str, object] = {
        "name": "orders",
        "flavor_ref": "2",
        "volume_size_gib": 2,
        "datastore_type": "mariadb",
        "databases": (NewDatabase(name="shop"),),
        "users": (User(name="ann", password=PASSWORD, databases=("shop",)),),
    }
    return CreateInstance(**{**values, **changes})  # type: ignore[arg-type]


def applied_module(given: Mapping[str, Any], fault: str | None = None) -> dict[str, Any]:
    """Return what a guest answers that has applied a module, or could not for a fault."""
    now = utcnow().isoformat()
    status, message = ("ERROR", fault) if fault else ("OK", "done")
    return {**given, "status": status, "message": message, "created": now, "updated": now, "contents": None}


class RecordedAnnouncer:
    """Remembers what was announced; delivers nothing: tests run what they want."""

    def __init__(self) -> None:
        self.announced: list[str] = []

    def announce(self, operation_id: str) -> None:
        self.announced.append(operation_id)


class MemoryAdmission:
    """Lets guests onto the memory bus, which asks nobody."""

    def __init__(self) -> None:
        self.admitted: set[str] = set()

    def admit(self, instance_id: str) -> GuestCredential:
        self.admitted.add(instance_id)
        return GuestCredential(url=f"memory://{instance_id}:{PASSWORD}@bus")

    def readmit(self, instance_ids: Iterable[str]) -> None:
        self.admitted.update(instance_ids)

    def expel(self, instance_id: str) -> None:
        self.admitted.discard(instance_id)

    def held(self) -> frozenset[str]:
        return frozenset(self.admitted)


@dataclass
class Script:
    """How guests behave. `failing` maps a kind of job to the words it fails with; `silent` kinds are never reported."""

    failing: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    status: str = "healthy"
    restart_required: bool = False
    """Whether some of a configuration, or of TLS, waits for a restart."""
    tls_faults: dict[str, Exception] = field(default_factory=dict)
    """What guests say who do not change their TLS."""


class FakeGuests:
    """Guest agents of all servers that were booted. Jobs are named, and done once for a name."""

    def __init__(self, bus: MemoryBus, script: Script, objects: MemoryObjectStore) -> None:
        self._bus = bus
        self._script = script
        self._objects = objects
        self._served: dict[str, Subscription] = {}
        self._lock = threading.Lock()
        self.done: dict[tuple[str, str], str] = {}
        self.jobs: list[tuple[str, str, Mapping[str, JSON]]] = []
        self.results: dict[tuple[str, str], JSON] = {}
        self.restored: dict[str, list[bytes]] = {}
        self.cancelled: set[tuple[str, str]] = set()
        self.forgotten: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.tls: dict[str, JSON] = {}
        self.replication = Replicas()
        self.clusters = Clustered()
        self.versions = Versions()

    def boot(self, spec: ServerSpec) -> None:
        parser = configparser.RawConfigParser()
        parser.read_string(spec.files["guest_info.conf"].decode())
        assert parser["DEFAULT"]["guest_id"] == spec.instance_id
        self.versions.boot(spec)
        self.replication.boot(spec)
        with self._lock:
            if spec.instance_id not in self._served:
                handler = self._handler(spec.instance_id)
                self._served[spec.instance_id] = self._bus.serve(guest_topic(spec.instance_id), handler, workers=1)

    def beat(self, instance_id: str, status: str | None = None) -> None:
        """Send a heartbeat."""
        body: dict[str, JSON] = {
            "status": status or self._script.status,
            "agent_version": "1",
            "datastore_version": "10.11.6",
            "restarts": 0,
            "volume_used_bytes": 1,
            "volume_total_bytes": 2,
        }
        self._bus.as_principal(instance_id).cast(CONDUCTOR_TOPIC, "heartbeat", body)

    def stop(self) -> None:
        for subscription in self._served.values():
            subscription.stop()

    def _handler(self, instance_id: str) -> Callable[[Message], JSON]:
        def handle(message: Message) -> JSON:
            self.calls.append((instance_id, message.method))
            if message.method == "start_job":
                self._do(instance_id, message.args)
            elif message.method == "forget_jobs":
                names = message.args["names"]
                assert isinstance(names, list)
                self.forgotten += [str(name) for name in names]
            elif message.method == "cancel_job":
                self.cancelled.add((instance_id, str(message.args["name"])))
                return True
            elif message.method == "module_apply":
                return [applied_module(each, self._script.failing.get("module_apply")) for each in message.args["modules"]]
            elif message.method == "ssl_action":
                return self._serve_tls(instance_id, message.args["tls"])
            return None

        return handle

    def _serve_tls(self, instance_id: str, wanted: JSON) -> JSON:
        if instance_id in self._script.tls_faults and wanted != self.tls.get(instance_id):
            raise self._script.tls_faults[instance_id]
        self.tls[instance_id] = wanted
        return {"restart_required": self._script.restart_required}

    def _do(self, instance_id: str, args: Mapping[str, JSON]) -> None:
        name, kind, given = str(args["name"]), str(args["kind"]), args["args"]
        assert isinstance(given, dict)
        if kind in self._script.silent:
            return
        error = self._script.failing.get(kind)
        if (instance_id, name) in self.cancelled:
            self._report(instance_id, name, kind, "FAILED", 0, "Cancelled.")
            return
        if (instance_id, name) not in self.done:
            self.done[instance_id, name] = kind
            self.jobs.append((instance_id, kind, given))
            self._report(instance_id, name, kind, "RUNNING", 40)
            if not error and (told := self.replication.do(instance_id, kind, given)) is not None:
                self.results[instance_id, name] = told
            if not error:
                self.clusters.do(instance_id, kind, given)
            if not error and (told := self.versions.do(instance_id, kind, given)) is not None:
                self.results[instance_id, name] = told
            if kind == "apply_modules":
                self.results[instance_id, name] = {"applied": {each["id"]: each["md5"] for each in given["modules"]}}
            if kind == "configure":
                self.results[instance_id, name] = {"restart_required": self._script.restart_required}
            if kind == "backup" and not error:
                error = self._back_up(instance_id, name, given)
            if isinstance(given.get("restore"), dict):
                self.restored[instance_id] = read_restore(self._objects, given["restore"])
        self._report(instance_id, name, kind, "FAILED" if error else "DONE", 100, error)
        if not error:
            self.beat(instance_id)

    def _back_up(self, instance_id: str, name: str, given: Mapping[str, Any]) -> str | None:
        try:
            self.results[instance_id, name] = store_backup(self._objects, instance_id, given)
        except Refused as refused:
            return refused.message
        return None

    def _report(self, instance_id: str, name: str, kind: str, state: str, percent: int, error: str | None = None) -> None:
        body: dict[str, JSON] = {
            "name": name,
            "kind": kind,
            "state": state,
            "percent": percent,
            "step": "working",
            "error": error,
            "result": self.results.get((instance_id, name)),
        }
        self._bus.as_principal(instance_id).cast(CONDUCTOR_TOPIC, "report_job", body)


@dataclass
class World:
    """Everything in one place."""

    database: Database
    cloud: MemoryCloud
    objects: MemoryObjectStore
    bus: MemoryBus
    admission: MemoryAdmission
    announcer: RecordedAnnouncer
    guests: FakeGuests
    script: Script
    doors: Doors
    lock_dir: Path

    def runner(self, *, doors: Doors | None = None, probe: Probe | None = None, workers: int = 2) -> Runner:
        """Return a fresh runner, as of a task manager that has just started."""
        locks = Locks(f"file://{self.lock_dir}", "tester")
        return Runner(doors or self.doors, locks=locks, owner="tester", workers=workers, probe=probe)


@contextmanager
def world(directory: Path, *, database: type[Database] = Database, settings: Settings | None = None) -> Iterator[World]:
    """Build a world below `directory` and take it down again."""
    vault = Vault([Vault.new_key()])
    make_state_file(directory / "trove.sqlite")
    store = open_state_file(directory / "trove.sqlite", vault=vault, kind=database)
    with store.transaction() as tx:
        datastores.put_datastore(tx, "mariadb")
        version = datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6", image_id="host")
        datastores.put_datastore(tx, "mariadb", version.id)
        datastores.put_datastore(tx, EVERYTHING)
        datastores.put_version(tx, EVERYTHING, "2.0", manager=EVERYTHING, image_id="other")
        everything = datastores.put_version(tx, EVERYTHING, "1.0", manager=EVERYTHING, image_id="host")
        datastores.put_datastore(tx, EVERYTHING, everything.id)
    bus = MemoryBus()
    script = Script()
    objects = MemoryObjectStore()
    guests = FakeGuests(bus, script, objects)
    cloud = MemoryCloud(on_boot=guests.boot)
    guests.replication.cloud = cloud
    admission, announcer = MemoryAdmission(), RecordedAnnouncer()
    doors = Doors(
        database=store,
        cloud=cloud,
        bus=bus,
        admission=admission,
        objects=objects,
        announcer=announcer,
        settings=settings or Settings(limits=Limits(), default_datastore="mariadb"),
    )
    conductor = bus.serve_batches(CONDUCTOR_TOPIC, Conductor(store), max_wait_s=0.002)
    lock_dir = directory / "locks"
    lock_dir.mkdir()
    try:
        yield World(
            database=store,
            cloud=cloud,
            objects=objects,
            bus=bus,
            admission=admission,
            announcer=announcer,
            guests=guests,
            script=script,
            doors=doors,
            lock_dir=lock_dir,
        )
    finally:
        guests.stop()
        conductor.stop()
        bus.close()
        store.close()


def run(here: World, doors: Doors | None = None) -> OperationState:
    """Run all operations that wait, and return how the newest has ended."""
    runner = here.runner(doors=doors)
    with here.database.reading() as tx:
        waiting = operations.unfinished(tx, limit=9)
    for each in reversed(waiting):
        runner.run_now(each.id)
    with here.database.reading() as tx:
        return operations.page(tx, project_id=CALLER.project_id, limit=1).items[0].state


def look(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)
