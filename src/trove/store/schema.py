"""The shape of the state database: its revisions, and the way from one to the next."""

from collections.abc import Iterator
from contextlib import contextmanager

import alembic.command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from trove.core import errors
from trove.store.session import Database

_LOCK_NAME = "trove-schema"
_LOCK_NUMBER = 0x74726F7665  # "trove" in ASCII: PostgreSQL's advisory locks are numbers
_LOCK_TIMEOUT_S = 120


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database to `revision`, forwards. May run twice, also at once in several processes: they take turns.

    Raises `Unavailable` when another process does not end its turn, or the database cannot be reached.
    """
    # SQLite and PostgreSQL change the schema in one transaction; on MySQL each statement stands, so revisions there must be
    # small. BEGIN IMMEDIATE is SQLite's turn-taking.
    with database.transaction() as tx, _turn(tx.connection, tx.dialect):
        config = _config()
        config.attributes["connection"] = tx.connection
        alembic.command.upgrade(config, revision)


def current(database: Database) -> str | None:
    """Return the revision the database is at; None for an empty one."""
    with database.reading() as tx:
        return MigrationContext.configure(tx.connection).get_current_revision()


def head() -> str:
    """Return the newest revision that this program knows."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "trove.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _turn(connection: Connection, dialect: str) -> Iterator[None]:
    if dialect == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'"))
        # Ends with the transaction.
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        yield
    elif dialect == "mysql":
        wanted = {"name": _LOCK_NAME, "timeout": _LOCK_TIMEOUT_S}
        if connection.execute(text("SELECT GET_LOCK(CONCAT(DATABASE(), ':', :name), :timeout)"), wanted).scalar() != 1:
            raise errors.Unavailable("Another process is changing the schema of the state database.")
        try:
            yield
        finally:
            connection.execute(text("SELECT RELEASE_LOCK(CONCAT(DATABASE(), ':', :name))"), {"name": _LOCK_NAME})
    else:
        # Alembic commits after each revision unless it sees that a transaction is open, and another process would get in.
        connection.begin()
        yield
