"""Backups of every engine that has them, on its real server: what was there comes back, and nothing damaged ever does."""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.conformance.engine.test_agent import staged
from tests.support.engines import EVERYTHING
from tests.support.guests import Machine, Worker, machine, wait_for
from tests.support.valkey import ValkeyServer, valkey_server

from trove.core.accounts import Database, User
from trove.core.clock import utcnow
from trove.core.errors import GuestError, Refused
from trove.core.ids import new_id
from trove.core.manifests import Manifest, manifest_name
from trove.core.status import ServiceStatus
from trove.core.tickets import Verb
from trove.datastores import registry
from trove.datastores.contract import ConfigInputs, Facet, Spec
from trove.guestagent.host import SandboxKind
from trove.objectstore.contract import ObjectInfo
from trove.objectstore.endpoint import Endpoint
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import Signer

CONTAINER = "database_backups"
SEGMENT = 64 * 1024
REAL = [each for each in registry.managers() if each != EVERYTHING and Facet.BACKUPS in registry.spec(each).facets]


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        server.folder.chmod(0o711)
        yield server


@pytest.fixture(params=REAL)
def spec(request: pytest.FixtureRequest) -> Spec:
    return registry.spec(request.param)


class HeldStore(FileObjectStore):
    """A file store whose n-th put waits until it is let go."""

    hold_at = 0
    puts = 0

    def __init__(self, root: Path, signer: Signer) -> None:
        super().__init__(root, signer)
        self.held, self.free = threading.Event(), threading.Event()

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        self.puts += 1
        if self.puts == self.hold_at:
            self.held.set()
            assert self.free.wait(60)
        return super().put(container, name, chunks, metadata=metadata)


class Store:
    """A file store behind its real endpoint."""

    def __init__(self, store: HeldStore) -> None:
        self.objects = store

    def hold_at(self, put: int) -> None:
        self.objects.hold_at = put

    def is_held(self) -> bool:
        return self.objects.held.is_set()

    def let_go(self) -> None:
        self.objects.free.set()

    def holds(self, name: str) -> bool:
        return name in {info.name for info in self.objects.list(CONTAINER)}

    def ticket(self, backup_id: str, verb: Verb) -> dict[str, Any]:
        expires = utcnow() + timedelta(minutes=10)
        return dict(self.objects.ticket(CONTAINER, f"{backup_id}/", verb, expires=expires).to_json())

    def job(self, spec: Spec, parent: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments of a job `backup`."""
        backup_id = new_id()
        return {
            "backup_id": backup_id,
            "project_id": "p",
            "manager": spec.manager,
            "datastore": spec.manager,
            "datastore_version": spec.usable_versions[0],
            "segment_bytes": SEGMENT,
            "parent": parent,
            "ticket": self.ticket(backup_id, Verb.PUT),
        }

    def as_parent(self, backup_id: str) -> dict[str, Any]:
        content = b"".join(self.objects.get(CONTAINER, manifest_name(backup_id)))
        info = self.objects.info(CONTAINER, manifest_name(backup_id))
        positions = dict(Manifest.from_bytes(content).positions)
        return {"container": CONTAINER, "name": info.name, "digest": info.digest, "positions": positions}

    def chain(self, *backup_ids: str) -> dict[str, Any]:
        """Return what a job `prepare` is told to restore."""
        return {
            "chain": [
                {
                    "manifest": manifest_name(each),
                    "digest": self.objects.info(CONTAINER, manifest_name(each)).digest,
                    "ticket": self.ticket(each, Verb.GET),
                }
                for each in backup_ids
            ]
        }


@contextmanager
def serving(root: Path) -> Iterator[Store]:
    signer = Signer(secrets.token_bytes(32), "http://placeholder")
    store = HeldStore(root, signer)
    with Endpoint(("127.0.0.1", 0), store, signer) as endpoint:
        signer._endpoint = f"http://127.0.0.1:{endpoint.server_address[1]}"
        thread = threading.Thread(target=endpoint.serve_forever, daemon=True)
        thread.start()
        try:
            yield Store(store)
        finally:
            endpoint.shutdown()
            thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with serving(tmp_path / "objects") as made:
        yield made


@pytest.fixture
def another(spec: Spec, sandbox: SandboxKind, machines: Path, templates: Callable[[str], Path]) -> Iterator[Worker]:
    """A second, empty machine."""
    with machine(machines, spec.manager, templates(spec.manager), sandbox) as made:
        yield made.worker()


def config_of(spec: Spec, there: Machine) -> str:
    return spec.render_config(ConfigInputs(instance_id=there.instance_id, version=spec.usable_versions[0], ram_mib=512))


def fill(worker: Worker, number: int) -> None:
    worker.call("driver.create_databases", [Database(name=f"shop{number}")])
    worker.call("driver.create_users", [User(name=f"ann{number}", password="pass-word-1A", databases=(f"shop{number}",))])


def content(worker: Worker) -> tuple[list[str], list[str]]:
    databases = [each.name for each in worker.call("driver.list_databases", limit=100, marker=None).items]
    users = [each.name for each in worker.call("driver.list_users", limit=100, marker=None).items]
    return databases, users


def test_what_was_there_comes_back_in_another_instance(
    spec: Spec, guest: Machine, worker: Worker, another: Worker, store: Store
) -> None:
    config = config_of(spec, guest)
    worker.call("prepare", config)
    fill(worker, 1)
    full = store.job(spec)
    result = worker.call("back_up", full)
    assert result["checksum"] == store.objects.info(CONTAINER, manifest_name(full["backup_id"])).digest
    assert result["data_bytes"] > result["stored_bytes"] > 2 * SEGMENT
    fill(worker, 2)
    leaf = store.job(spec, store.as_parent(full["backup_id"]))
    assert worker.call("back_up", leaf)["stored_bytes"] < result["stored_bytes"]
    fill(worker, 3)
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY
    another.call("restore", store.chain(full["backup_id"], leaf["backup_id"]))
    another.call("prepare", config)
    assert content(another) == (["shop1", "shop2"], ["ann1", "ann2"])
    # Again, as after the death of the agent: what is there is left alone.
    another.call("restore", store.chain(full["backup_id"], leaf["backup_id"]))
    assert another.call("driver.probe") is ServiceStatus.HEALTHY
    fill(another, 4)
    assert content(worker)[0] == ["shop1", "shop2", "shop3"]


@pytest.mark.parametrize("damage", ["altered", "missing", "cut short", "manifest"])
def test_nothing_damaged_becomes_a_data_directory(
    spec: Spec, guest: Machine, worker: Worker, another: Worker, store: Store, damage: str
) -> None:
    worker.call("prepare", config_of(spec, guest))
    job = store.job(spec)
    worker.call("back_up", job)
    chain = store.chain(job["backup_id"])
    names = [info.name for info in store.objects.list(CONTAINER)]
    victim = manifest_name(job["backup_id"]) if damage == "manifest" else sorted(names)[-2]
    good = b"".join(store.objects.get(CONTAINER, victim))
    if damage == "missing":
        store.objects.delete(CONTAINER, victim)
    else:
        bad = good[:-1] if damage == "cut short" else bytes([good[0] ^ 1]) + good[1:]
        store.objects.put(CONTAINER, victim, [bad])
    with pytest.raises(GuestError, match="backup"):
        another.call("restore", chain)
    assert not another.call("driver._holds_data")
    assert another.call("host.server_pid") is None
    store.objects.put(CONTAINER, victim, [good])
    another.call("restore", chain)
    assert another.call("driver._holds_data")


def test_a_ticket_that_is_not_taken_fails_the_backup_and_leaves_the_server_alone(
    spec: Spec, guest: Machine, worker: Worker, store: Store
) -> None:
    worker.call("prepare", config_of(spec, guest))
    job = store.job(spec)
    job["ticket"] = {**job["ticket"], "query": job["ticket"]["query"][:-4] + "0000"}
    with pytest.raises(Refused, match="ticket"):
        worker.call("back_up", job)
    assert store.objects.list(CONTAINER) == []
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY


def test_nothing_of_a_backup_is_left_on_the_volume(spec: Spec, guest: Machine, worker: Worker, store: Store) -> None:
    worker.call("prepare", config_of(spec, guest))
    before = sorted(path.name for path in guest.settings.data_dir.iterdir())
    worker.call("back_up", store.job(spec))
    assert sorted(path.name for path in guest.settings.data_dir.iterdir()) == before


@pytest.mark.parametrize("spec", ["mariadb"], indirect=True)
def test_a_backup_under_writes_is_of_one_moment(
    guest: Machine, worker: Worker, machines: Path, templates: Callable[[str], Path], store: Store, spec: Spec
) -> None:
    config = config_of(spec, guest)
    worker.call("prepare", config)
    fill(worker, 1)
    ended, written = threading.Event(), [0]

    def write() -> None:
        with connect(guest) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE a (n INT PRIMARY KEY) ENGINE=InnoDB")
            cursor.execute("CREATE TABLE b (n INT PRIMARY KEY) ENGINE=InnoDB")
            while not ended.is_set():
                cursor.execute("BEGIN")
                for table in ("a", "b"):
                    cursor.execute(f"INSERT INTO {table} VALUES ({written[0]})")
                cursor.execute("COMMIT")
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for(lambda: written[0] > 100, "some writes")
        before = written[0]
        job = store.job(spec)
        worker.call("back_up", job)
        after = written[0]
    finally:
        ended.set()
        writer.join()
    with machine(machines, spec.manager, templates(spec.manager), guest.sandbox) as there:
        another = there.worker()
        another.call("restore", store.chain(job["backup_id"]))
        another.call("prepare", config_of(spec, there))
        with connect(there) as connection, connection.cursor() as cursor:
            found = []
            for table in ("a", "b"):
                cursor.execute(f"SELECT n FROM {table} ORDER BY n")
                found.append([number for (number,) in cursor.fetchall()])
    assert found[0] == found[1] == list(range(len(found[0])))
    assert before <= len(found[0]) <= after + 1


def connect(there: Machine) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(host=there.address, user="ann1", password="pass-word-1A", database="shop1", autocommit=True)


@pytest.mark.parametrize("sandbox", [SandboxKind.AUTO])
def test_an_agent_killed_in_the_middle_does_it_again(guest: Machine, valkey: ValkeyServer, store: Store, spec: Spec) -> None:
    with staged(guest, valkey) as stage:
        assert stage.prepare(config_of(spec, guest))["state"] == "DONE"
        job = store.job(spec)
        store.hold_at(2)
        stage.caller.start_job("nightly", "backup", job)
        wait_for(store.is_held, "the second segment")
        guest.kill_agent()
        store.let_go()
        assert not store.holds(manifest_name(job["backup_id"]))
        stage.begin()
        ended = stage.finish("nightly")
        assert (ended["state"], ended["error"]) == ("DONE", None)
        assert ended["result"]["checksum"] == store.objects.info(CONTAINER, manifest_name(job["backup_id"])).digest
        # The ticket is a secret, and the job has ended.
        for path in (guest.root / "config/agent/jobs").iterdir():
            assert "signature" not in path.read_text()


@pytest.mark.parametrize("sandbox", [SandboxKind.AUTO])
def test_a_cancelled_backup_stops_and_never_begins_again(
    guest: Machine, valkey: ValkeyServer, store: Store, spec: Spec
) -> None:
    with staged(guest, valkey) as stage:
        assert stage.prepare(config_of(spec, guest))["state"] == "DONE"
        job = store.job(spec)
        store.hold_at(2)
        stage.caller.start_job("nightly", "backup", job)
        wait_for(store.is_held, "the second segment")
        assert not stage.caller.cancel_job("nightly")
        store.let_go()
        ended = stage.finish("nightly")
        assert (ended["state"], ended["error"]) == ("FAILED", "Cancelled.")
        assert stage.caller.cancel_job("nightly")
        stage.caller.start_job("nightly", "backup", job)
        assert stage.finish("nightly")["state"] == "FAILED"
        assert not store.holds(manifest_name(job["backup_id"]))
        # One that was never heard of does not begin either, when it comes late.
        assert stage.caller.cancel_job("late")
        stage.caller.start_job("late", "backup", store.job(spec))
        assert stage.finish("late")["error"] == "Cancelled."
        stage.wait_status("healthy")
