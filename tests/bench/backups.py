"""Backups and restores beside the engines' bare tools, and the memory that an agent needs to stream a gigabyte."""

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from tests.bench.measure import Figure, print_figure, print_heading
from tests.support.editions import DEFAULTS, Edition
from tests.support.guests import Machine, Worker, machine, machines_directory, make_template
from tests.support.object_stores import file_store
from tests.support.plain_engine import PlainGuest
from tests.support.servers import Server

from trove.core.accounts import Database, User
from trove.datastores.mariadb.naming import ADMIN
from trove.datastores.postgresql.naming import ADMIN as POSTGRESQL_ADMIN
from trove.objectstore.file import FileObjectStore

RUNS = 5
ROWS = 300_000
FILLER_MIB = 80
LEVEL = "--fast=1"
"""What ours is compressed with; the bare tool is piped to zstd as it comes, too, as one would."""
SEGMENT = 8 * 1024 * 1024
STREAMED = 1024**3


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="trove-bench-") as folder, file_store(Path(folder) / "objects") as store:
        Path(folder).chmod(0o711)
        with machines_directory() as machines:
            for edition in DEFAULTS:
                if edition.manager in _BARE:
                    print_heading(f"Backups of {edition.spec.title}, file store")
                    _engine(edition, machines, store)
        print_heading("An agent that streams 1 GiB")
        _memory(Path(folder), store)


def _engine(edition: Edition, machines: Path, store: FileObjectStore) -> None:
    template = make_template(machines, edition.manager, edition.root_dir)
    with machine(machines, edition.manager, template) as guest:
        server = Server(edition=edition, guest=guest, worker=guest.worker())
        server.prepare()
        fill(server) if edition.manager == "mariadb" else _fill_others(server)
        jobs = PlainGuest(machines / "jobs", store)
        plain, level, clear, sealed, backup_id = [], [], [], [], ""
        _ours(jobs, edition, server.worker, _key())  # what is loaded once in the life of an agent
        for _ in range(RUNS):  # In turn, so that all meet the same noise.
            plain.append(_bare_backup(edition, guest, "zstd -q -c"))
            level.append(_bare_backup(edition, guest, f"zstd {LEVEL} -q -c"))
            backup_id, seconds = _ours(jobs, edition, server.worker, None)
            clear.append(seconds)
            sealed.append(_ours(jobs, edition, server.worker, _key())[1])
        for beside, bare, targets in (
            ("", plain, ("at least 0.9 x", "at least 0.75 x")),
            (f", beside zstd {LEVEL}", level, ("", "")),
        ):
            _ratio(f"backup stream{beside}", bare, clear, targets[0], inverse=True)
            _ratio(f"encrypted backup stream{beside}", bare, sealed, targets[1], inverse=True)
        if edition.manager != "mariadb":
            return
        chain = jobs.chain(backup_id)
        bare, ours = [], []
        for _ in range(RUNS):
            bare.append(_bare_restore(guest))
            with machine(machines, edition.manager, template) as other:
                worker = other.worker()
                worker.call("host.usage")  # it is up
                began = time.monotonic()
                worker.call("restore", chain)
                ours.append(time.monotonic() - began)
        _ratio("restore", bare, ours, "at most 1.2 x", inverse=False)


def _ratio(name: str, bare: list[float], ours: list[float], target: str, *, inverse: bool) -> None:
    """Print the medians, and that of the ratios of the pairs, which met the same noise; `inverse`: of speeds, not of times."""
    base, value = statistics.median(bare), statistics.median(ours)
    pairs = [(theirs, mine) if inverse else (mine, theirs) for theirs, mine in zip(bare, ours, strict=True)]
    ratio = statistics.median(above / below for above, below in pairs)
    print_figure(Figure(name=name, value=f"{value:.2f} s", baseline=f"{base:.2f} s bare", ratio=ratio, target=target))


def _fill_others(server: Server) -> None:
    """Store about as much as `fill` does: half of it does not compress."""
    with closing(server.connect(server.new_tenant())) as session:
        session.fill(FILLER_MIB)
        for number in range(FILLER_MIB):
            session.put(f"text {number}", "all that the tenant ever wrote " * 32768)


def fill(server: Server) -> None:
    server.call("create_databases", [Database(name="shop")])
    server.call("create_users", [User(name="ann", password="pass-word-1A", databases=("shop",))])
    with (
        pymysql.connect(host=server.address, user="ann", password="pass-word-1A", database="shop") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TABLE t (n INT PRIMARY KEY, half CHAR(250), random VARBINARY(250))")
        for begin in range(0, ROWS, 1000):
            rows = [(number, "x" * 200, os.urandom(250)) for number in range(begin, begin + 1000)]
            cursor.executemany("INSERT INTO t VALUES (%s, %s, %s)", rows)
            connection.commit()


def _key() -> Mapping[str, str]:
    data_key = b64encode(secrets.token_bytes(32)).decode()
    return {"cipher": "AES-256-GCM", "key_id": "k", "wrapped_key": "w", "data_key": data_key}


def _ours(jobs: PlainGuest, edition: Edition, worker: Worker, key: Mapping[str, str] | None) -> tuple[str, float]:
    job = jobs.job(key=key, segment_bytes=SEGMENT, manager=edition.manager, datastore_version=edition.version)
    began = time.monotonic()
    worker.call("back_up", job)
    return str(job["backup_id"]), time.monotonic() - began


def bare_options(guest: Machine) -> Path:
    """Write with which options the bare tool logs in, as the agent does."""
    settings = guest.settings
    password = (settings.private_dir / f"{ADMIN}.password").read_text().strip()
    socket = settings.run_dir / "mariadb.sock"
    path = guest.root / "bare.cnf"
    path.touch(mode=0o600)
    path.write_text(
        f"!include {settings.config_dir}/mariadb.cnf\n[client]\nuser={ADMIN}\npassword={password}\nsocket={socket}\n"
    )
    return path


def _bare_backup(edition: Edition, guest: Machine, packer: str) -> float:
    target = guest.root / "bare"
    target.mkdir(exist_ok=True)
    tool = _BARE[edition.manager](guest, target)
    began = time.monotonic()
    command = f"{tool} 2>{target}/words | {packer} > {target}/stream.zst"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], check=False)
    assert done.returncode == 0, (target / "words").read_text()[-2000:]
    # Ours is on its disk when it is done.
    subprocess.run(["sync", str(target / "stream.zst")], check=True)
    return time.monotonic() - began


def _bare_mariadb(guest: Machine, target: Path) -> str:
    return (
        f"mariadb-backup --defaults-file={bare_options(guest)} --backup --stream=mbstream --target-dir={target}"
        f" --datadir={guest.settings.data_dir / 'data'} --tmpdir={target}"
    )


def _bare_postgresql(guest: Machine, _target: Path) -> str:
    return (
        f"pg_basebackup --host={guest.settings.run_dir} --username={POSTGRESQL_ADMIN} --no-password --pgdata=- --format=tar"
        " --wal-method=fetch --checkpoint=fast --no-manifest"
    )


def _bare_redis(guest: Machine, _target: Path) -> str:
    settings = guest.settings
    password = (settings.private_dir / "os_admin.password").read_text().strip()
    return f"REDISCLI_AUTH={password} redis-cli --no-auth-warning --user os_admin -s {settings.run_dir}/redis.sock --rdb -"


_BARE: Mapping[str, Callable[[Machine, Path], str]] = {
    "mariadb": _bare_mariadb,
    "postgresql": _bare_postgresql,
    "redis": _bare_redis,
}
"""What the bare tool of an engine is called with."""


def _bare_restore(guest: Machine) -> float:
    target = guest.root / "bare" / "data"
    subprocess.run(["rm", "-rf", str(target)], check=True)
    target.mkdir()
    began = time.monotonic()
    stream = guest.root / "bare" / "stream.zst"
    command = (
        f"zstd -d -q -c {stream} | mbstream -x -C {target}"
        f" && mariadb-backup --no-defaults --prepare --use-memory=64M --target-dir={target} 2>/dev/null && sync -f {target}"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    return time.monotonic() - began


def _memory(folder: Path, store: FileObjectStore) -> None:
    guest = PlainGuest(folder / "jobs", store)
    for name, key in (("", None), ("encrypted ", _key())):
        job = guest.job(key=key, segment_bytes=SEGMENT)
        told = _streamed(folder, "backup", job)
        _memory_figure(f"{name}backup", told)
        backup_id = str(job["backup_id"])
        keys = {backup_id: key["data_key"]} if key else None
        _memory_figure(f"{name}restore", _streamed(folder, "restore", guest.chain(backup_id, keys=keys)))
        store.clear("database_backups", f"{backup_id}/")


def _memory_figure(name: str, told: Mapping[str, Any]) -> None:
    print_figure(
        Figure(
            name=f"peak resident memory, {name}",
            value=f"{told['peak'] / 1024:.0f} MiB",
            baseline=f"{told['before'] / 1024:.0f} MiB idle",
            ratio=told["second_half"] / told["first_half"],
            target="under 80 MiB; second half of the stream over first: flat",
        )
    )


def _streamed(folder: Path, verb: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {"folder": str(folder / "agent"), "size": STREAMED, "verb": verb, "args": args}
    process = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stream_process.py"))],
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    told: Mapping[str, Any] = json.loads(process.stdout)
    return told
