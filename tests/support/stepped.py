"""A control plane that one thread moves step by step: nothing happens by itself, and time passes only when somebody waits.

The doors are those of `world`; their clients can be told of every call, transaction and message as it is passed, and die there.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.engines import EVERYTHING
from tests.support.notices import PUBLISHER
from tests.support.replicas import Role
from tests.support.state_files import make_state_file, open_state_file
from tests.support.world import (
    CALLER,
    FakeGuests,
    MemoryAdmission,
    RecordedAnnouncer,
    Script,
    request,
)

from trove.bus.contract import CONDUCTOR_TOPIC, Message, guest_topic
from trove.bus.memory import MemoryBus
from trove.cloud.contract import ServerSpec
from trove.cloud.memory import MemoryCloud
from trove.conductor.manager import Manager as Conductor
from trove.core import clock
from trove.core.errors import Unavailable
from trove.core.instances import Access
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.catalogue import KINDS, Kind
from trove.operations.doors import BackupSettings, Doors, Limits, Settings
from trove.operations.instance import create
from trove.operations.work import Interrupted
from trove.store import datastores, instances, operations
from trove.store.session import Database, Tx
from trove.store.vault import Vault
from trove.taskmanager.runner import Runner
from trove.workflow.crash import Point, Reach
from trove.workflow.locks import Lock

BEAT_EVERY = timedelta(seconds=5)
SETTINGS = Settings(
    limits=Limits(max_instances=-1, max_volumes_gib=-1),
    default_datastore="mariadb",
    backups=BackupSettings(timeout_s=30.0),
    build_timeout_s=30.0,
    restart_timeout_s=30.0,
    delete_timeout_s=30.0,
    resize_timeout_s=30.0,
    failover_timeout_s=30.0,
    revert_timeout_s=30.0,
)
ROUNDS = 100
"""More sweeps than any operation may need."""


class Clock:
    """Time that passes when told to, and by a microsecond whenever somebody looks, so that no two moments are equal."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class WatchedDatabase(Database):
    """The real store, whose users tell of each transaction before it begins and after its commit: `reach_of` a thread."""

    commits = 0

    def __init__(self, url: str, *, vault: Vault) -> None:
        super().__init__(url, vault=vault)
        self.reach_of: dict[int, Reach] = {}

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        reach = self.reach_of.get(threading.get_ident(), unseen)
        reach(Point("transaction", "before"))
        with super().transaction() as tx:
            yield tx
        self.commits += 1
        reach(Point("transaction", "after"))


class Watched:
    """Any door, whose user tells of each call before and after it."""

    def __init__(self, door: Any, name: str, reach: Reach) -> None:
        self._door = door
        self._name = name
        self._reach = reach

    def of(self, *args: Any) -> "Watched":
        """Return a narrower door that is watched, too."""
        return Watched(self._door.of(*args), self._name, self._reach)

    def __getattr__(self, verb: str) -> Any:
        called = getattr(self._door, verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._reach(Point(f"{self._name}.{verb}", "before"))
            result = called(*args, **kwargs)
            self._reach(Point(f"{self._name}.{verb}", "after"))
            return result

        return call


class MemoryLocks:
    """Locks of all task managers of a world. The death of a holder frees its locks."""

    def __init__(self) -> None:
        self.held: dict[str, object] = {}

    def try_lock(self, name: str) -> Lock | None:
        if name in self.held:
            return None
        token = self.held[name] = object()
        return Lock(name, lambda: self._release(name, token))

    def break_lock(self, name: str, abandoned: Callable[[], bool]) -> bool:
        if not abandoned():
            return False
        self.held.pop(name, None)
        return True

    def close(self) -> None:
        pass

    def _release(self, name: str, token: object) -> None:
        if self.held.get(name) is token:
            del self.held[name]


class Patience:
    """Stands for the `stopping` of a runner: whoever waits on it lets `pass_time` happen instead of sleeping."""

    def __init__(self, pass_time: Callable[[float], None]) -> None:
        self._pass_time = pass_time
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._pass_time(timeout or 0.0)
        return self._set


class SteppedBus(MemoryBus):
    """Keeps casts until they are delivered one by one. Calls to guests are answered at once."""

    handlers: dict[str, Callable[[Message], Any]]

    def __init__(self) -> None:
        super().__init__()
        self.handlers = {}
        self.order: deque[tuple[str, Message]] = deque()
        self.sent = 0

    def as_principal(self, principal: str) -> "SteppedBus":
        return _Speaking(self, principal)  # type: ignore[return-value]

    def cast(self, topic: str, method: str, args: Mapping[str, Any], *, request_id: str | None = None) -> None:
        self.put(topic, self._message(topic, method, args, request_id))

    def put(self, topic: str, message: Message) -> None:
        self.order.append((topic, message))
        self.sent += 1

    def call(self, topic: str, method: str, args: Mapping[str, Any], *, timeout_s: float, request_id: str | None = None) -> Any:
        return self.handlers[topic](self._message(topic, method, args, request_id))


class _Speaking(MemoryBus):
    def __init__(self, bus: SteppedBus, principal: str) -> None:
        super().__init__(principal=principal)
        self._shared = bus

    def cast(self, topic: str, method: str, args: Mapping[str, Any], *, request_id: str | None = None) -> None:
        self._shared.put(topic, self._message(topic, method, args, request_id))


class SteppedGuests(FakeGuests):
    """Guests that act when a message is delivered. Each lives as long as its server."""

    def __init__(self, bus: SteppedBus, script: Script, objects: MemoryObjectStore) -> None:
        super().__init__(bus, script, objects)
        self._stepped = bus

    def boot(self, spec: ServerSpec) -> None:
        self.versions.boot(spec)
        self.replication.boot(spec)
        self._stepped.handlers[guest_topic(spec.instance_id)] = self._handler(spec.instance_id)

    def serving(self) -> list[str]:
        """Return the instances whose database servers were set up."""
        return list(dict.fromkeys(each for (each, _), kind in self.done.items() if kind not in self._script.failing))


@dataclass
class Snapshot:
    """How a world stood."""

    rows: sqlite3.Connection
    now: datetime
    volumes: dict[str, Any]
    ports: dict[str, Any]
    servers: dict[str, Any]
    specs: dict[str, ServerSpec]
    next_address: int
    admitted: set[str]
    objects: dict[tuple[str, str], Any]
    sealed: set[tuple[str, str]]
    done: dict[tuple[str, str], str]
    roles: dict[str, Role]
    received: dict[str, int]
    accesses: dict[str, Access | None]
    names: dict[str, tuple[str, ...]]
    known: dict[str, frozenset[str]]
    settled: set[str]
    founders: dict[str, str]
    data_versions: dict[str, str]
    tls: dict[str, Any]


@dataclass
class SteppedWorld:
    """Everything in one place. `store` is that of the API and the conductor, `mortal_store` that of task managers.

    Instances get names in DNS after `give_names`.
    """

    store: WatchedDatabase
    mortal_store: WatchedDatabase
    path: Path
    clock: Clock
    settings: Settings = SETTINGS
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    cloud: MemoryCloud = field(init=False)
    bus: SteppedBus = field(init=False)
    guests: SteppedGuests = field(init=False)
    script: Script = field(init=False)
    admission: MemoryAdmission = field(init=False)
    objects: MemoryObjectStore = field(init=False)
    announcer: RecordedAnnouncer = field(init=False)
    locks: MemoryLocks = field(init=False)
    doors: Doors = field(init=False)
    runners: int = 0
    named: bool = False
    _conductor: Conductor = field(init=False)
    _beaten: datetime = field(init=False)
    _delivered: tuple[str, Message] | None = None

    def __post_init__(self) -> None:
        self._furnish()

    def give_names(self) -> None:
        """From now on instances get names in DNS."""
        self.named = True
        self.doors = replace(self.doors, names=self.cloud)

    def snapshot(self) -> Snapshot:
        rows = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(self.path) as live:
            live.backup(rows)
        live.close()
        cloud = self.cloud
        return Snapshot(
            rows=rows,
            now=self.clock.now,
            volumes=dict(cloud._volumes),
            ports=dict(cloud._ports),
            servers=dict(cloud._servers),
            specs=dict(cloud.specs),
            next_address=cloud._next_address,
            admitted=set(self.admission.admitted),
            objects=dict(self.objects._objects),
            sealed=set(self.objects._sealed),
            done=dict(self.guests.done),
            roles=dict(self.guests.replication.roles),
            received=dict(self.guests.replication.received),
            accesses=dict(cloud.accesses),
            names=dict(cloud.names),
            known=dict(self.guests.clusters.known),
            settled=set(self.guests.clusters.settled),
            founders=dict(self.guests.clusters.founders),
            data_versions=dict(self.guests.versions.data),
            tls=dict(self.guests.tls),
        )

    def restore(self, was: Snapshot) -> None:
        """Let everything stand as it did, with doors that are as new."""
        live = sqlite3.connect(self.path, isolation_level=None)
        live.execute("PRAGMA synchronous=OFF")
        was.rows.backup(live)
        live.close()
        self.clock.now = was.now
        self._furnish()
        self.cloud._volumes.update(was.volumes)
        self.cloud._ports.update(was.ports)
        self.cloud._servers.update(was.servers)
        self.cloud.specs.update(was.specs)
        self.cloud._next_address = was.next_address
        self.admission.admitted.update(was.admitted)
        self.objects._objects.update(was.objects)
        self.objects._sealed.update(was.sealed)
        for spec in was.specs.values():
            self.guests.boot(spec)
        self.guests.done.update(was.done)
        self.guests.tls.update(was.tls)
        self.guests.versions.data.update(was.data_versions)
        self.guests.replication.roles.update(was.roles)
        self.guests.replication.received.update(was.received)
        self.cloud.accesses.update(was.accesses)
        self.cloud.names.update(was.names)
        self.guests.clusters.known.update(was.known)
        self.guests.clusters.settled.update(was.settled)
        self.guests.clusters.founders.update(was.founders)

    def runner(self, reach: Reach) -> Runner:
        """Return the runner of a task manager that has just started."""
        self.runners += 1
        doors = replace(
            self.doors,
            database=self.mortal_store,
            cloud=Watched(self.cloud, "cloud", reach),
            names=Watched(self.cloud, "cloud", reach) if self.named else None,
            bus=Watched(self.bus, "bus", reach),
            admission=Watched(self.admission, "admission", reach),
            objects=Watched(self.objects, "objects", reach),
        )

        def probe(task: str, moment: str) -> None:
            reach(Point(task, moment))

        made = Runner(
            doors,
            locks=self.locks,  # type: ignore[arg-type]
            owner=f"tester-{self.runners}",
            workers=1,
            kinds=self.kinds,
            probe=probe,
        )
        made._stopping = Patience(lambda seconds: self.wait(seconds, reach))  # type: ignore[assignment]
        return made

    def run_until_quiet(self, reach: Reach) -> None:
        """Be a task manager that sweeps until all operations have ended; deliver what is still on its way."""
        self.mortal_store.reach_of[threading.get_ident()] = reach
        try:
            runner = self.runner(reach)
            for _ in range(ROUNDS):
                with self.store.reading() as tx:
                    waiting = operations.unfinished(tx, limit=1)
                if not waiting:
                    break
                try:
                    if runner.run_now(waiting[0].id):
                        continue
                except (Unavailable, Interrupted):
                    pass
                self.wait(1.0, reach)
            else:
                raise AssertionError(f"still unfinished after {ROUNDS} sweeps: {waiting}")
        finally:
            del self.mortal_store.reach_of[threading.get_ident()]
        while self.bus.order:
            self.deliver(unseen)

    def wait(self, seconds: float, reach: Reach) -> None:
        """Let one message arrive; when there is none, time passes: a second at least."""
        if self.bus.order:
            self.deliver(reach)
            return
        self.clock.advance(max(seconds, 1.0))
        if self.clock.now - self._beaten > BEAT_EVERY:
            self._beaten = self.clock.now
            for instance_id in self.guests.serving():
                if self._reachable(instance_id):
                    self.guests.beat(instance_id)

    def deliver(self, reach: Reach) -> None:
        """Hand the oldest message over. It leaves the queue when it was handled."""
        topic, message = self.bus.order[0]
        point = Point(f"message {message.method}", "before")
        reach(point)
        if not self.bus.order or self.bus.order[0][1] is not message:
            return  # it was lost
        self._hand_over(topic, message)
        self._delivered = self.bus.order.popleft()
        reach(replace(point, moment="after"))

    def lose_message(self) -> None:
        """Lose the message that is about to be delivered."""
        self.bus.order.popleft()

    def repeat_message(self) -> None:
        """Deliver once more what was delivered last: its consumer died before it could acknowledge it."""
        assert self._delivered is not None
        self._hand_over(*self._delivered)

    def traces(self) -> object:
        """Tell what has happened so far, in numbers where those do."""
        cloud = self.cloud
        left = dict(cloud._servers), dict(cloud._volumes), dict(cloud._ports), dict(cloud.names)
        messages = self.bus.sent, len(self.bus.order), len(self.guests.jobs)
        held = frozenset(self.admission.admitted), len(self.objects._objects), len(self.objects._sealed)
        return self.store.commits, self.mortal_store.commits, messages, left, held

    def _hand_over(self, topic: str, message: Message) -> None:
        if topic == CONDUCTOR_TOPIC:
            self._conductor([message])
        elif self._reachable(instance_id := topic.removeprefix("guestagent.")):
            if topic not in self.bus.handlers:
                # Its cloud said that it failed, but the server was made all the same.
                self.guests.boot(self.cloud.specs[instance_id])
            self.bus.handlers[topic](message)

    def _reachable(self, instance_id: str) -> bool:
        return instance_id in self.cloud._servers and instance_id in self.admission.admitted

    def _furnish(self) -> None:
        self.script = Script()
        self.bus = SteppedBus()
        self.objects = MemoryObjectStore()
        self.guests = SteppedGuests(self.bus, self.script, self.objects)
        self.cloud = MemoryCloud(on_boot=self.guests.boot)
        self.guests.replication.cloud = self.cloud
        self.admission, self.announcer = MemoryAdmission(), RecordedAnnouncer()
        self.locks = MemoryLocks()
        self._conductor = Conductor(self.store)
        self._beaten = self.clock.now
        self.doors = Doors(
            database=self.store,
            cloud=self.cloud,
            names=self.cloud if self.named else None,
            bus=self.bus,
            admission=self.admission,
            objects=self.objects,
            announcer=self.announcer,
            settings=self.settings,
        )


@contextmanager
def stepped_world(directory: Path) -> Iterator[SteppedWorld]:
    """Build a world below `directory` and take it down again."""
    path = directory / "trove.sqlite"
    vault = Vault([Vault.new_key()])
    make_state_file(path)
    store, mortal_store = (open_state_file(path, vault=vault, kind=WatchedDatabase) for _ in range(2))
    for each in (store, mortal_store):
        each.publisher = PUBLISHER
    time = Clock()
    try:
        with clock.told_by(time):
            with store.transaction() as tx:
                datastores.put_datastore(tx, "mariadb")
                version = datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6", image_id="host")
                datastores.put_datastore(tx, "mariadb", version.id)
                datastores.put_datastore(tx, EVERYTHING)
                datastores.put_version(tx, EVERYTHING, "2.0", manager=EVERYTHING, image_id="other")
                everything = datastores.put_version(tx, EVERYTHING, "1.0", manager=EVERYTHING, image_id="host")
                datastores.put_datastore(tx, EVERYTHING, everything.id)
            yield SteppedWorld(store=store, mortal_store=mortal_store, path=path, clock=time)
    finally:
        store.close()
        mortal_store.close()


def idle_instance(here: SteppedWorld) -> str:
    """Build an instance and let it come to rest; return its id."""
    instance_id = create.start(here.doors, CALLER, request(name="idle", datastore_type=EVERYTHING)).id
    here.run_until_quiet(unseen)
    with here.store.reading() as tx:
        assert instances.get(tx, instance_id).guest.status == "healthy"
    return instance_id


def unseen(_point: Point) -> None:
    """Pass a point that nobody watches."""
