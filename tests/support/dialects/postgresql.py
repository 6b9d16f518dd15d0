"""PostgreSQL as its tenants have it, by psycopg."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from tests.support.dialects import ClientTls, Denied, Dialect, Gone, LoginRefused, ReadOnly, ServerParameter, Setting, Tenant
from tests.support.guests import Machine, Worker

_ROOT = Tenant(name="postgres", password="only-for-looking", database="postgres")
_PARAMETERS = "SELECT lower(name), setting, context, min_val, max_val, enumvals FROM pg_settings"
_SERVERS_OWN = ("postmaster", "internal")


class PostgreSQLSession:
    """Rows in tables of the tenant's database."""

    def __init__(self, address: str, tenant: Tenant, **more: Any) -> None:
        with translated():
            self.connection = psycopg.connect(
                host=address,
                user=tenant.name,
                password=tenant.password,
                dbname=tenant.database or "postgres",
                connect_timeout=10,
                autocommit=True,
                prepare_threshold=None,
                **more,
            )

    def put(self, key: str, value: str) -> None:
        self._write(
            "INSERT INTO kept VALUES (%s, %s) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
            (key, value),
            "kept (k text PRIMARY KEY, v text)",
        )

    def get(self, key: str) -> str | None:
        rows = self._read("SELECT v FROM kept WHERE k = %s", key)
        return str(rows[0][0]) if rows else None

    def keys(self) -> set[str]:
        return {str(key) for (key,) in self._read("SELECT k FROM kept")}

    def open_bank(self, accounts: int, balance: int) -> None:
        self.run("CREATE TABLE bank (id int PRIMARY KEY, balance int NOT NULL)")
        self.run("INSERT INTO bank SELECT number, %s FROM generate_series(0, %s) number", balance, accounts - 1)

    def transfer(self, source: int, target: int, amount: int) -> None:
        with translated(), self.connection.transaction():
            # In one order, so that transfers of several sessions never wait for each other in a circle.
            for account, change in sorted([(source, -amount), (target, amount)]):
                self.connection.execute("UPDATE bank SET balance = balance + %s WHERE id = %s", (change, account))

    def balances(self) -> list[int]:
        return [int(balance) for (balance,) in self._read("SELECT balance FROM bank ORDER BY id")]

    def fill(self, mib: int) -> None:
        for _ in range(mib):
            self._write("INSERT INTO filler (v) VALUES (%s)", (secrets.token_bytes(1 << 20),), _FILLER)

    def close(self) -> None:
        with suppress(psycopg.Error):
            self.connection.close()

    def run(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""
        with translated():
            cursor = self.connection.execute(statement, values or None)  # type: ignore[arg-type]
            return [] if cursor.description is None else list(cursor.fetchall())

    def _write(self, statement: str, values: Sequence[object], table: str) -> None:
        try:
            self.run(statement, *values)
        except errors.UndefinedTable:
            with suppress(errors.UniqueViolation, errors.DuplicateTable):  # somebody else makes it now
                self.run(f"CREATE TABLE IF NOT EXISTS {table}")
            self.run(statement, *values)

    def _read(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        try:
            return self.run(statement, *values)
        except errors.UndefinedTable:
            return []


_FILLER = "filler (id bigint GENERATED ALWAYS AS IDENTITY, v bytea)"


class PostgreSQL:
    live = Setting(name="work_mem", value=4321, shown="4321")
    restart = Setting(name="max_connections", value=77, shown="77")
    refused = Setting(name="default_text_search_config", value="no_such_configuration", shown="")
    deadly = Setting(name="shared_buffers", value=1 << 30, shown="")

    def connect(self, address: str, tenant: Tenant) -> PostgreSQLSession:
        return PostgreSQLSession(address, tenant)

    def connect_by_tls(self, address: str, tenant: Tenant, tls: ClientTls) -> PostgreSQLSession:
        if tls.trusted is None:
            return PostgreSQLSession(address, tenant, sslmode="disable")
        own = {} if tls.own is None else {"sslcert": str(tls.own[0]), "sslkey": str(tls.own[1])}
        return PostgreSQLSession(address, tenant, sslmode="verify-full", sslrootcert=str(tls.trusted), **own)

    def shown(self, guest: Machine, worker: Worker, name: str) -> str:
        return str(as_root(guest, worker, "SELECT setting FROM pg_settings WHERE lower(name) = %s", name)[0][0])

    def parameters(self, guest: Machine, worker: Worker) -> Mapping[str, ServerParameter]:
        return {
            str(name): ServerParameter(
                value=str(setting),
                live=context not in _SERVERS_OWN,
                minimum=None if low is None else float(low),
                maximum=None if high is None else float(high),
                values=tuple(values or ()),
            )
            for name, setting, context, low, high, values in as_root(guest, worker, _PARAMETERS)
        }

    def write_to_log(self, log: str, address: str, tenant: Tenant, mark: str) -> None:
        if log == "error":
            with suppress(LoginRefused):
                self.connect(address, Tenant(name=mark, password="wrong")).close()
            return
        with closing(self.connect(address, tenant)) as session:
            session.run(f"SELECT '{mark}'")


def as_root(guest: Machine, worker: Worker, statement: str, *values: object) -> Sequence[Sequence[Any]]:
    """Return the rows of a statement of the superuser, who may log in only meanwhile."""
    worker.call("driver.enable_root", _ROOT.password)
    try:
        with closing(PostgreSQLSession(guest.address, _ROOT)) as session:
            return session.run(statement, *values)
    finally:
        worker.call("driver.disable_root")


@contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of dialects in place of the library's."""
    try:
        yield
    except errors.ReadOnlySqlTransaction as error:
        raise ReadOnly(str(error)) from None
    except errors.InsufficientPrivilege as error:
        raise Denied(str(error)) from None
    except (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow) as error:
        raise Gone(str(error)) from None
    except psycopg.OperationalError as error:
        words = str(error)
        if "authentication failed" in words or "not permitted to log in" in words or "pg_hba.conf" in words:
            raise LoginRefused(words) from None
        if "permission denied for database" in words:
            raise Denied(words) from None
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
            raise Gone(words) from None
        raise
    except psycopg.InterfaceError as error:
        raise Gone(str(error)) from None


DIALECT: Dialect = PostgreSQL()
