"""Speaks SQL to the server over its Unix socket, and turns its errors into Trove's."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trove.core.errors import GuestError, InvalidInput, NotFound, TroveError, Unavailable
from trove.datastores.families.mysql.dialect import Dialect
from trove.datastores.families.mysql.naming import ADMIN

FULL = "The volume is full: the database server cannot write."

_FULL = frozenset({28, 1021, 1026, 1114})
_GONE = frozenset({1040, 1053, 1927, 2002, 2003, 2006, 2013, 2055})
_CONNECT_TIMEOUT_S = 3


class Session:
    """One connection as the agent's administrator, in autocommit."""

    def __init__(self, connection: Any, title: str) -> None:
        self._connection = connection
        self._title = title

    @property
    def server_version(self) -> str:
        """Return the version number that the server greeted with, such as `10.11.19`."""
        greeting = str(self._connection.get_server_info()).removeprefix("5.5.5-")  # which MariaDB 10 puts before it
        found = re.match(r"[0-9.]+", greeting)
        return found.group() if found else greeting

    def run(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement and return its rows; `values` fill its `%s` (a tuple becomes a list in parentheses).

        Raises what `translated` makes of the server's errors.
        """
        with translated(self._title), self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def named(self, statement: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run one statement and return its rows by the names of their columns. Raises as `run` does."""
        with translated(self._title), self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def account(self, name: str, host: str) -> str:
        """Return a user as SQL writes it: 'name'@'host'. For statements without `values`."""
        return f"{self._connection.escape(name)}@{self._connection.escape(host)}"


def load_client() -> None:
    """Load the client library now: a tenant waits for the first connection, and not for the server's start before it."""
    import pymysql  # noqa: F401, PLC0415


@contextlib.contextmanager
def session(socket: Path, password: str, dialect: Dialect, *, read_timeout_s: int = 12) -> Iterator[Session]:
    """Connect as the administrator; raises `Unavailable` when the server does not answer."""
    import pymysql  # noqa: PLC0415  an agent that has not begun to work needs no memory for it

    with translated(dialect.title):
        connection = pymysql.connect(
            unix_socket=str(socket),
            user=ADMIN,
            password=password,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=read_timeout_s,
            write_timeout=read_timeout_s,
            init_command=dialect.session,
            ssl_disabled=True,  # On a socket of this machine; loading certificates costs 30 ms a connection.
        )
    try:
        yield Session(connection, dialect.title)
    finally:
        with contextlib.suppress(pymysql.err.Error):
            connection.close()


@contextlib.contextmanager
def translated(title: str) -> Iterator[None]:
    """Turn errors of the client library into Trove's, which name the engine by its title."""
    from pymysql.err import MySQLError  # noqa: PLC0415

    try:
        yield
    except MySQLError as error:
        raise _translate(title, error) from error


def name(identifier: str) -> str:
    """Return `identifier` quoted with backticks."""
    return "`" + identifier.replace("`", "``") + "`"


def _translate(title: str, error: Exception) -> TroveError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    words = str(error.args[1]) if len(error.args) > 1 else str(error)
    if code in _FULL or re.search(r"errno: 28\b|error 28\b|No space left", words):
        return GuestError(FULL)
    if code in _GONE:
        return Unavailable("The database server does not answer.")
    if code == 1045:
        return GuestError("The database server refuses the agent's account; restart the instance to repair it.")
    if code in {1008, 1049}:
        return NotFound(words)
    if code == 1007:
        return InvalidInput(words)
    if code == 1064:
        return GuestError(f"{title} did not understand a statement of the agent (1064).")
    return GuestError(f"{title}: {words} ({code})")
