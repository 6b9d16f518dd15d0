"""Locks between task managers: in files, and on the servers that may also hold the state database, etcd and Valkey."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
from tests.support import lock_promises
from tests.support.etcd import etcd_server
from tests.support.mariadb_server import MariaDbServer
from tests.support.postgresql_server import PostgreSqlServer
from tests.support.valkey import valkey_server

from trove.core import errors
from trove.workflow.locks import Locks

SERVERS = ("file", "mariadb", "postgresql", "etcd", "valkey")
THAT_TELL_WHO_HOLDS = ("file", "mariadb", "postgresql")


@pytest.fixture(scope="module")
def etcd() -> Iterator[str]:
    with etcd_server() as url:
        yield url


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with valkey_server() as server:
        yield f"redis://control:{server.password}@{server.folder}/bus.sock?lock_timeout=2&membership_timeout=2"


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> str:
    if kind == "file":
        return f"file://{tmp_path}/locks"
    server = request.getfixturevalue(kind)
    if isinstance(server, str):
        return server
    server.recreate("locks")
    return str(server.lock_url("locks"))


@pytest.mark.parametrize("kind", SERVERS)
def test_the_death_of_the_holder_frees_the_lock(url: str) -> None:
    lock_promises.the_death_of_the_holder_frees_the_lock(url)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_lock_is_held_once_whoever_asks(url: str) -> None:
    lock_promises.a_lock_is_held_once_whoever_asks(url)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_lock_is_taken_from_one_that_was_stopped(url: str) -> None:
    lock_promises.a_lock_is_taken_from_one_that_was_stopped(url)


def test_mariadb_lets_a_user_without_any_privilege_break_its_own_locks(mariadb: MariaDbServer) -> None:
    with closing(pymysql.connect(host="127.0.0.1", port=mariadb.port, user=mariadb.user, password=mariadb.password)) as root:
        root.cursor().execute("CREATE OR REPLACE USER plain IDENTIFIED BY 'plain'")
    lock_promises.a_lock_is_taken_from_one_that_was_stopped(f"mysql://plain:plain@127.0.0.1:{mariadb.port}/")


def test_postgresql_lets_a_user_without_any_privilege_break_its_own_locks(postgresql: PostgreSqlServer) -> None:
    postgresql.recreate("plainlocks")
    with postgresql.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    url = f"postgresql://plain:plain@127.0.0.1:{postgresql.port}/plainlocks"
    lock_promises.a_lock_is_taken_from_one_that_was_stopped(url)


@pytest.mark.parametrize("kind", THAT_TELL_WHO_HOLDS)
def test_only_the_hold_that_was_judged_is_broken(url: str) -> None:
    lock_promises.only_the_hold_that_was_judged_is_broken(url)


@pytest.mark.parametrize("scheme", ["mysql", "postgresql", "etcd3+http"])
def test_a_server_that_is_away_is_unavailable_and_its_password_is_not_told(scheme: str) -> None:
    with pytest.raises(errors.Unavailable) as caught:
        Locks(f"{scheme}://trove:hunter2@127.0.0.1:1/trove", "member")
    assert "hunter2" not in str(caught.value)
