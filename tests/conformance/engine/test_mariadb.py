"""What is true of MariaDB alone, on a real server, seen by a tenant over TCP."""

import os
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest
from tests.support import servers
from tests.support.editions import Edition
from tests.support.guests import Machine, Worker, wait_for
from tests.support.living_files import contents
from tests.support.standstill import go_on, stand_still

from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput
from trove.core.ids import new_id
from trove.core.status import ServiceStatus
from trove.datastores.families.mysql import naming
from trove.datastores.families.mysql.logs import LONGEST_LOG
from trove.datastores.mariadb import collations, spec

Server = tuple[Machine, Worker]


pytestmark = pytest.mark.manager("mariadb")


@pytest.fixture
def server(edition: Edition, prepared: Callable[[Edition], servers.Server]) -> Server:
    made = prepared(edition)
    return made.guest, made.worker


def connect(
    machine: Machine, user: str, password: str, database: str | None = None
) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    # As bytes, because PyMySQL would make Latin-1 of it, where MariaDB's own clients send UTF-8.
    return pymysql.connect(
        host=machine.address, user=user, password=password.encode(), database=database, charset="utf8mb4", autocommit=True
    )


def rows(machine: Machine, user: str, password: str, statement: str) -> tuple[tuple[object, ...], ...]:
    connection = connect(machine, user, password)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return tuple(cursor.fetchall())


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("o'clock", "'"),
        ("back`tick", '"'),
        ('dou"ble', "`"),
        ("per%cent", "%s%%"),
        ("under_score", "\\"),
        ("bs\\x", "é😀漢"),
        ("漢" * 51, "p" * 255),
        ("é" * 64, " lead and trail "),
        ("x" * 64, "-- ;"),
    ],
)
def test_a_tenant_works_in_its_database(server: Server, name: str, password: str) -> None:
    machine, worker = server
    user = new_id()[:8] + name[:4]
    worker.call("driver.create_databases", [Database(name=name)])
    worker.call("driver.create_users", [User(name=user, password=password, databases=(name,))])
    try:
        with connect(machine, user, password, name) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (a TEXT)")
            cursor.execute("INSERT INTO t VALUES (%s)", (name,))
            cursor.execute("SELECT a FROM t")
            assert cursor.fetchall() == ((name,),)
        with pytest.raises(pymysql.err.OperationalError):
            connect(machine, user, password + "x")
    finally:
        worker.call("driver.delete_user", user, "%")
        worker.call("driver.delete_database", name)


@pytest.mark.parametrize(("granted", "other"), [("a_b", "axb"), ("p%q", "pxyzq"), ("c\\d", "cd"), ("e\\_f", "e_f")])
def test_a_grant_reaches_one_database_only(server: Server, granted: str, other: str) -> None:
    machine, worker = server
    user = new_id()
    worker.call("driver.create_databases", [Database(name=granted), Database(name=other)])
    worker.call("driver.create_users", [User(name=user, password="p", databases=(granted,))])
    try:
        connect(machine, user, "p", granted).close()
        with pytest.raises(pymysql.err.OperationalError):
            connect(machine, user, "p", other)
        assert worker.call("driver.list_access", user, "%") == (granted,)
    finally:
        worker.call("driver.delete_user", user, "%")
        for name in (granted, other):
            worker.call("driver.delete_database", name)


@pytest.mark.parametrize(
    "name",
    [
        "漢" * 52,
        "x" * 65,
        "é" * 86,
        "😀",
        "a ",
        "mysql",
        "Information_Schema",
        "SYS",
        "lost+found",
        "#mysql50#x",
        ".",
        "..",
        "a\0b",
        "",
    ],
)
def test_a_database_name_that_cannot_be_is_refused_before_the_server_sees_it(server: Server, name: str) -> None:
    _, worker = server
    with pytest.raises(InvalidInput, match="Database name"):
        worker.call("driver.create_databases", [Database(name=name)])


@pytest.mark.parametrize("host", ["%", "127.0.0.1", "127.%", "127.0.0._", "127.0.0.0/255.0.0.0"])
def test_a_user_comes_in_from_the_hosts_that_match(server: Server, host: str) -> None:
    machine, worker = server
    user = new_id()
    worker.call("driver.create_users", [User(name=user, host=host, password="p")])
    connect(machine, user, "p").close()
    worker.call("driver.delete_user", user, host)


def test_a_user_does_not_come_in_from_elsewhere(server: Server) -> None:
    machine, worker = server
    user = new_id()
    worker.call("driver.create_users", [User(name=user, host="10.1.2.3", password="p")])
    with pytest.raises(pymysql.err.OperationalError):
        connect(machine, user, "p")
    worker.call("driver.update_user", user, "10.1.2.3", new_name=None, new_host="127.0.0.1", password="q")
    connect(machine, user, "q").close()


def test_a_dropped_user_loses_its_connections(server: Server) -> None:
    machine, worker = server
    user = new_id()
    worker.call("driver.create_users", [User(name=user, password="p")])
    connection = connect(machine, user, "p")
    worker.call("driver.delete_user", user, "%")
    with pytest.raises(pymysql.err.Error), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection._force_close()


def test_rights_do_not_outlive_their_database(server: Server) -> None:
    _, worker = server
    user, name = new_id(), "d" + new_id()
    worker.call("driver.create_databases", [Database(name=name)])
    worker.call("driver.create_users", [User(name=user, password="p", databases=(name,))])
    worker.call("driver.delete_database", name)
    assert worker.call("driver.list_access", user, "%") == ()


def test_root_is_a_superuser_who_cannot_read_the_agents_secret(server: Server) -> None:
    machine, worker = server
    worker.call("driver.enable_root", "first")
    worker.call("driver.enable_root", "s3cret")
    with pytest.raises(pymysql.err.OperationalError):
        connect(machine, "root", "first")
    grants = rows(machine, "root", "s3cret", "SHOW GRANTS")
    assert "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE" in str(grants)
    assert "READ ONLY ADMIN" not in str(grants)
    assert "WITH GRANT OPTION" in str(grants)
    secret = machine.root / "config/agent/os_admin.password"
    assert rows(machine, "root", "s3cret", f"SELECT LOAD_FILE('{secret}'), LOAD_FILE('/etc/passwd')") == ((None, None),)
    accounts = rows(machine, "root", "s3cret", "SELECT User, Host, Priv FROM mysql.global_priv")
    assert "" not in [user for user, _, _ in accounts]
    assert ("root", "localhost") not in [(user, host) for user, host, _ in accounts]
    assert "test" not in [row[0] for row in rows(machine, "root", "s3cret", "SHOW DATABASES")]
    worker.call("driver.disable_root")
    with pytest.raises(pymysql.err.OperationalError):
        connect(machine, "root", "s3cret")


def test_a_damaged_agents_account_is_repaired_by_a_restart(server: Server) -> None:
    machine, worker = server
    worker.call("driver.enable_root", "s3cret")
    rows(machine, "root", "s3cret", "DROP USER os_admin@localhost")
    assert worker.call("driver.probe") is ServiceStatus.BLOCKED
    with pytest.raises(GuestError, match="restart"):
        worker.call("driver.list_users", limit=1, marker=None)
    worker.call("driver.stop", timeout_s=30)
    worker.call("driver.start")
    assert worker.call("driver.probe") is ServiceStatus.HEALTHY
    worker.call("driver.disable_root")


def test_passwords_are_in_no_log(server: Server) -> None:
    machine, worker = server
    password = "v3ry-" + new_id()
    worker.call("driver.enable_root", password)
    rows(machine, "root", password, "SET GLOBAL general_log = ON")
    other = "als0-" + new_id()
    worker.call("driver.create_users", [User(name=new_id(), password=other)])
    worker.call("driver.enable_root", password)
    rows(machine, "root", password, "SET GLOBAL general_log = OFF")
    data = machine.root / "volume/data"
    for path, content in contents(machine.root / "log", *data.glob("*.log"), *data.glob("mariadb-bin.*")):
        assert password.encode() not in content, path
        assert other.encode() not in content, path
    worker.call("driver.disable_root")


def test_the_agent_leaves_no_trace_in_the_binary_log_when_it_starts(server: Server) -> None:
    machine, worker = server
    worker.call("driver.enable_root", "p")
    before = rows(machine, "root", "p", "SELECT @@gtid_binlog_pos")
    worker.call("driver.stop", timeout_s=30)
    worker.call("driver.start")
    assert rows(machine, "root", "p", "SELECT @@gtid_binlog_pos") == before
    worker.call("driver.disable_root")


def test_a_hung_server_is_blocked_not_healthy(server: Server) -> None:
    _, worker = server
    pid = worker.call("host.server_pid")
    stand_still(pid)
    try:
        assert worker.call("driver.probe") is not ServiceStatus.HEALTHY
    finally:
        go_on(pid)
    wait_for(lambda: worker.call("driver.probe") is ServiceStatus.HEALTHY, "recovery")


def test_the_table_of_collations_is_the_servers_own(server: Server) -> None:
    """Later versions have more, which are not offered."""
    machine, worker = server
    worker.call("driver.enable_root", "p")
    statement = "SELECT CHARACTER_SET_NAME, FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
    told: dict[str, set[str]] = {}
    for character_set, collation in rows(machine, "root", "p", statement):
        told.setdefault(str(character_set), set()).add(str(collation))
    worker.call("driver.disable_root")
    ours = {name: set(own) for name, own in collations.table().items()}
    assert [name for name, own in ours.items() if not own <= told.get(name, set())] == []
    assert ours == told or not worker.call("driver.version").startswith("10.11")


@pytest.mark.parametrize(
    ("character_set", "collate"),
    [
        ("utf8", None),
        ("utf8", "utf8_general_ci"),
        ("utf8mb3", "utf8_bin"),
        (None, "latin1_swedish_ci"),
        ("binary", "binary"),
        ("UTF8MB4", "utf8mb4_uca1400_ai_ci"),
    ],
)
def test_character_sets_that_pass_the_check_work(server: Server, character_set: str | None, collate: str | None) -> None:
    _, worker = server
    database = Database(name=new_id(), character_set=character_set, collate=collate)
    spec.SPEC.check_database(database)
    worker.call("driver.create_databases", [database])
    worker.call("driver.delete_database", database.name)


def test_the_lengths_of_file_names_are_the_servers_own(server: Server) -> None:
    machine, worker = server
    worker.call("driver.enable_root", "p")
    letters = [chr(code) for code in range(1, 0x10000, 1) if not 0xD800 <= code <= 0xDFFF]
    with connect(machine, "root", "p") as connection, connection.cursor() as cursor:
        for start in range(0, len(letters), 1000):
            some = letters[start : start + 1000]
            lengths = ", ".join(f"OCTET_LENGTH(CONVERT(_utf8mb3 0x{letter.encode().hex()} USING filename))" for letter in some)
            cursor.execute(f"SELECT {lengths}")
            told = cursor.fetchone()
            assert told is not None
            assert [naming.file_name_length(letter) for letter in some] == list(told)
    worker.call("driver.disable_root")


def test_a_long_error_log_is_put_aside_and_the_server_begins_a_new_one(server: Server) -> None:
    guest, worker = server
    log = guest.root / "log" / "error.log"
    with log.open("ab") as file:
        file.write(b"\n" * LONGEST_LOG)
    long = log.stat().st_size
    worker.call("driver.tend_logs")
    aside = log.with_name("error.log.1")
    assert aside.stat().st_size >= long
    with pytest.raises(pymysql.err.OperationalError):
        connect(guest, "nobody", "wrong")
    wait_for(lambda: b"Access denied for user 'nobody'" in log.read_bytes(), "the new log")
    assert log.stat().st_size < LONGEST_LOG
    worker.call("driver.tend_logs")
    assert aside.stat().st_size >= long


def test_making_a_data_directory_removes_nothing_of_other_servers(guest: Machine, config: str) -> None:
    canary = Path(f"/tmp/#sql-temptable-{guest.instance_id}")
    canary.touch()
    try:
        os.chown(canary, guest.root.stat().st_uid, -1)
        guest.template = None
        guest.worker().call("prepare", config)
        assert canary.exists()
    finally:
        canary.unlink(missing_ok=True)
