"""State databases of SQLite for tests, quickly: copies of one empty database, without waiting for disks."""

import atexit
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import TypeVar

from sqlalchemy import event

from trove.store import schema
from trove.store.session import Database
from trove.store.vault import Vault

Kind = TypeVar("Kind", bound=Database)


def make_state_file(path: Path) -> None:
    """Make a state database without rows."""
    shutil.copyfile(_empty(), path)


def open_state_file(path: Path, *, vault: Vault, kind: type[Kind]) -> Kind:
    """Open a state database which only a power cut could harm: what was stored outlives any process."""
    database = kind(f"sqlite:///{path}", vault=vault)
    if database.dialect == "sqlite":  # a `kind` may have its own server
        event.listen(database.engine, "connect", _without_patience_for_disks)
    return database


@cache
def _empty() -> Path:
    """Return a state database with its schema, made once a process and removed at its end."""
    directory = tempfile.TemporaryDirectory(prefix="trove-empty-")
    atexit.register(directory.cleanup)
    path = Path(directory.name) / "empty.sqlite"
    database = open_state_file(path, vault=Vault([Vault.new_key()]), kind=Database)
    schema.upgrade(database)
    database.close()
    return path


def _without_patience_for_disks(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()
