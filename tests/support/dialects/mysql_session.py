"""A connection of a tenant to a server of MySQL's kin, by PyMySQL."""

import secrets
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
from pymysql.constants import CR
from tests.support.dialects import ClientTls, Denied, Gone, LoginRefused, ReadOnly, Tenant

_NO_TABLE = 1146
_NO_LOGIN = {1045, 1130, 1698, 3159}
_NO_RIGHT = {1044, 1142, 1143, 1227}
_CLOSED = {1290, 1792, 1836}
_AWAY = {
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_CONNECTION_ERROR,
    CR.CR_SSL_CONNECTION_ERROR,
    1053,
    1927,
    3169,
}


class MySQLSession:
    """Rows in InnoDB tables of the tenant's database."""

    def __init__(self, address: str, tenant: Tenant, **more: Any) -> None:
        with translated():
            self.connection = pymysql.connect(
                host=address,
                user=tenant.name,
                # As bytes, because PyMySQL would make Latin-1 of it, where the server's own clients send UTF-8.
                password=tenant.password.encode(),  # type: ignore[arg-type]
                database=tenant.database,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=10,
                read_timeout=60,
                write_timeout=60,
                **more,
            )

    @classmethod
    def by_tls(cls, address: str, tenant: Tenant, tls: ClientTls) -> "MySQLSession":
        """Log in with TLS, or without."""
        if tls.trusted is None:
            return cls(address, tenant, ssl_disabled=True)
        context = ssl.create_default_context(cafile=str(tls.trusted))
        if tls.own is not None:
            context.load_cert_chain(*tls.own)
        return cls(address, tenant, ssl=context)

    def put(self, key: str, value: str) -> None:
        self._write("REPLACE INTO kept VALUES (%s, %s)", (key, value), "kept (k VARCHAR(100) PRIMARY KEY, v LONGTEXT)")

    def get(self, key: str) -> str | None:
        rows = self._read("SELECT v FROM kept WHERE k = %s", key)
        return str(rows[0][0]) if rows else None

    def keys(self) -> set[str]:
        return {str(key) for (key,) in self._read("SELECT k FROM kept")}

    def open_bank(self, accounts: int, balance: int) -> None:
        self.run("CREATE TABLE bank (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB")
        rows = ", ".join(f"({number}, {balance})" for number in range(accounts))
        self.run(f"INSERT INTO bank VALUES {rows}")

    def transfer(self, source: int, target: int, amount: int) -> None:
        self.run("BEGIN")
        # In one order, so that transfers of several sessions never wait for each other in a circle.
        for account, change in sorted([(source, -amount), (target, amount)]):
            self.run("UPDATE bank SET balance = balance + %s WHERE id = %s", change, account)
        self.run("COMMIT")

    def balances(self) -> list[int]:
        return [int(balance) for (balance,) in self._read("SELECT balance FROM bank ORDER BY id")]

    def fill(self, mib: int) -> None:
        for _ in range(mib):
            self._write("INSERT INTO filler (v) VALUES (%s)", (secrets.token_hex(1 << 19),), _FILLER)

    def close(self) -> None:
        with suppress(pymysql.err.Error):
            self.connection.close()

    def run(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""
        with translated(), self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def _write(self, statement: str, values: Sequence[object], table: str) -> None:
        try:
            self.run(statement, *values)
        except pymysql.err.ProgrammingError as error:
            if error.args[0] != _NO_TABLE:
                raise
            self.run(f"CREATE TABLE IF NOT EXISTS {table} ENGINE=InnoDB")
            self.run(statement, *values)

    def _read(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        try:
            return self.run(statement, *values)
        except pymysql.err.ProgrammingError as error:
            if error.args[0] != _NO_TABLE:
                raise
            return []


_FILLER = "filler (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT)"


@contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of dialects in place of the library's."""
    try:
        yield
    except pymysql.err.MySQLError as error:
        number, words = (error.args[0], str(error)) if error.args else (0, str(error))
        if number in _NO_LOGIN:
            raise LoginRefused(words) from None
        if number in _AWAY or isinstance(error, pymysql.err.InterfaceError):
            raise Gone(words) from None
        if number in _CLOSED and "read" in words.lower():
            raise ReadOnly(words) from None
        if number in _NO_RIGHT:
            raise Denied(words) from None
        raise
    except OSError as error:
        raise Gone(str(error)) from None
