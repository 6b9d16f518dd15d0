"""Replication of every engine that has it, between real servers: nothing acknowledged is lost, and never do two take writes."""

from contextlib import closing

import pytest
from tests.conformance.engine.conftest import Build, Move
from tests.support.cable import cable, may_lay_cables
from tests.support.dialects import Denied, LoginRefused, ReadOnly, Tenant
from tests.support.guests import wait_for
from tests.support.link import link
from tests.support.living_files import contents
from tests.support.replicated import ReplicatedSet, await_following, new_account, source_of
from tests.support.served_store import Store
from tests.support.servers import PASSWORD, Server
from tests.support.workload import Bank, Writes

from trove.core.errors import GuestError
from trove.core.replication import Source, account_name
from trove.datastores.contract import Facet

pytestmark = pytest.mark.facet(Facet.REPLICATION, Facet.USERS)

CLOSED = (ReadOnly, LoginRefused, Denied)
"""How a server that takes no writes may say so to tenants."""


@pytest.fixture
def replicated(fresh: Server, build: Build, store: Store) -> ReplicatedSet:
    """A source without replicas."""
    return ReplicatedSet(source=fresh, build=build, store=store)


def put(server: Server, tenant: Tenant, *keys: str) -> None:
    with closing(server.connect(tenant)) as session:
        for key in keys:
            session.put(key, key)


def keys(server: Server, tenant: Tenant) -> set[str]:
    with closing(server.connect(tenant)) as session:
        return session.keys()


def assert_closed(server: Server, tenant: Tenant) -> None:
    with pytest.raises(CLOSED):
        put(server, tenant, "errant")


@pytest.mark.every_edition
def test_a_replica_is_built_while_its_source_takes_writes_and_follows(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    with closing(source.connect(tenant)) as session:
        session.open_bank(Bank.ACCOUNTS, Bank.BALANCE)
        session.fill(4)
    with Bank(lambda: source.connect(tenant)) as bank, Writes(lambda: source.connect(tenant)) as writes:
        writes.await_more()
        replica = replicated.add()
        bank.await_more()
        writes.await_more()
    assert (bank.refusals, writes.refusals) == (set(), set())
    replicated.catch_up()
    with closing(replica.connect(tenant)) as session:
        assert writes.lost(session) == set()
        assert sum(session.balances()) == Bank.TOTAL
    await_following(replica)
    assert source.call("replica_state") is None
    # What the agent makes on the source comes, too.
    late = source.new_tenant()
    put(source, late, "key")
    replicated.catch_up()
    wait_for(lambda: late.name in replica.users(), "the new user on the replica")
    assert "key" in keys(replica, late)


def test_a_replica_takes_no_writes_whatever_happens_to_it(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    put(source, tenant, "first")
    replica = replicated.add()
    for number, how in enumerate((lambda: None, replica.restart, lambda: (replica.kill(), replica.call("start")))):
        how()
        assert_closed(replica, tenant)
        put(source, tenant, f"more{number}")
        await_following(replica)
        replicated.catch_up()
        assert keys(replica, tenant) == keys(source, tenant)


@pytest.mark.facet(Facet.ROOT)
def test_root_is_the_same_everywhere_and_cannot_write_on_a_replica(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    root = Tenant(name=source.spec.root_name, password=PASSWORD, database=tenant.database)
    source.call("enable_root", PASSWORD)
    put(source, tenant, "early")
    put(source, root, "by root")
    replica = replicated.add()
    assert replica.call("root_enabled") is True
    assert_closed(replica, root)
    source.call("disable_root")
    replicated.catch_up()
    wait_for(lambda: replica.call("root_enabled") is False, "root to be disabled on the replica")
    with pytest.raises(LoginRefused):
        replica.connect(root)


def test_a_replica_takes_no_orders_about_accounts(replicated: ReplicatedSet) -> None:
    tenant = replicated.source.new_tenant()
    replica = replicated.add()
    for name in ("made-here", tenant.name):
        with pytest.raises(Exception, match=r"(?i)replica|source"):
            replica.new_tenant(name)
    assert replica.users() == replicated.source.users() == [tenant.name]


def test_a_detached_replica_goes_its_own_way_with_all_that_it_got(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    put(source, tenant, "common")
    replica = replicated.add()
    replicated.catch_up()
    for _ in range(2):
        replica.call("detach_replica", for_failover=False)
    for _ in range(2):
        source.call("cleanup_source_on_replica_detach", account_name(replica.guest.instance_id))
    assert replica.call("replica_state") is None
    put(source, tenant, "theirs")
    put(replica, tenant, "mine")
    replica.restart()
    assert keys(replica, tenant) == {"common", "mine"}
    assert keys(source, tenant) == {"common", "theirs"}


@pytest.mark.every_edition
def test_a_promotion_under_writes_loses_nothing_and_all_follow(replicated: ReplicatedSet) -> None:
    old = replicated.source
    tenant = old.new_tenant()
    with closing(old.connect(tenant)) as session:
        session.open_bank(Bank.ACCOUNTS, Bank.BALANCE)
    candidate, other = replicated.add(), replicated.add()

    def connect() -> object:
        return replicated.source.connect(tenant)

    with Writes(connect, "w") as writes, Bank(connect) as bank:
        writes.await_more()
        replicated.promote(candidate)
        writes.await_more()
        bank.await_more()
    assert replicated.source is candidate
    replicated.catch_up()
    for each in (candidate, other, old):
        with closing(each.connect(tenant)) as session:
            assert writes.lost(session) == set()
            assert sum(session.balances()) == Bank.TOTAL
    for each in (other, old):
        await_following(each)
        assert_closed(each, tenant)
    # And back again.
    replicated.promote(old)
    put(old, tenant, "back")
    replicated.catch_up()
    assert all("back" in keys(each, tenant) for each in (old, candidate, other))
    assert_closed(candidate, tenant)


def test_a_closed_source_acknowledges_nothing_more_until_it_is_opened(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    replica = replicated.add()
    with Writes(lambda: source.connect(tenant)) as writes:
        writes.await_more()
        source.call("make_read_only", read_only=True)
        done = writes.done
        replicated.catch_up()
        with closing(replica.connect(tenant)) as session:
            assert writes.lost(session) == set()
        for how in (lambda: None, source.restart, lambda: (source.kill(), source.call("start"))):
            how()
            assert_closed(source, tenant)
        assert writes.done - done <= 1  # one may have been on its way back
        source.call("make_read_only", read_only=False)
        writes.await_more()
    replicated.catch_up()
    with closing(replica.connect(tenant)) as session:
        assert writes.lost(session) == set()


def test_a_candidate_that_is_parted_takes_no_writes_and_can_go_back(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    replica = replicated.add()
    source.call("make_read_only", read_only=True)
    for _ in range(2):
        replica.call("detach_replica", for_failover=True)
    for how in (lambda: None, lambda: (replica.kill(), replica.call("start"))):
        how()
        assert_closed(replica, tenant)
    for _ in range(2):
        replica.call("attach_replica", None)
    source.call("make_read_only", read_only=False)
    put(source, tenant, "key")
    replicated.catch_up()
    assert keys(replica, tenant) == {"key"}


def test_a_killed_source_is_replaced_by_the_replica_that_has_most(replicated: ReplicatedSet) -> None:
    old = replicated.source
    tenant = old.new_tenant()
    first, second = replicated.add(), replicated.add()
    with Writes(lambda: old.connect(tenant)) as writes:
        writes.await_more()
        replicated.catch_up()
        certain = list(writes.keys)
        second.call("stop", timeout_s=30)
        writes.await_more()
        replicated.catch_up(first)
        certain = list(writes.keys)[: len(certain) + 10]
        old.kill()
    second.call("start")
    chosen = replicated.eject()
    assert chosen is first
    for each in (chosen, second):
        replicated.catch_up(second)
        assert set(certain) <= keys(each, tenant)
    put(chosen, tenant, "after")
    replicated.catch_up()
    assert keys(second, tenant) == keys(chosen, tenant)
    assert_closed(second, tenant)


def test_an_old_source_that_comes_back_never_follows_with_writes_of_its_own(replicated: ReplicatedSet, move: Move) -> None:
    old = replicated.source
    tenant = old.new_tenant()
    put(old, tenant, "common")
    replica = replicated.add()
    replicated.catch_up()
    replica.call("stop", timeout_s=30)
    put(old, tenant, "errant")  # acknowledged, and seen by nobody else
    old.kill()
    replica.call("start")
    assert replicated.eject() is replica
    put(replica, tenant, "new")
    # Its machine is made anew: only the volume is the same.
    move(old, old.edition)
    refusal = ""
    try:
        replicated.rejoin(old)
    except GuestError as error:
        refusal = error.message
    if refusal:
        assert "built anew" in refusal
        return
    replicated.catch_up()
    assert keys(old, tenant) == keys(replica, tenant) == {"common", "new"}
    assert_closed(old, tenant)
    await_following(old)


def test_an_old_source_without_writes_of_its_own_follows_again(replicated: ReplicatedSet, move: Move) -> None:
    old = replicated.source
    tenant = old.new_tenant()
    put(old, tenant, "common")
    replica = replicated.add()
    replicated.catch_up()
    old.call("stop", timeout_s=30)
    assert replicated.eject() is replica
    put(replica, tenant, "new")
    move(old, old.edition)
    replicated.rejoin(old)
    replicated.catch_up()
    assert keys(old, tenant) == {"common", "new"}
    assert_closed(old, tenant)


def test_an_agent_killed_while_it_builds_a_replica_builds_it_again(replicated: ReplicatedSet, build: Build) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    with closing(source.connect(tenant)) as session:
        session.fill(2)
        session.put("key", "key")
    made = build()
    replicated.build_replica(made)
    made.guest.stop_all()  # everything, as when the machine loses its power
    made.new_agent()
    replicated.build_replica(made)
    replicated.replicas.append(made)
    put(source, tenant, "late")
    replicated.catch_up()
    assert keys(made, tenant) == {"key", "late"}


def test_a_replica_says_why_it_does_not_follow(replicated: ReplicatedSet) -> None:
    replica = replicated.add()
    await_following(replica)
    replicated.source.call("stop", timeout_s=30)
    state = wait_for(lambda: (found := replica.call("replica_state")) and not found.following and found, "the problem", 90)
    assert state.problem
    replicated.source.call("start")
    await_following(replica)


def test_a_cut_network_holds_up_nobody_but_the_replica_which_catches_up_later(replicated: ReplicatedSet) -> None:
    source = replicated.source
    tenant = source.new_tenant()
    replica = replicated.add()
    with link(source.address, source.spec.tcp_ports[0]) as network:
        account = new_account(replica)
        source.call("enable_as_master", [account])
        replica.call("attach_replica", Source(host=network.host, port=network.port, account=account))
        await_following(replica)
        with Writes(lambda: source.connect(tenant)) as writes:
            writes.await_more()
            network.cut()
            writes.await_more(100)
            assert_closed(replica, tenant)
            network.mend()
            writes.await_more()
        assert writes.refusals == set()
        await_following(replica)
        replicated.catch_up()
        with closing(replica.connect(tenant)) as session:
            assert writes.lost(session) == set()


def test_a_pulled_cable_is_told_and_the_replica_catches_up_once_it_is_back(build: Build, store: Store) -> None:
    if not may_lay_cables():
        pytest.skip("NOT TESTED here: it needs root, network namespaces and bridges")
    with cable() as network:
        source, replica = build(), build()
        source.guest.address, replica.guest.address = network.near, network.far
        source.new_agent()
        source.prepare()
        tenant = source.new_tenant()
        replicated = ReplicatedSet(source=source, build=build, store=store, replicas=[replica])

        def move() -> None:
            replica.guest.namespace = network.namespace
            replica.new_agent()

        try:
            # Backups come over another network than what is followed.
            replicated.build_replica(replica, before_it_follows=move)
            await_following(replica)
            with Writes(lambda: source.connect(tenant)) as writes:
                writes.await_more()
                network.cut()
                wait_for(
                    lambda: (state := replica.call("replica_state")) and not state.following and state.problem, "the loss", 120
                )
                writes.await_more(100)
                network.mend()
                writes.await_more()
            assert writes.refusals == set()
            await_following(replica)
            replicated.catch_up()
            assert_closed(replica, tenant)
            with closing(replica.connect(tenant)) as session:
                assert writes.lost(session) == set()
        finally:
            for each in (source, replica):
                each.guest.stop_all()


def test_a_wrong_account_is_refused_and_no_password_is_told(replicated: ReplicatedSet, build: Build) -> None:
    replica = replicated.add()
    wrong = new_account(replica)
    with pytest.raises(GuestError) as caught:
        replica.call("attach_replica", source_of(replicated.source, wrong))
    assert wrong.password not in caught.value.message
    for path, content in contents(replica.guest.root / "log"):
        assert wrong.password.encode() not in content, path
    replica.call("attach_replica", None)
    await_following(replica)
