"""The client side of each engine, over TCP as tenants have it, so that one suite can tell the same story of all engines.

`tests/support/dialects/<manager>.py` holds `DIALECT`. Clients raise the errors below, and those of their library only for
what a test has no word for.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.support.guests import Machine, Worker

from trove.core.json import JSON


class LoginRefused(Exception):
    """The server does not let this user in: unknown, wrong password, or from the wrong place."""


class ReadOnly(Exception):
    """The server takes no writes of tenants: it is a replica, or closed. Also when it lets no tenant in while it is closed."""


class Denied(Exception):
    """The user has no right to that."""


class Gone(Exception):
    """The server cannot be reached, or went away in the middle: what was under way is not acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """As whom to log in, and where. None is the database that the engine gives who names none."""

    name: str
    password: str = field(repr=False)
    database: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """How a client goes about TLS.

    `trusted` are the authorities that it trusts, None is a client that does without TLS; `own` are its certificate and key.
    """

    trusted: Path | None = None
    own: tuple[Path, Path] | None = None


class Session(Protocol):
    """One connection. Each verb is acknowledged when it returns. Tables that it needs are made by the first write."""

    def put(self, key: str, value: str) -> None:
        """Store a value under a key, new or not, in a transaction of its own."""

    def get(self, key: str) -> str | None:
        """Return the value of a key."""

    def keys(self) -> set[str]:
        """Return all keys that `put` stored."""

    def open_bank(self, accounts: int, balance: int) -> None:
        """Make accounts 0, 1, … with this balance each."""

    def transfer(self, source: int, target: int, amount: int) -> None:
        """Move money from one account to another in one transaction, or in what the engine has that is all or nothing."""

    def balances(self) -> list[int]:
        """Return the balances of all accounts at one moment, in their order."""

    def fill(self, mib: int) -> None:
        """Store about so many mebibytes that do not compress, beside what is there."""

    def close(self) -> None:
        """Close the connection; may be called twice, and when the server is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A parameter with a value that is not its default, and what `Dialect.shown` tells while that is in effect."""

    name: str
    value: JSON
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParameter:
    """A parameter as the real server tells of it. None and empty: it does not tell that."""

    value: str
    live: bool | None = None
    """Whether it can be changed while the server runs."""
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()


class Dialect(Protocol):
    """What the suite must know of an engine beyond its spec."""

    live: Setting
    """Takes effect at once."""
    restart: Setting
    """Takes effect at the next start."""
    refused: Setting
    """Refused by its name when it is applied, by the server or by the driver for it; `shown` is unused."""
    deadly: Setting | None
    """`Driver.write_config` takes it, and the server does not start with it. None: there is none that is known."""

    def connect(self, address: str, tenant: Tenant) -> Session:
        """Log in within some seconds. Raises `LoginRefused`, `Denied` (for the database), `ReadOnly`, `Gone`."""

    def shown(self, guest: Machine, worker: Worker, name: str) -> str:
        """Return the value that the running server has of a parameter. Leaves root as it was: disabled."""

    def parameters(self, guest: Machine, worker: Worker) -> Mapping[str, ServerParameter]:
        """Return all that the running server tells of its parameters, by the names of the catalogue."""

    def write_to_log(self, log: str, address: str, tenant: Tenant, mark: str) -> None:
        """Do what the server writes into this log of its spec, when it is on, with the word `mark` in it."""


class TlsDialect(Protocol):
    """What the suite must know of an engine with the facet `TLS` besides."""

    def connect_by_tls(self, address: str, tenant: Tenant, tls: ClientTls) -> Session:
        """Log in as `connect` does, with TLS to a server named by its address, or without. `Gone` is for failed TLS, too."""


def dialect(manager: str) -> Dialect:
    """Return the dialect of an engine; raises `ModuleNotFoundError` when nobody has written it yet."""
    made: Dialect = importlib.import_module(f"{__name__}.{manager}").DIALECT
    return made
