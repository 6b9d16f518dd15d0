"""What replication by global transaction ids promises beyond the suite: MariaDB's own corners, each on real servers."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.conformance.engine.conftest import Build
from tests.support.dialects import Denied, Gone, ReadOnly, Tenant
from tests.support.dialects.mysql_session import MySQLSession
from tests.support.guests import wait_for
from tests.support.living_files import contents
from tests.support.served_store import CONTAINER, Store
from tests.support.servers import Server

from trove.core.errors import GuestError, InvalidInput
from trove.core.manifests import Manifest, manifest_name
from trove.core.replication import Account, Source, account_name

pytestmark = pytest.mark.manager("mariadb")

ROOT = Tenant(name="root", password="R00t-pass")


def account_of(server: Server, password: str = "replica-pass") -> Account:
    return Account(name=account_name(server.guest.instance_id), password=password)


def as_source(server: Server, account: Account) -> Source:
    return Source(host=server.address, port=server.spec.tcp_ports[0], account=account)


def replica_of(source: Server, build: Build, store: Store, **overrides: Any) -> Server:
    """Build a replica as the control plane does."""
    replica = build()
    account = account_of(replica)
    source.do("get_replication_snapshot", account=account)
    job = store.job(source.edition)
    source.worker.call("back_up", job)
    content = b"".join(store.objects.get(CONTAINER, manifest_name(job["backup_id"])))
    replica.worker.call("restore", store.chain(job["backup_id"]))
    snapshot = {"positions": dict(Manifest.from_bytes(content).positions)}
    config = replica.config(**overrides)
    replica.do("prepare_replica", config=config, snapshot=snapshot, source=as_source(source, account))
    return replica


def promote(old: Server, new: Server, *others: Server) -> None:
    old.call("make_read_only", True)
    new.call("wait_for_txn", old.call("get_latest_txn_id"), timeout_s=60)
    new.call("detach_replica", for_failover=True)
    followers = (old, *others)
    new.call("enable_as_master", [account_of(each) for each in followers])
    for each in followers:
        each.call("attach_replica", as_source(new, account_of(each)))


@contextmanager
def root_of(server: Server) -> Iterator[MySQLSession]:
    with closing(MySQLSession(server.address, ROOT)) as session:
        yield session


def await_row(server: Server, statement: str) -> None:
    def there() -> bool:
        with root_of(server) as session:
            return bool(session.run(statement))

    wait_for(there, f"{statement} on a replica")


def test_a_replica_that_has_applied_nothing_yet_can_become_the_source(fresh: Server, build: Build, store: Store) -> None:
    fresh.call("enable_root", ROOT.password)
    with root_of(fresh) as session:
        session.run("CREATE DATABASE d")
        session.run("CREATE TABLE d.t (i INT PRIMARY KEY)")
    first, second = replica_of(fresh, build, store), replica_of(fresh, build, store)
    before = fresh.call("get_latest_txn_id")
    promote(fresh, first, second)
    with root_of(first) as session:
        session.run("INSERT INTO d.t VALUES (1)")
    assert int(first.call("get_latest_txn_id").rpartition("-")[2]) == int(before.rpartition("-")[2]) + 1
    for each in (fresh, second):
        await_row(each, "SELECT * FROM d.t WHERE i = 1")
        assert each.call("replica_state").problem is None


def test_what_takes_long_does_not_keep_a_server_open(fresh: Server) -> None:
    fresh.call("enable_root", ROOT.password)
    with root_of(fresh) as session:
        session.run("CREATE DATABASE d")
        session.run("CREATE TABLE d.t (i INT PRIMARY KEY) ENGINE=InnoDB")
        session.run("CREATE TABLE d.locked (i INT PRIMARY KEY) ENGINE=InnoDB")
    ended: list[Exception] = []
    with ExitStack() as stack:
        idle, busy, locking = (stack.enter_context(root_of(fresh)) for _ in range(3))
        idle.run("START TRANSACTION")
        idle.run("INSERT INTO d.t VALUES (1)")
        locking.run("LOCK TABLES d.locked WRITE")

        def insert_slowly() -> None:
            try:
                busy.run("INSERT INTO d.t SELECT 2 + SLEEP(600)")
            except (Gone, ReadOnly) as error:
                ended.append(error)

        slow = threading.Thread(target=insert_slowly)
        slow.start()
        fresh.call("make_read_only", True)
        slow.join(60)
        assert ended
        with pytest.raises((ReadOnly, Gone)):
            idle.run("COMMIT")
    with root_of(fresh) as session:
        assert not session.run("SELECT * FROM d.t")
    fresh.call("make_read_only", False)
    with root_of(fresh) as session:
        session.run("INSERT INTO d.t VALUES (3)")


def test_the_superuser_cannot_open_a_replica(fresh: Server, build: Build, store: Store) -> None:
    fresh.call("enable_root", ROOT.password)
    replica = replica_of(fresh, build, store)
    with root_of(replica) as session:
        with pytest.raises(Denied, match="READ_ONLY ADMIN"):
            session.run("SET GLOBAL read_only = 0")
        with pytest.raises(ReadOnly):
            session.run("CREATE DATABASE mine")
        assert not session.run("SELECT User FROM mysql.global_priv WHERE User LIKE 'replica_%'")
    with pytest.raises(InvalidInput, match="replica"):
        replica.call("disable_root")


def test_a_replica_that_is_too_far_behind_says_so(fresh: Server, build: Build, store: Store) -> None:
    fresh.call("enable_root", ROOT.password)
    replica = replica_of(fresh, build, store)
    replica.call("stop", timeout_s=30)
    with root_of(fresh) as session:
        session.run("CREATE DATABASE d")
        session.run("FLUSH BINARY LOGS")
        newest = session.run("SHOW MASTER STATUS")[0][0]

        def purged() -> bool:
            session.run(f"PURGE BINARY LOGS TO '{newest}'")
            return len(session.run("SHOW BINARY LOGS")) == 1

        wait_for(purged, "the removal of old binary logs")
    replica.call("start")
    wait_for(lambda: (replica.call("replica_state").problem or "").startswith("It is too far behind"), "the problem")
    state = replica.call("replica_state")
    assert not state.following
    assert "built anew" in state.problem
    account = account_of(replica, "another-pass")
    fresh.call("enable_as_master", [account])
    with pytest.raises(GuestError, match="built anew"):
        replica.call("attach_replica", as_source(fresh, account))


def test_the_password_of_a_replica_is_in_no_log_and_no_file_but_the_server_s_own(
    fresh: Server, build: Build, store: Store
) -> None:
    fresh.call("enable_root", ROOT.password)
    for log in ("general", "slow_query"):
        fresh.call("enable_log", log, enabled=True)
    replica = replica_of(fresh, build, store, long_query_time=0.0)
    for log in ("general", "slow_query"):
        replica.call("enable_log", log, enabled=True)
    account = account_of(replica, "very-secret-word")
    fresh.call("enable_as_master", [account])
    replica.call("attach_replica", as_source(fresh, account))
    holding = []
    for server in (fresh, replica):
        holding += [path.name for path, content in contents(server.guest.root) if b"very-secret-word" in content]
    assert holding == ["master.info"]
    private = Path(replica.guest.root, "volume/data")
    assert private.stat().st_mode & 0o077 == 0


def test_a_server_whose_role_cannot_be_read_comes_up_closed(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    fresh.call("make_read_only", True)
    fresh.call("stop", timeout_s=30)
    (Path(fresh.guest.root) / "volume" / "replication.json").write_text("{")
    fresh.call("start")
    with closing(fresh.connect(tenant)) as session, pytest.raises(ReadOnly):
        session.put("a", "b")
    fresh.call("make_read_only", False)
    with closing(fresh.connect(tenant)) as session:
        session.put("a", "b")
    assert cast("Any", fresh.call("replica_state")) is None


def test_events_that_only_the_source_ran_run_on_the_next_source(fresh: Server, build: Build, store: Store) -> None:
    fresh.call("enable_root", ROOT.password)
    replica = replica_of(fresh, build, store)
    with root_of(fresh) as session:
        session.run("CREATE DATABASE d")
        session.run("CREATE TABLE d.t (i INT AUTO_INCREMENT PRIMARY KEY)")
        session.run("CREATE EVENT d.tick ON SCHEDULE EVERY 1 DAY DO INSERT INTO d.t VALUES ()")
    status = "SELECT STATUS, DEFINER FROM information_schema.EVENTS WHERE EVENT_NAME = 'tick'"
    await_row(replica, status)
    with root_of(replica) as session:
        assert session.run(status)[0][0] == "SLAVESIDE_DISABLED"
    promote(fresh, replica)
    with root_of(replica) as session:
        assert tuple(session.run(status)[0]) == ("ENABLED", "root@%")
