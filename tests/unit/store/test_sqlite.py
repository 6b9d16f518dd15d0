"""SQLite: several processes and many threads write one file, and durability is on."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from trove.core.quotas import Resource
from trove.store import datastores, quotas, schema
from trove.store.session import Database
from trove.store.vault import Vault

NO_LIMITS = dict.fromkeys(Resource, -1)

_WRITER = """
import sys
from trove.core.quotas import Resource
from trove.store import quotas
from trove.store.session import Database
from trove.store.vault import Vault

database = Database(sys.argv[1], vault=Vault([Vault.new_key()]))
for _ in range(50):
    database.run(quotas.reserve, "p", {Resource.RAM: 1}, {Resource.RAM: -1})
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/trove.db", vault=Vault([Vault.new_key()]))
    schema.upgrade(found)
    yield found
    found.close()


def reserved(database: Database) -> int:
    with database.reading() as tx:
        return {quota.resource: quota.reserved for quota in quotas.limits_of(tx, "p", NO_LIMITS)}[Resource.RAM]


def test_every_connection_is_durable_checked_and_lets_readers_read(database: Database) -> None:
    for mode in (database.reading, database.transaction):
        with mode() as tx:
            found = {
                name: tx.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
            }
            assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.RAM: 1}, NO_LIMITS)
        assert reserved(database) == 0
    assert reserved(database) == 1


def test_threads_and_processes_write_one_file_and_lose_nothing(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    processes = [subprocess.Popen([sys.executable, "-c", _WRITER, url]) for _ in range(2)]

    def write() -> None:
        for _ in range(20):
            database.run(quotas.reserve, "p", {Resource.RAM: 1}, NO_LIMITS)

    threads = [threading.Thread(target=write) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(120) for process in processes] == [0, 0]
    assert reserved(database) == 300


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    database = Database("sqlite://", vault=Vault([Vault.new_key()]))
    schema.upgrade(database)
    thread = threading.Thread(target=lambda: database.run(quotas.reserve, "p", {Resource.RAM: 1}, NO_LIMITS))
    thread.start()
    thread.join()
    assert reserved(database) == 1
    database.close()


def test_the_file_and_its_journals_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        database = Database(f"sqlite:///{tmp_path}/private.sqlite", vault=Vault([Vault.new_key()]))
        schema.upgrade(database)
        with database.transaction() as tx:
            datastores.put_datastore(tx, "mariadb")
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        database.close()
    finally:
        os.umask(before)

    assert len(modes) > 1
    assert set(modes.values()) == {0o600}


def test_one_that_is_opened_again_keeps_the_locks_of_those_that_have_it(tmp_path: Path) -> None:
    """Else another process takes itself for the last one, and removes the log that is written to."""
    path = tmp_path / "kept.sqlite"
    database = Database(f"sqlite:///{path}", vault=Vault([Vault.new_key()]))
    schema.upgrade(database)
    Database(f"sqlite:///{path}", vault=database.vault).close()
    log = path.with_name("kept.sqlite-wal")
    before = log.stat().st_ino
    look = "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('SELECT * FROM quotas').fetchall(); it.close()"
    subprocess.run([sys.executable, "-c", look, str(path)], check=True)
    assert log.stat().st_ino == before
    database.close()
