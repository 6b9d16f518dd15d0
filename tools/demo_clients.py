"""How the demo uses a database as a tenant does: one client for each family of engines."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[int, str]


class Client(Protocol):
    """What the demo does with a server. `database` is None where the engine has none to create."""

    title: str
    port: int
    database: str | None

    def greet(self, address: str, user: str, password: str) -> tuple[str, str]:
        """Connect, and return the server's version and who it takes us for."""

    def write(self, address: str, user: str, password: str, rows: Sequence[Row]) -> None:
        """Store rows in a place that is new."""

    def read(self, address: str, user: str, password: str) -> tuple[Row, ...]:
        """Return the rows."""


class SQLClient:
    """MariaDB, MySQL and PostgreSQL, by the connections of a driver of Python's DB-API."""

    database = "shop"

    def __init__(self, title: str, port: int, who: str, connect: Any) -> None:
        self.title = title
        self.port = port
        self._who = who
        self._connect = connect

    def _session(self, address: str, user: str, password: str) -> AbstractContextManager[Any]:
        session: AbstractContextManager[Any] = self._connect(address, self.port, user, password, self.database)
        return session

    def greet(self, address: str, user: str, password: str) -> tuple[str, str]:
        """Connect, and ask the server who is there."""
        with self._session(address, user, password) as session, session.cursor() as cursor:
            cursor.execute(f"SELECT {self._who}")
            version, name = cursor.fetchone()
        return str(version), str(name)

    def write(self, address: str, user: str, password: str, rows: Sequence[Row]) -> None:
        """Create a table and fill it."""
        with self._session(address, user, password) as session, session.cursor() as cursor:
            cursor.execute("CREATE TABLE orders (id INT PRIMARY KEY, what VARCHAR(40))")
            cursor.executemany("INSERT INTO orders VALUES (%s, %s)", rows)
            session.commit()

    def read(self, address: str, user: str, password: str) -> tuple[Row, ...]:
        """Select all rows."""
        with self._session(address, user, password) as session, session.cursor() as cursor:
            cursor.execute("SELECT id, what FROM orders ORDER BY id")
            return tuple((int(number), str(what)) for number, what in cursor.fetchall())


class KeyClient:
    """Redis and Valkey."""

    port = 6379
    database = None

    def __init__(self, title: str) -> None:
        self.title = title

    def _session(self, address: str, user: str, password: str) -> Any:
        import redis  # noqa: PLC0415  only what the engine needs

        return redis.Redis(host=address, port=self.port, username=user, password=password, decode_responses=True)

    def greet(self, address: str, user: str, password: str) -> tuple[str, str]:
        """Connect, and ask the server who is there."""
        with self._session(address, user, password) as session:
            told = session.info("server")
            return str(told.get("valkey_version") or told["redis_version"]), str(session.acl_whoami())

    def write(self, address: str, user: str, password: str, rows: Sequence[Row]) -> None:
        """Set a key for each row."""
        with self._session(address, user, password) as session:
            session.hset("orders", mapping=dict(rows))

    def read(self, address: str, user: str, password: str) -> tuple[Row, ...]:
        """Get all keys."""
        with self._session(address, user, password) as session:
            return tuple(sorted((int(number), str(what)) for number, what in session.hgetall("orders").items()))


def client_for(datastore: str) -> Client:
    """Return the client for a datastore."""
    mysql = "VERSION(), CURRENT_USER()"
    clients: dict[str, Client] = {
        "mariadb": SQLClient("MariaDB", 3306, mysql, _pymysql),
        "mysql": SQLClient("MySQL", 3306, mysql, _pymysql),
        "postgresql": SQLClient("PostgreSQL", 5432, "current_setting('server_version'), current_user", _psycopg),
        "redis": KeyClient("Redis"),
        "valkey": KeyClient("Valkey"),
    }
    return clients[datastore]


def _pymysql(address: str, port: int, user: str, password: str, database: str) -> Any:
    import pymysql  # noqa: PLC0415  only what the engine needs

    return pymysql.connect(
        host=address, port=port, user=user, password=password, database=database, connect_timeout=10, charset="utf8mb4"
    )


def _psycopg(address: str, port: int, user: str, password: str, database: str) -> Any:
    import psycopg  # noqa: PLC0415  only what the engine needs

    return psycopg.connect(host=address, port=port, user=user, password=password, dbname=database, connect_timeout=10)
