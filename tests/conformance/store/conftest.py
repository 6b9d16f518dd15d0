"""One suite on three databases: SQLite, and real MariaDB and PostgreSQL servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.mariadb_server import MariaDbServer, mariadb_server
from tests.support.postgresql_server import PostgreSqlServer, postgresql_server

from trove.store import schema, tables
from trove.store.session import Database
from trove.store.vault import Vault

DIALECTS = ("sqlite", "mariadb", "postgresql")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a server in one worker of xdist, so that it is started once."""
    for item in items:
        call = getattr(item, "callspec", None)
        if item.path.parent == Path(__file__).parent and call is not None:
            for server in {"mariadb", "postgresql"} & {value for value in call.params.values() if isinstance(value, str)}:
                item.add_marker(pytest.mark.xdist_group(f"store-{server}"))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    with mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSqlServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def vault() -> Vault:
    return Vault([Vault.new_key()])


@pytest.fixture(scope="session")
def new_url(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], str]]:
    """Make an empty database of a dialect and name, and return its URL."""
    with TemporaryDirectory(prefix="trove-store-") as directory:

        def make(dialect: str, name: str) -> str:
            if dialect == "sqlite":
                for file in Path(directory).glob(f"{name}.db*"):
                    file.unlink()
                return f"sqlite:///{directory}/{name}.db"
            server = request.getfixturevalue(dialect)
            server.recreate(name)
            return str(server.url(name))

        yield make


@pytest.fixture(scope="session")
def migrated(new_url: Callable[[str, str], str], vault: Vault) -> Iterator[Callable[[str], Database]]:
    """Return the migrated database of a dialect, the same one each time."""
    databases: dict[str, Database] = {}
    with ExitStack() as stack:

        def get(dialect: str) -> Database:
            if dialect not in databases:
                databases[dialect] = Database(new_url(dialect, "trove"), vault=vault)
                stack.callback(databases[dialect].close)
                schema.upgrade(databases[dialect])
            return databases[dialect]

        yield get


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(dialect: str, migrated: Callable[[str], Database]) -> Iterator[Database]:
    found = migrated(dialect)
    yield found
    with found.transaction() as tx:
        for table in reversed(tables.metadata.sorted_tables):
            tx.execute(table.delete())
