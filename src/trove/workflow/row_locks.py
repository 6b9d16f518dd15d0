"""Locks as rows, for a Galera cluster: its GET_LOCK holds on one node; of two rows with one name only one is ever committed.

A row does not go with its holder's death. What it guards has leases: `Locks.break_lock` frees it when they have run out.
"""

import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pymysql
from pymysql.constants import ER

from trove.core import errors

_TABLE = "CREATE TABLE IF NOT EXISTS trove_locks (name CHAR(64) PRIMARY KEY, holder CHAR(32) NOT NULL) ENGINE=InnoDB"
_SYNC = "SET SESSION wsrep_sync_wait = 7"
_LOST_TO_ANOTHER = frozenset({ER.DUP_ENTRY, ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})


def is_galera(session: Any) -> bool:
    """Tell whether the server is a node of a Galera cluster."""
    with session.cursor() as cursor:
        cursor.execute("SHOW GLOBAL VARIABLES LIKE 'wsrep_on'")
        found = cursor.fetchone()
    return found is not None and found[1] == "ON"


class RowLocks:
    """Locks in a table that it makes itself (`trove.workflow.locks.LockServer`).

    `connect` returns a session, `word` what names a lock in at most 64 characters.
    """

    def __init__(self, connect: Callable[[], Any], word: Callable[[str], str]) -> None:
        self._connect = connect
        self._word = word
        self._execute(_TABLE, ())

    def take(self, name: str) -> Callable[[], None] | None:
        """Insert the row."""
        word, holder = self._word(name), secrets.token_hex(16)
        try:
            self._execute("INSERT INTO trove_locks (name, holder) VALUES (%s, %s)", (word, holder))
        except _TakenError:
            return None

        def release() -> None:
            with suppress(errors.Unavailable, _TakenError):
                self.break_(name, holder)

        return release

    def holder(self, name: str) -> str | None:
        """Return the word of the row."""
        found = self._execute("SELECT holder FROM trove_locks WHERE name = %s", (self._word(name),))
        return str(found[0]) if found else None

    def break_(self, name: str, holder: str) -> bool:
        """Delete the row if it is still that hold's. A collision leaves it: another one is at it."""
        with suppress(_TakenError):
            self._execute("DELETE FROM trove_locks WHERE name = %s AND holder = %s", (self._word(name), holder))
        return True

    def close(self) -> None:
        """Do nothing: sessions end with their statements."""

    def _execute(self, statement: str, arguments: tuple[str, ...]) -> tuple[Any, ...] | None:
        """Execute one statement in a session of its own, and a transaction of its own; return its first row."""
        try:
            with closing(self._connect()) as session, session.cursor() as cursor:
                session.autocommit(True)
                cursor.execute(_SYNC)
                cursor.execute(statement, arguments)
                found: tuple[Any, ...] | None = cursor.fetchone()
                return found
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in _LOST_TO_ANOTHER:
                raise _TakenError from error
            # Without the driver's words: they may name the server's account.
            raise errors.Unavailable("The lock service does not answer now; try again.") from error


class _TakenError(Exception):
    """Another one was first."""
