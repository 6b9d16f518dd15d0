"""Where the engines of the family differ: words of SQL, names of programs and files."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trove.core.logs import LogType
from trove.datastores.contract import Host
from trove.datastores.families.mysql.naming import Names
from trove.datastores.tlsfiles import TlsFiles

if TYPE_CHECKING:
    from trove.datastores.families.mysql.sql import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a running server: its type as `options.sql_value` reads it, and its value, None when it has none."""

    kind: str
    read_only: bool
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountWords:
    """The SQL of accounts.

    `table` holds them; `is_user` is a condition on it that leaves out roles; `identified` returns the clause that gives an
    account a password; `end_sessions` ends the connections of 'name'@'host', which exists no more. `withheld` are privileges
    that not even the superuser gets: with them it could write to a replica.
    """

    table: str
    is_user: str
    identified: Callable[[str], str]
    end_sessions: Callable[["Session", str, str], None]
    withheld: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine of the family.

    `file_name` is that of the configuration file and the socket, without what follows the dot; `programs` are the names of the
    server; `package` has them. `session` sets up each session of the agent. `first_sql` returns what a server runs before it
    takes connections, so that the agent's account is as it should be; nothing is written when it is. `initialise` makes a fresh
    data directory. `check_options` make the server's program read its options and end. `variables` returns those of a running
    server that have these names, in lower case. `reload_tls` has a running server use what the TLS files hold now, beside its
    data directory, and returns whether that waits for the next start. `options` are given to each start besides paths and
    address.
    """

    title: str
    file_name: str
    port: int
    programs: tuple[str, ...]
    package: str
    names: Names
    logs: Mapping[str, LogType]
    session: str
    accounts: AccountWords
    first_sql: Callable[[str], str]
    initialise: Callable[[Host, Path], None]
    check_options: tuple[str, ...]
    variables: Callable[["Session", Collection[str]], Mapping[str, Variable]]
    reload_tls: Callable[["Session", TlsFiles, Path], bool]
    options: tuple[str, ...] = ()
