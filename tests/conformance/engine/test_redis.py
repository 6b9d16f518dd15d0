"""What is true of Redis and Valkey alone, on real servers."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, cast

import pytest
from tests.conformance.engine.conftest import Build
from tests.conformance.engine.test_full_volume import mounted
from tests.support.dialects import Denied, Gone, LoginRefused, ReadOnly, Tenant
from tests.support.dialects.redis import RedisKin, RedisSession
from tests.support.guests import wait_for
from tests.support.living_files import living_files
from tests.support.replicated import ReplicatedSet
from tests.support.served_store import Store
from tests.support.servers import PASSWORD, Server
from tests.support.workload import Writes

from trove.core.accounts import User
from trove.core.errors import InvalidInput, NotFound
from trove.core.status import ServiceStatus

pytestmark = pytest.mark.manager("redis", "valkey")

NOT_FOR_TENANTS = [
    "ACL LIST",
    "ACL SETUSER eve on nopass +@all ~*",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLUSTER RESET",
    "CONFIG GET masterauth",
    "CONFIG SET appendonly no",
    "FAILOVER",
    "MIGRATE 127.0.0.1 6379 key 0 1",
    "MODULE LIST",
    "MONITOR",
    "PSYNC ? -1",
    "REPLCONF capa eof",
    "REPLICAOF 127.0.0.1 6380",
    "SAVE",
    "SHUTDOWN NOSAVE",
    "SLAVEOF NO ONE",
    "SYNC",
]
FOR_TENANTS = ["KEYS *", "INFO server", "FLUSHDB", "FLUSHALL", "EVAL return(1) 0", "SELECT 15", "SCAN 0", "ACL WHOAMI", "ROLE"]


@contextmanager
def admin(server: Server) -> Iterator[Any]:
    """Be the agent."""
    with cast("RedisKin", server.dialect).admin(server.guest) as client:
        yield client


def connect(server: Server, tenant: Tenant) -> RedisSession:
    return cast("RedisSession", server.connect(tenant))


@pytest.mark.every_edition
def test_neither_users_nor_root_reach_what_is_the_agents(server: Server) -> None:
    root = Tenant(name="default", password=PASSWORD)
    server.call("enable_root", PASSWORD)
    for tenant in (server.new_tenant(), root):
        for command in NOT_FOR_TENANTS:
            # A new connection each: the next of a replica would be something else than an answer.
            with closing(connect(server, tenant)) as session, pytest.raises(Denied):
                session.run(*command.split())
        for command in FOR_TENANTS:
            with closing(connect(server, tenant)) as session:
                session.run(*command.split())
    server.call("disable_root")
    assert server.call("probe") is ServiceStatus.HEALTHY


def test_a_script_reaches_no_more_than_its_user(server: Server) -> None:
    with closing(connect(server, server.new_tenant())) as session:
        for command in ("'CONFIG', 'GET', '*'", "'SHUTDOWN'", "'ACL', 'LIST'"):
            with pytest.raises(Exception, match=r"(?i)permission|not allowed|unknown|no permissions"):
                session.run("EVAL", f"return redis.call({command})", "0")


def test_users_reach_all_numbered_databases_and_none_can_be_named(server: Server) -> None:
    tenant = server.new_tenant()
    for number in ("0", "15"):
        with closing(connect(server, Tenant(name=tenant.name, password=PASSWORD, database=number))) as session:
            session.put("key", number)
    for number in ("0", "15"):
        with closing(connect(server, Tenant(name=tenant.name, password=PASSWORD, database=number))) as session:
            assert session.get("key") == number
    with pytest.raises(InvalidInput, match="numbered databases"):
        server.call("create_users", [User(name="picky", password=PASSWORD, databases=("shop",))])
    with pytest.raises(InvalidInput, match="numbered databases"):
        server.call("grant_access", tenant.name, "%", ["shop"])
    with pytest.raises(NotFound):
        server.call("revoke_access", tenant.name, "%", "shop")
    assert server.call("list_access", tenant.name, "%") == ()
    with pytest.raises(InvalidInput, match="'%'"):
        server.call("create_users", [User(name="near", host="127.0.0.1", password=PASSWORD)])


def test_nothing_acknowledged_is_lost_by_kills(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    with Writes(lambda: fresh.connect(tenant)) as writes:
        for _ in range(3):
            writes.await_more()
            fresh.kill()
            fresh.call("start")
        writes.await_more()
    with closing(fresh.connect(tenant)) as session:
        assert writes.lost(session) == set()
    assert fresh.shown("appendfsync") == "always"


def test_a_server_whose_volume_fills_up_loses_nothing_and_goes_on_for_readers(build: Build) -> None:
    small = build()
    with mounted(small, 60):
        small.prepare()
        tenant = small.new_tenant()
        kept: list[str] = []
        with suppress(Gone, ReadOnly), closing(connect(small, tenant)) as session:
            for number in range(1000):
                session.put(f"key{number}", "x" * (1 << 20))
                kept.append(f"key{number}")
        assert kept
        wait_for(lambda: small.call("probe") in {ServiceStatus.BLOCKED, ServiceStatus.CRASHED}, "the full volume to be seen")
        small.call("start")
        assert small.call("probe") is ServiceStatus.BLOCKED
        with closing(connect(small, tenant)) as session:
            assert set(kept) <= session.keys()
            with pytest.raises(ReadOnly):
                session.put("late", "value")
        remount(small, 400)
        wait_for(lambda: small.call("probe") is ServiceStatus.HEALTHY, "recovery")
        with closing(connect(small, tenant)) as session:
            session.put("late", "value")
            assert session.keys() >= {*kept, "late"}


def remount(server: Server, mib: int) -> None:
    """Grow the volume, for whoever has it in view."""
    import subprocess

    volume = server.guest.root / "volume"
    subprocess.run(["mount", "-o", f"remount,size={mib}m", str(volume)], check=True)


def test_a_promotion_copies_no_data(build: Build, store: Store) -> None:
    source = build()
    source.prepare()
    tenant = source.new_tenant()
    replicated = ReplicatedSet(source=source, build=build, store=store)
    with closing(connect(source, tenant)) as session:
        session.run("SET", "soon-gone", "value", "PX", "300")
        session.fill(4)
    first, second = replicated.add(), replicated.add()
    replicated.promote(first)
    for follower in (source, second):
        with admin(follower) as client:
            assert client.info("replication")["master_link_status"] == "up"
    with admin(first) as client:
        stats = client.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (0, 2)
    # Keys expire again, which they do not while nothing may change.
    with admin(first) as client:
        wait_for(lambda: client.get("soon-gone") is None, "the key to expire")


def test_users_changed_on_the_source_are_changed_on_its_replicas(build: Build, store: Store) -> None:
    source = build()
    source.prepare()
    replicated = ReplicatedSet(source=source, build=build, store=store)
    gone, stays = source.new_tenant(), source.new_tenant()
    replica = replicated.add()
    with closing(replica.connect(gone)) as session:
        source.call("delete_user", gone.name, "%")
        source.call("update_user", stays.name, "%", new_name="renamed", new_host=None, password="an0ther-Pass")
        wait_for(lambda: replica.call("replica_state") and replica.users() == ["renamed"], "the users of the source")
        with pytest.raises((Gone, LoginRefused)):
            session.get("key")
    replica.connect(Tenant(name="renamed", password="an0ther-Pass")).close()
    # What replicas log in with is known to nobody but the source.
    with admin(replica) as client:
        assert sorted(client.acl_users()) == ["default", "os_admin", "renamed"]
    replica.kill()
    replica.call("start")
    assert replica.users() == ["renamed"]


def test_a_closed_server_stays_closed_whatever_its_configuration_says(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    fresh.call("make_read_only", read_only=True)
    for value in (0, 1):
        fresh.call("apply_config", fresh.config(**{"min-replicas-to-write": value}), at_restart=())
        with closing(fresh.connect(tenant)) as session, pytest.raises(ReadOnly):
            session.put("key", "value")
    fresh.call("make_read_only", read_only=False)
    assert fresh.shown("min-replicas-to-write") == "1"
    with closing(fresh.connect(tenant)) as session, pytest.raises(ReadOnly):
        session.put("key", "value")  # for want of a replica, as the tenant wished
    fresh.call("apply_config", fresh.config(), at_restart=())
    with closing(fresh.connect(tenant)) as session:
        session.put("key", "value")


def test_a_backup_leaves_nothing_on_the_volume(fresh: Server, store: Store) -> None:
    with closing(connect(fresh, fresh.new_tenant())) as session:
        session.fill(4)

    def files() -> set[str]:
        return {path.name for path in living_files(fresh.guest.root / "volume")}

    before = files()
    store.back_up(fresh)
    assert files() == before
    with admin(fresh) as client:
        assert client.info("stats")["sync_full"] == 1
        wait_for(lambda: client.info("replication")["connected_slaves"] == 0, "the end of the backup's connection")


def test_a_server_that_cannot_tell_what_it_is_does_not_open(fresh: Server) -> None:
    fresh.call("make_read_only", read_only=True)
    fresh.call("stop", timeout_s=30)
    note = fresh.guest.root / "volume" / "standing.json"
    whole = note.read_bytes()
    note.write_bytes(b"{")
    with pytest.raises(Exception, match=r"standing\.json"):
        fresh.call("start")
    note.write_bytes(whole)
    fresh.call("start")
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session, pytest.raises(ReadOnly):
        session.put("key", "value")
