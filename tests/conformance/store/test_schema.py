"""Migrations lead to exactly the tables that the code declares, also when two processes run them at once."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from trove.store import schema, tables
from trove.store.session import Database
from trove.store.vault import Vault

_UPGRADE = """
import sys
from trove.store import schema
from trove.store.session import Database
from trove.store.vault import Vault

database = Database(sys.stdin.read(), vault=Vault([Vault.new_key()]))
schema.upgrade(database)
assert schema.current(database) == schema.head()
"""


def described(database: Database) -> dict[str, Any]:
    """Return all that the database says of its tables, but Alembic's own."""
    with database.engine.connect() as connection:
        inspector = inspect(connection)
        names = sorted(set(inspector.get_table_names()) - {"alembic_version"})
        if database.dialect == "mysql":
            texts = {name: connection.execute(text(f"SHOW CREATE TABLE {name}")).one()[1] for name in names}
            # Sorted, because the order of indexes means nothing.
            return {name: sorted(line.rstrip(",") for line in found.splitlines()) for name, found in texts.items()}
        return {
            name: (
                [str(column) for column in inspector.get_columns(name)],
                inspector.get_pk_constraint(name),
                sorted(map(str, inspector.get_foreign_keys(name))),
                sorted(map(str, inspector.get_unique_constraints(name))),
                sorted(map(str, inspector.get_indexes(name))),
            )
            for name in names
        }


def test_migrated_tables_are_those_of_the_code(dialect: str, new_url: Callable[[str, str], str], vault: Vault) -> None:
    migrated = Database(new_url(dialect, "migrated"), vault=vault)
    declared = Database(new_url(dialect, "declared"), vault=vault)
    assert schema.current(migrated) is None
    schema.upgrade(migrated)
    schema.upgrade(migrated)
    with declared.transaction() as tx:
        tables.metadata.create_all(tx.connection)
    assert described(migrated) == described(declared)
    with migrated.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    assert schema.current(migrated) == schema.head()
    migrated.close()
    declared.close()


def test_mariadb_keeps_every_character(migrated: Callable[[str], Database]) -> None:
    with migrated("mariadb").engine.connect() as connection:
        collations = (
            "SELECT DISTINCT table_collation FROM information_schema.tables"
            " WHERE table_schema = 'trove' AND table_name != 'alembic_version'"
        )
        assert connection.execute(text(collations)).scalars().all() == ["utf8mb4_bin"]


def test_processes_that_upgrade_at_once_take_turns(dialect: str, new_url: Callable[[str, str], str]) -> None:
    url = new_url(dialect, "contended")
    processes = [
        subprocess.Popen([sys.executable, "-c", _UPGRADE], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(url)
        process.stdin.close()
        process.stdin = None
    failures = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], failures
