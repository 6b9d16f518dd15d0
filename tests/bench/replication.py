"""A replica of MariaDB that is built while its source takes writes, beside the bare steps."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pymysql
from tests.bench.backups import SEGMENT, bare_options, fill
from tests.bench.measure import Figure, print_figure, print_heading
from tests.support.dialects import Tenant
from tests.support.editions import DEFAULTS
from tests.support.guests import UID, machine, machines_directory, make_template
from tests.support.object_stores import file_store
from tests.support.plain_engine import PlainGuest
from tests.support.servers import Server
from tests.support.workload import Writes

from trove.core.accounts import User
from trove.core.manifests import Manifest, manifest_name
from trove.core.replication import Account, Source, account_name
from trove.objectstore.file import FileObjectStore

RUNS = 3
WRITER = Tenant(name="writer", password="pass-word-1A", database="shop")
BARE = Account(name="replica_00000000000000ff", password="bare-pass")

Make = Callable[[], Server]


def main() -> None:
    """Print the figures."""
    edition = next(each for each in DEFAULTS if each.manager == "mariadb")
    with (
        tempfile.TemporaryDirectory(prefix="trove-bench-") as folder,
        file_store(Path(folder) / "objects") as store,
        machines_directory() as machines,
        ExitStack() as stack,
    ):
        template = make_template(machines, edition.manager, edition.root_dir)

        def make() -> Server:
            guest = stack.enter_context(machine(machines, edition.manager, template))
            return Server(edition=edition, guest=guest, worker=guest.worker())

        source = make()
        source.prepare()
        fill(source)
        source.call("create_users", [User(name=WRITER.name, password=WRITER.password, databases=("shop",))])
        jobs = PlainGuest(machines / "jobs", store)
        with Writes(lambda: source.connect(WRITER)) as writes:
            writes.await_more()
            _building(source, make, jobs, store)


def _building(source: Server, make: Make, jobs: PlainGuest, store: FileObjectStore) -> None:
    print_heading("A replica of MariaDB, ready: backup, prepare, start, caught up; while its source takes writes")
    bare, ours = [], []
    for _ in range(RUNS):  # In turn, so that both meet the same noise.
        for build, times in ((_bare_replica, bare), (_our_replica, ours)):
            replica = make()
            began = time.monotonic()
            build(source, replica, jobs, store)
            replica.call("wait_for_txn", source.call("get_latest_txn_id"), timeout_s=120)
            times.append(time.monotonic() - began)
            replica.guest.stop_all()
    base, value = statistics.median(bare), statistics.median(ours)
    print_figure(
        Figure(
            name="replica ready",
            value=f"{value:.2f} s",
            baseline=f"{base:.2f} s bare",
            ratio=value / base,
            target="at most 1.5 x",
        )
    )


def _our_replica(source: Server, replica: Server, jobs: PlainGuest, store: FileObjectStore) -> None:
    account = Account(name=account_name(replica.guest.instance_id), password="ours-pass")
    source.do("get_replication_snapshot", account=account)
    job = jobs.job(key=None, segment_bytes=SEGMENT, manager=source.edition.manager, datastore_version=source.edition.version)
    source.worker.call("back_up", job)
    backup_id = str(job["backup_id"])
    replica.worker.call("restore", jobs.chain(backup_id))
    content = b"".join(store.get("database_backups", manifest_name(backup_id)))
    snapshot = {"positions": dict(Manifest.from_bytes(content).positions)}
    replica.do("prepare_replica", config=replica.config(), snapshot=snapshot, source=_as_source(source, account))


def _bare_replica(source: Server, replica: Server, _jobs: PlainGuest, _store: FileObjectStore) -> None:
    """Do what a person would: stream a backup into the place of the data, prepare it, start the server, and follow."""
    source.do("get_replication_snapshot", account=BARE)
    data = replica.guest.settings.data_dir / "data"
    command = (
        f"mkdir -p {data} && mariadb-backup --defaults-file={bare_options(source.guest)} --backup --stream=mbstream"
        f" --target-dir={source.guest.root / 'bare'} --datadir={source.guest.settings.data_dir / 'data'} 2>/dev/null"
        f" | mbstream -x -C {data}"
        f" && mariadb-backup --no-defaults --prepare --use-memory=64M --target-dir={data} 2>/dev/null"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    for path in (data.parent, data, *data.rglob("*")):
        os.chown(path, UID, UID)
    info = next(path for path in data.glob("*_binlog_info")).read_text().split()
    replica.worker.call("prepare", replica.config())
    replica.call("enable_root", WRITER.password)
    statements = (
        f"SET GLOBAL gtid_slave_pos = '{info[2]}'",
        f"CHANGE MASTER TO MASTER_HOST = '{source.address}', MASTER_USER = '{BARE.name}', MASTER_PASSWORD = '{BARE.password}', "
        "MASTER_USE_GTID = slave_pos, MASTER_SSL = 0, MASTER_SSL_VERIFY_SERVER_CERT = 0",
        "START SLAVE",
    )
    for statement in statements:
        _run(replica, statement)


def _run(server: Server, statement: str) -> None:
    connection = pymysql.connect(host=server.address, user="root", password=WRITER.password, autocommit=True)
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(statement)


def _as_source(server: Server, account: Account) -> Source:
    return Source(host=server.address, port=server.spec.tcp_ports[0], account=account)
