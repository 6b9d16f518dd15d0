"""What is true of MySQL alone, on a real server: its accounts, its data directory, its parameters and its copies."""

from contextlib import closing, suppress
from dataclasses import replace

import pymysql
import pytest
from tests.conformance.engine.conftest import Build
from tests.support.dialects import LoginRefused, ReadOnly, Tenant
from tests.support.dialects.mysql import as_root
from tests.support.dialects.mysql_session import MySQLSession
from tests.support.guests import Worker, wait_for
from tests.support.living_files import bytes_on_disk, contents
from tests.support.served_store import Store
from tests.support.servers import Server

from trove.core.accounts import Database, User
from trove.core.errors import GuestError
from trove.core.ids import new_id
from trove.core.replication import Account, Source
from trove.core.status import ServiceStatus
from trove.datastores.families.mysql import naming
from trove.datastores.families.oracle_mysql import collations

pytestmark = pytest.mark.manager("mysql")


def root(server: Server, statement: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in as_root(server.guest, server.worker, statement)]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("o'clock", "'"),
        ("back`tick", '"'),
        ('dou"ble', "`"),
        ("per%cent", "%s%%"),
        ("under_score", "\\"),
        ("bs\\x", "é😀漢"),
        ("漢" * 51, "p" * 200),
        ("é" * 64, " lead and trail "),
        ("x" * 64, "-- ;"),
    ],
)
def test_a_tenant_works_in_its_database(server: Server, name: str, password: str) -> None:
    user = new_id()[:8] + name[:4]
    server.call("create_databases", [Database(name=name)])
    server.call("create_users", [User(name=user, password=password, databases=(name,))])
    try:
        with closing(MySQLSession(server.address, Tenant(name=user, password=password, database=name))) as session:
            session.put("key", name)
            assert session.get("key") == name
        with pytest.raises(LoginRefused):
            MySQLSession(server.address, Tenant(name=user, password=password + "x"))
    finally:
        server.call("delete_user", user, "%")
        server.call("delete_database", name)


@pytest.mark.parametrize(("granted", "other"), [("a_b", "axb"), ("p%q", "pxyzq"), ("c\\d", "cd"), ("e\\_f", "e_f")])
def test_a_grant_reaches_one_database_only(server: Server, granted: str, other: str) -> None:
    user = f"u{new_id()[:12]}"
    server.call("create_databases", [Database(name=granted), Database(name=other)])
    server.call("create_users", [User(name=user, password="p", databases=(granted,))])
    try:
        MySQLSession(server.address, Tenant(name=user, password="p", database=granted)).close()
        with pytest.raises(Exception, match="1044"):
            MySQLSession(server.address, Tenant(name=user, password="p", database=other))
        assert server.call("list_access", user, "%") == (granted,)
    finally:
        server.call("delete_user", user, "%")
        for name in (granted, other):
            server.call("delete_database", name)


@pytest.mark.parametrize("host", ["%", "127.0.0.1", "127.%", "127.0.0._", "127.0.0.0/255.0.0.0"])
def test_a_user_comes_in_from_the_hosts_that_match_until_it_is_dropped(server: Server, host: str) -> None:
    user = f"u{new_id()[:12]}"
    server.call("create_users", [User(name=user, host=host, password="p")])
    with closing(MySQLSession(server.address, Tenant(name=user, password="p"))) as session:
        session.run("SELECT 1")
        server.call("delete_user", user, host)
        with pytest.raises(Exception, match=r"Lost|gone|closed"):
            session.run("SELECT 1")


def test_a_role_of_a_tenant_is_not_listed_as_a_user(server: Server) -> None:
    before = server.users()
    name = f"r{new_id()[:12]}"
    root(server, f"CREATE ROLE '{name}'")
    assert server.users() == before
    root(server, f"DROP ROLE '{name}'")


def test_a_damaged_account_of_the_agent_is_repaired_by_a_restart(server: Server) -> None:
    for damage in ("DROP USER os_admin@localhost", "ALTER USER os_admin@localhost IDENTIFIED BY 'x'"):
        server.call("enable_root", "s3cret")
        with closing(MySQLSession(server.address, Tenant(name="root", password="s3cret"))) as session:
            session.run(damage)
        wait_for(lambda: server.call("probe") is ServiceStatus.BLOCKED, "the agent locked out")
        with pytest.raises(GuestError, match="restart"):
            server.call("list_users", limit=1, marker=None)
        server.restart()
        assert server.call("probe") is ServiceStatus.HEALTHY
    server.call("disable_root")


def test_a_start_leaves_no_transaction_of_the_agents(server: Server) -> None:
    before = root(server, "SELECT 1")
    assert before == [(1,)]
    server.call("enable_root", "p")
    with closing(MySQLSession(server.address, Tenant(name="root", password="p"))) as session:
        executed = session.run("SELECT @@GLOBAL.gtid_executed")
    server.restart()
    with closing(MySQLSession(server.address, Tenant(name="root", password="p"))) as session:
        assert session.run("SELECT @@GLOBAL.gtid_executed") == executed
    server.call("disable_root")


def test_passwords_are_in_no_log(server: Server) -> None:
    passwords = [f"v3ry-{new_id()}", f"als0-{new_id()}", f"repl-{new_id()}"]
    server.call("enable_log", "general", enabled=True)
    server.call("enable_log", "slow_query", enabled=True)
    server.call("enable_root", passwords[0])
    server.call("create_users", [User(name=f"u{new_id()[:12]}", password=passwords[1])])
    account = Account(name=f"replica_{new_id().replace('-', '')[:16]}", password=passwords[2])
    server.do("get_replication_snapshot", account=account)
    server.call("cleanup_source_on_replica_detach", account.name)
    for name in ("general", "slow_query"):
        server.call("enable_log", name, enabled=False)
    server.call("disable_root")
    data = server.guest.root / "volume/data"
    for path, content in contents(server.guest.root / "log", *data.glob("binlog.*")):
        assert not any(password.encode() in content for password in passwords), path


def test_each_server_has_an_identity_and_keys_of_its_own(server: Server) -> None:
    """The template that all instances begin from holds neither, nor anybody who could log in."""
    template = server.guest.template
    assert template is not None
    assert [*template.glob("*.pem"), *template.glob("auto.cnf")] == []
    data = server.guest.root / "volume/data"
    assert {"auto.cnf", "server-key.pem", "private_key.pem"} <= {path.name for path in data.iterdir()}
    accounts = {f"{user}@{host}" for user, host in root(server, "SELECT User, Host FROM mysql.user WHERE account_locked = 'N'")}
    assert "root@localhost" not in accounts
    assert "os_admin@localhost" in accounts


def test_what_a_superuser_persists_does_not_outlive_the_server(server: Server) -> None:
    server.call("enable_root", "p")
    with closing(MySQLSession(server.address, Tenant(name="root", password="p"))) as session:
        session.run("SET PERSIST_ONLY innodb_buffer_pool_size = 1099511627776")
        session.run("SET PERSIST_ONLY max_connections = 1")
    server.restart()
    assert server.call("probe") is ServiceStatus.HEALTHY
    with closing(MySQLSession(server.address, Tenant(name="root", password="p"))) as session:
        ((connections,),) = session.run("SELECT @@GLOBAL.max_connections")
        assert int(connections) > 1
        session.run("RESET PERSIST")
    server.call("disable_root")


@pytest.mark.parametrize("engine", ["MyISAM", "CSV", "ARCHIVE"])
def test_tables_that_a_copy_would_leave_out_are_refused(server: Server, engine: str) -> None:
    tenant = server.new_tenant()
    with closing(MySQLSession(server.address, tenant)) as session, pytest.raises(pymysql.err.MySQLError, match="disabled"):
        session.run(f"CREATE TABLE t (i INT NOT NULL) ENGINE={engine}")


def test_the_table_of_collations_is_the_servers_own(server: Server) -> None:
    told: dict[str, set[str]] = {}
    for character_set, collation in root(
        server, "SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
    ):
        told.setdefault(str(character_set), set()).add(str(collation))
    assert {name: set(own) for name, own in collations.table().items()} == told


@pytest.mark.parametrize("step", [7, 11, 13, 31])
def test_the_lengths_of_file_names_are_the_servers_own(server: Server, step: int) -> None:
    """Seen in what it calls the directories of databases with letters from everywhere below U+10000."""
    data = server.guest.root / "volume/data"
    letters = [chr(code) for code in range(0x21, 0xD800, 1) if chr(code).isprintable() and chr(code) not in "/."]
    for start in range(0, len(letters), len(letters) // 3):
        name = "".join(letters[start :: step * 97][:50])
        before = {path.name for path in data.iterdir() if path.is_dir()}
        server.call("create_databases", [Database(name=name)])
        (made,) = {path.name for path in data.iterdir() if path.is_dir()} - before
        server.call("delete_database", name)
        assert len(made) == naming.file_name_length(name)


def test_what_is_said_to_wait_for_a_restart_cannot_be_set_and_all_else_can(server: Server) -> None:
    """The server tells only when it is asked to change one, each to the value that it has."""
    wrong = []
    server.call("enable_root", "p")
    with closing(MySQLSession(server.address, Tenant(name="root", password="p"))) as session:
        session.run("SET SESSION sql_mode = ''")
        for parameter in server.spec.parameters(server.edition.version):
            try:
                session.run(f"SET GLOBAL {parameter.name} = @@GLOBAL.{parameter.name}")
                restart = False
            except pymysql.err.MySQLError as error:
                if error.args[0] != 1238:
                    wrong.append(f"{parameter.name}: {error}")
                    continue
                restart = True
            if restart is not parameter.restart_required:
                wrong.append(f"{parameter.name}: restart {restart}")
    server.call("disable_root")
    assert wrong == []


def test_each_choice_of_a_parameter_is_one_of_the_servers(server: Server) -> None:
    wrong = []
    server.call("enable_root", "p")
    with closing(MySQLSession(server.address, Tenant(name="root", password="p"))) as session:
        for parameter in server.spec.parameters(server.edition.version):
            if not parameter.values or parameter.restart_required:
                continue
            ((before,),) = session.run(f"SELECT @@GLOBAL.{parameter.name}")
            for value in parameter.values:
                with suppress(pymysql.err.MySQLError):
                    session.run(f"SET GLOBAL {parameter.name} = %s", value)
                    continue
                wrong.append(f"{parameter.name}={value}")
            session.run(f"SET GLOBAL {parameter.name} = %s", before)
    server.call("disable_root")
    assert wrong == []


def test_an_increment_whose_logs_are_gone_is_refused(fresh: Server, store: Store) -> None:
    tenant = fresh.new_tenant()
    full = store.back_up(fresh)
    with closing(fresh.connect(tenant)) as session:
        session.put("late", "value")
    root(fresh, "FLUSH BINARY LOGS")
    root(fresh, "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
    with pytest.raises(GuestError, match="make a full backup"):
        store.back_up(fresh, since=full)


def test_a_copy_that_would_fill_the_volume_is_not_begun(fresh: Server, store: Store) -> None:
    volume = fresh.guest.root / "volume"
    used = bytes_on_disk(volume)
    fresh.worker.kill()
    fresh.worker = Worker(replace(fresh.guest.settings, volume_bytes=used + 70 * 2**20), fresh.edition.manager)
    fresh.guest.workers.append(fresh.worker)
    with pytest.raises(GuestError, match=r"needs .* MiB of free space"):
        store.back_up(fresh)
    assert not (volume / "backup").exists()
    assert fresh.call("probe") is ServiceStatus.HEALTHY


def test_a_replica_has_logs_and_backups_and_takes_no_writes_of_its_superuser(fresh: Server, build: Build, store: Store) -> None:
    fresh.call("enable_root", "p")
    replica = build()
    account = Account(name="replica_0123456789abcdef", password="of-the-replica")
    snapshot = fresh.do("get_replication_snapshot", account=account)
    source = Source(host=fresh.address, port=3306, account=account)
    replica.do("prepare_replica", config=replica.config(), snapshot=snapshot, source=source)
    log = replica.guest.root / "log/error.log"
    assert account.password not in log.read_text(errors="replace")
    # A closed server refuses even its agent to begin new logs, unless that opens it for the moment.
    log.unlink()
    replica.call("tend_logs")
    assert log.exists()
    full = store.back_up(replica)
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.put("late", "value")
    replica.call("wait_for_txn", fresh.call("get_latest_txn_id"), timeout_s=60.0)
    later = store.back_up(replica, since=full)
    with closing(MySQLSession(replica.address, Tenant(name="root", password="p"))) as session, pytest.raises(ReadOnly):
        session.run("CREATE DATABASE mine")
    restored = build()
    store.restore(restored, full, later)
    restored.prepare()
    with closing(restored.connect(tenant)) as session:
        assert session.keys() == {"late"}
        session.put("more", "value")
    assert restored.call("replica_state") is None
    assert restored.call("root_enabled")
