"""Operations per second of one task manager whose cloud and guests answer at once, against the bare SQL that they need."""

import json
import os
import pickle
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import text
from tests.bench.measure import Figure, print_figure, print_heading
from tests.support.mariadb_server import MariaDbServer, mariadb_server
from tests.support.world import CALLER, MemoryAdmission, RecordedAnnouncer, request

from trove.bus.memory import MemoryBus
from trove.cloud.memory import MemoryCloud
from trove.core.clock import utcnow
from trove.core.instances import Heartbeat, Job
from trove.core.operations import OperationState
from trove.core.status import ServiceStatus
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.doors import Doors, Limits, Settings
from trove.operations.instance import create, delete, restart
from trove.store import datastores, guests, instances, operations, schema, tables
from trove.store.session import Database, Tx
from trove.store.vault import Vault

INSTANCES = 100
WARM_UP = 16
GUEST_TABLES = ("guest_jobs", "service_statuses")
LIMITS = Limits(max_instances=-1, max_volumes_gib=-1, max_backups=-1, max_ram_mib=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A state database. `keep` copies it as it is now, for the baseline to run on; `copy_guests` adds what guests reported."""

    url: str
    copy_url: str
    keep: Callable[[], None]
    copy_guests: Callable[[], None]


def main() -> None:
    """Print the figures for MariaDB and SQLite."""
    print_heading(f"Operations: {INSTANCES} of each kind through one task manager, cloud and guests that answer at once")
    for name, place in (("MariaDB", _mariadb), ("SQLite", _sqlite)):
        with ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="trove-b-")))
            _measure(name, resources.enter_context(place(folder)), folder)


def _measure(name: str, place: Place, folder: Path) -> None:
    key_file = folder / "vault.key"
    database = Database(place.url, vault=Vault.from_file(key_file, create=True))
    doors = _doors(database)
    schema.upgrade(database)
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb")
        version = datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6", image_id="host")
        datastores.put_datastore(tx, "mariadb", version.id)
    with _guests(database) as descriptor, _task_manager(place.url, folder, key_file, descriptor) as run:
        for count in (WARM_UP, INSTANCES):
            for verb in ("create", "restart", "delete"):
                booked = _book(doors, verb, count)
                transcript = folder / f"{verb}.pickle"
                place.keep()
                ours = run(booked, transcript)
                _need_success(database, booked)
                if verb != "delete":
                    place.copy_guests()
                if count == INSTANCES:
                    _print(f"{verb} on {name}", ours, _replay(transcript, place.copy_url), transcript)
    database.close()


def _print(name: str, ours: Mapping[str, float], bare: Mapping[str, float], transcript: Path) -> None:
    threads = pickle.loads(transcript.read_bytes())
    transactions = [transaction for thread in threads for transaction in thread]
    statements = sum(len(statements) for _, statements in transactions) / INSTANCES
    commits = sum(committed for committed, _ in transactions) / INSTANCES
    print_figure(
        Figure(
            name=f"{name}: operations per second",
            value=f"{INSTANCES / ours['seconds']:.0f} /s",
            baseline=f"{INSTANCES / bare['seconds']:.0f} /s bare SQL",
            ratio=bare["seconds"] / ours["seconds"],
        )
    )
    print_figure(
        Figure(
            name=f"{name}: CPU of the task manager",
            value=f"{ours['cpu_s'] / INSTANCES * 1000:.2f} ms",
            baseline=f"{bare['cpu_s'] / INSTANCES * 1000:.2f} ms bare SQL",
            ratio=ours["cpu_s"] / bare["cpu_s"],
            target=f"{statements:.1f} statements, {commits:.1f} commits, {len(transactions) / INSTANCES:.1f} transactions",
        )
    )


def _doors(database: Database) -> Doors:
    """Return what accepts operations, as the API does."""
    return Doors(
        database=database,
        cloud=MemoryCloud(),
        bus=MemoryBus(),
        admission=MemoryAdmission(),
        objects=MemoryObjectStore(),
        announcer=RecordedAnnouncer(),
        settings=replace(Settings(), limits=LIMITS, default_datastore="mariadb"),
    )


def _book(doors: Doors, verb: str, count: int) -> list[str]:
    """Have operations accepted, on new instances or on all there are; return their ids."""
    assert isinstance(doors.announcer, RecordedAnnouncer)
    doors.announcer.announced.clear()
    if verb == "create":
        for _ in range(count):
            create.start(doors, CALLER, request())
    else:
        with doors.database.reading() as tx:
            ids = sorted(instances.live_ids(tx))
        for instance_id in ids:
            {"restart": restart, "delete": delete}[verb].start(doors, CALLER, instance_id)
    return list(doors.announcer.announced)


def _need_success(database: Database, operation_ids: Sequence[str]) -> None:
    with database.reading() as tx:
        for operation_id in operation_ids:
            operation = operations.get(tx, operation_id)
            assert operation.state is OperationState.SUCCEEDED, operation


@contextmanager
def _task_manager(
    url: str, folder: Path, key_file: Path, guests_descriptor: int
) -> Iterator[Callable[[Sequence[str], Path], dict[str, float]]]:
    (folder / "locks").mkdir()
    with (folder / "task-manager.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.one_task_manager"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(guests_descriptor,),
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout

    def tell(order: Mapping[str, object]) -> None:
        orders.write(json.dumps(order) + "\n")
        orders.flush()

    def run(operation_ids: Sequence[str], transcript: Path) -> dict[str, float]:
        tell({"operations": list(operation_ids), "transcript": str(transcript)})
        answer = answers.readline()
        assert answer, (folder / "task-manager.log").read_text()[-3000:]
        figures: dict[str, float] = json.loads(answer)
        return figures

    try:
        tell({"url": url, "key_file": str(key_file), "locks": str(folder / "locks"), "guests": guests_descriptor})
        yield run
        orders.close()
        process.wait(30)
    finally:
        process.kill()
        process.wait(30)
        answers.close()


@contextmanager
def _guests(database: Database) -> Iterator[int]:
    """Answer for all guests and the conductor: what comes from the pipe is reported as done, many reports a transaction."""
    read, write = os.pipe()

    def serve() -> None:
        rest = b""
        while data := os.read(read, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            casts = [json.loads(line) for line in lines]
            if casts:
                database.run(_report, casts)

    thread = threading.Thread(target=serve, name="guests")
    thread.start()
    try:
        yield write
    finally:
        os.close(write)
        thread.join()
        os.close(read)


def _report(tx: Tx, casts: Sequence[Mapping[str, str]]) -> None:
    now = utcnow()
    ids = [cast["topic"].partition(".")[2] for cast in casts]
    jobs = [
        Job(instance_id=each, name=cast["name"], kind=cast["kind"], state="DONE", sent=now, percent=100, step="done")
        for each, cast in zip(ids, casts, strict=True)
    ]
    guests.apply_jobs(tx, jobs)
    guests.apply_heartbeats(tx, [Heartbeat(instance_id=each, sent=now, status=ServiceStatus.HEALTHY) for each in ids])


@contextmanager
def _mariadb(_folder: Path) -> Iterator[Place]:
    with mariadb_server() as server:
        server.recreate("trove")
        yield Place(
            url=server.url("trove"),
            copy_url=server.url("bare"),
            keep=lambda: _keep_mariadb(server),
            copy_guests=lambda: _on_copy(
                server, [f"REPLACE INTO {table} SELECT * FROM trove.{table}" for table in GUEST_TABLES]
            ),
        )


def _keep_mariadb(server: MariaDbServer) -> None:
    server.recreate("bare")
    copy = Database(server.url("bare"), vault=Vault([Vault.new_key()]))
    schema.upgrade(copy)
    copy.close()
    names = [table.name for table in tables.metadata.sorted_tables]
    _on_copy(server, [f"INSERT IGNORE INTO {name} SELECT * FROM trove.{name}" for name in names])


def _on_copy(server: MariaDbServer, statements: Sequence[str]) -> None:
    copy = Database(server.url("bare"), vault=Vault([Vault.new_key()]))
    with copy.transaction() as tx:
        for statement in statements:
            tx.execute(text(statement))
    copy.close()


@contextmanager
def _sqlite(folder: Path) -> Iterator[Place]:
    original, copy = folder / "trove.sqlite", folder / "bare.sqlite"
    yield Place(
        url=f"sqlite:///{original}",
        copy_url=f"sqlite:///{copy}",
        keep=lambda: _keep_sqlite(original, copy),
        copy_guests=lambda: _copy_guests_sqlite(original, copy),
    )


def _keep_sqlite(original: Path, copy: Path) -> None:
    for file in copy.parent.glob(f"{copy.name}*"):
        file.unlink()
    _sqlite_do(original, f"VACUUM INTO '{copy}'")


def _copy_guests_sqlite(original: Path, copy: Path) -> None:
    inserts = [f"REPLACE INTO {table} SELECT * FROM original.{table}" for table in GUEST_TABLES]
    _sqlite_do(copy, f"ATTACH '{original}' AS original", *inserts)


def _sqlite_do(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def _replay(transcript: Path, url: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.bare_sql", str(transcript)]
    done = subprocess.run(command, input=url, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    copy = Database(url, vault=Vault([Vault.new_key()]))
    with copy.reading() as tx:
        assert not operations.unfinished(tx, limit=1), "the bare statements did not do the same"
    copy.close()
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
