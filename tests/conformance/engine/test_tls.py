"""TLS with certificates of tenants, of every engine that has it, with real clients that verify what they are shown."""

import stat
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
from tests.conformance.engine.conftest import Build, Move
from tests.support.agent_stage import staged
from tests.support.certificates import Authority, Issued
from tests.support.dialects import ClientTls, Gone, LoginRefused, Tenant
from tests.support.dialects.mysql_session import MySQLSession
from tests.support.editions import Edition
from tests.support.guests import Machine
from tests.support.replicated import ReplicatedSet, await_following
from tests.support.served_store import Store
from tests.support.servers import PASSWORD, Server
from tests.support.valkey import ValkeyServer

from trove.core.errors import InvalidInput
from trove.core.tls import Tls, TlsMode
from trove.datastores.contract import Facet

pytestmark = pytest.mark.facet(Facet.TLS, Facet.USERS)

PLAIN = ClientTls()
REFUSED = (LoginRefused, Gone)
"""How a server, or a client that does not trust it, may say that nobody gets in."""


@dataclass(kw_only=True)
class Holder:
    """A tenant with authorities of his own, each of which signs for one server."""

    folder: Path

    def trusting(self, authority: Authority, own: Issued | None = None) -> ClientTls:
        """Return a client that trusts this authority alone."""
        trusted = self.folder / f"{id(authority)}.pem"
        trusted.write_text(authority.certificate)
        return ClientTls(trusted=trusted, own=None if own is None else own.write(self.folder, f"own-{id(own)}"))


@pytest.fixture
def holder(tmp_path: Path) -> Holder:
    return Holder(folder=tmp_path)


def tls_for(server: Server | str, authority: Authority, mode: TlsMode = TlsMode.BASIC, *, expired: bool = False) -> Tls:
    """Return a certificate for a server, or for an address."""
    address = server if isinstance(server, str) else server.address
    issued = authority.issue("db", address, expired=expired)
    return Tls(mode=mode, certificate=issued.certificate, chain=authority.certificate, key=issued.key)


def apply(server: Server, tls: Tls | None) -> bool:
    """Apply it as the control plane does, and restart the server if it waits for that; tell whether it did."""
    pending = server.call("apply_tls", tls)
    if pending:
        server.restart()
        assert server.call("apply_tls", tls) is False
    return bool(pending)


def can_enter(server: Server, tenant: Tenant, client: ClientTls) -> bool:
    """Tell whether a client gets in, and finds what it wrote."""
    try:
        with closing(server.connect_by_tls(tenant, client)) as session:
            session.put("key", "value")
            return session.get("key") == "value"
    except REFUSED:
        return False


def can_log_in(server: Server, tenant: Tenant, client: ClientTls) -> bool:
    """Tell whether a client gets in, also where it could not write."""
    try:
        server.connect_by_tls(tenant, client).close()
    except REFUSED:
        return False
    return True


def tls_files(server: Server) -> list[Path]:
    return [path for path in (server.guest.root / "volume" / "tls").rglob("*") if path.is_file()]


def holds(folder: Path, secrets: Sequence[str]) -> list[Path]:
    """Return the files that have one of these in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(each.encode() in path.read_bytes() for each in secrets)]


def secret_lines(tls: Tls) -> list[str]:
    return [line for line in tls.key.splitlines() if line and "-----" not in line]


@pytest.mark.every_edition
def test_a_certificate_is_shown_replaced_and_taken_away(fresh: Server, holder: Holder) -> None:
    tenant = fresh.new_tenant()
    first, second = Authority("first"), Authority("second")
    apply(fresh, tls_for(fresh, first))
    assert can_enter(fresh, tenant, holder.trusting(first))
    assert can_enter(fresh, tenant, PLAIN)
    assert not can_enter(fresh, tenant, holder.trusting(second))
    # A new one needs no restart, and is in effect at once.
    assert apply(fresh, tls_for(fresh, second)) is False
    assert not can_enter(fresh, tenant, holder.trusting(first))
    assert can_enter(fresh, tenant, holder.trusting(second))
    assert apply(fresh, tls_for(fresh, second, TlsMode.ENFORCED)) is False
    assert can_enter(fresh, tenant, holder.trusting(second))
    assert not can_enter(fresh, tenant, PLAIN)
    for _ in range(2):
        apply(fresh, None)
    assert can_enter(fresh, tenant, PLAIN)
    assert not can_enter(fresh, tenant, holder.trusting(second))
    assert tls_files(fresh) == []


def test_what_is_of_no_use_is_refused_and_all_goes_on_as_before(fresh: Server, holder: Holder) -> None:
    tenant = fresh.new_tenant()
    authority, other = Authority(), Authority("other")
    good, bad = tls_for(fresh, authority), tls_for(fresh, other)
    for before in (None, good):
        apply(fresh, before)
        files = tls_files(fresh)
        for wrong in (
            Tls(mode=TlsMode.ENFORCED, certificate=bad.certificate, chain=bad.chain, key=good.key),
            Tls(mode=TlsMode.ENFORCED, certificate="no certificate", key=bad.key),
            Tls(mode=TlsMode.ENFORCED, certificate=bad.certificate, chain="no chain", key=bad.key),
            Tls(mode=TlsMode.MTLS, certificate=bad.certificate, key=bad.key),
        ):
            with pytest.raises(InvalidInput) as refused:
                fresh.call("apply_tls", wrong)
            assert not any(line in str(refused.value) for line in secret_lines(bad) + secret_lines(good))
        assert tls_files(fresh) == files
        assert can_enter(fresh, tenant, PLAIN)
        assert can_enter(fresh, tenant, holder.trusting(authority)) is (before is not None)
        fresh.restart()
        assert can_enter(fresh, tenant, holder.trusting(authority)) is (before is not None)


def test_a_server_starts_with_a_certificate_that_has_expired(fresh: Server, holder: Holder) -> None:
    tenant, authority = fresh.new_tenant(), Authority()
    fresh.call("stop", timeout_s=30)
    assert fresh.call("apply_tls", tls_for(fresh, authority, TlsMode.ENFORCED, expired=True)) is False
    fresh.call("start")
    assert not can_enter(fresh, tenant, PLAIN)
    assert not can_enter(fresh, tenant, holder.trusting(authority))
    assert apply(fresh, tls_for(fresh, authority, TlsMode.ENFORCED)) is False
    assert can_enter(fresh, tenant, holder.trusting(authority))


@pytest.mark.facet(Facet.CONFIGURATION, Facet.ROOT)
def test_an_enforced_server_stays_so_whatever_happens_to_it(fresh: Server, holder: Holder, move: Move) -> None:
    tenant, authority = fresh.new_tenant(), Authority()
    wanted = tls_for(fresh, authority, TlsMode.ENFORCED)
    apply(fresh, wanted)
    root = Tenant(name=fresh.spec.root_name, password=PASSWORD, database=tenant.database)
    fresh.call("enable_root", PASSWORD)
    live = fresh.dialect.live

    def die() -> None:
        fresh.kill()
        fresh.new_agent()
        fresh.call("start")

    def be_resized() -> None:
        fresh.call("write_config", fresh.config(ram_mib=1024))
        fresh.restart()

    def be_made_anew() -> None:
        move(fresh, fresh.edition)
        fresh.prepare()

    def be_configured() -> None:
        fresh.call("apply_config", fresh.config(**{live.name: live.value}), at_restart=())

    def be_applied_again() -> None:
        assert fresh.call("apply_tls", wanted) is False

    for how in (be_applied_again, fresh.restart, die, be_configured, be_resized, be_made_anew):
        how()
        for each in (tenant, root):
            assert can_enter(fresh, each, holder.trusting(authority))
            assert not can_enter(fresh, each, PLAIN)
    # The agent gets in, and a new user is let in as the others are.
    late = fresh.new_tenant()
    assert can_enter(fresh, late, holder.trusting(authority))
    assert not can_enter(fresh, late, PLAIN)
    wrong = Tenant(name=late.name, password="wrong", database=late.database)
    assert not can_enter(fresh, wrong, holder.trusting(authority))
    for path in tls_files(fresh):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, fresh.guest.root.stat().st_uid)
    assert holds(fresh.guest.root / "log", secret_lines(wanted)) == []
    assert holds(fresh.guest.root / "config", secret_lines(wanted)) == []


def test_only_clients_with_a_certificate_of_the_authorities_get_in(fresh: Server, holder: Holder) -> None:
    tenant, other = fresh.new_tenant(), fresh.new_tenant()
    authority, stranger = Authority(), Authority("stranger")
    apply(fresh, tls_for(fresh, authority, TlsMode.MTLS))
    own = holder.trusting(authority, authority.issue(tenant.name))
    for restarted in (False, True):
        if restarted:
            fresh.restart()
        assert can_enter(fresh, tenant, own)
        assert not can_enter(fresh, tenant, holder.trusting(authority, stranger.issue(tenant.name)))
        assert not can_enter(fresh, tenant, holder.trusting(authority))
        assert not can_enter(fresh, tenant, PLAIN)
    late = fresh.new_tenant()
    assert not can_enter(fresh, late, holder.trusting(authority))
    assert can_enter(fresh, late, holder.trusting(authority, authority.issue(late.name)))
    apply(fresh, tls_for(fresh, authority))
    assert all(
        can_enter(fresh, each, client) for each in (tenant, other, late) for client in (holder.trusting(authority), PLAIN)
    )


@pytest.mark.manager("postgresql")
def test_a_certificate_stands_for_the_user_whom_it_names(fresh: Server, holder: Holder) -> None:
    tenant, authority = fresh.new_tenant(), Authority()
    apply(fresh, tls_for(fresh, authority, TlsMode.MTLS))
    fresh.call("enable_root", PASSWORD)
    root = Tenant(name=fresh.spec.root_name, password=PASSWORD, database=tenant.database)
    own = holder.trusting(authority, authority.issue(tenant.name))
    assert can_enter(fresh, replace(tenant, password="wrong"), own)
    assert not can_enter(fresh, fresh.new_tenant(), own)
    assert not can_enter(fresh, root, own)
    assert can_enter(fresh, root, holder.trusting(authority, authority.issue(root.name)))
    for name in ("os_admin", "trove_replica"):
        assert not can_enter(fresh, replace(root, name=name), holder.trusting(authority, authority.issue(name)))


@pytest.mark.manager("mariadb", "mysql", "percona")
@pytest.mark.facet(Facet.ROOT)
def test_each_account_needs_its_password_and_a_certificate(fresh: Server, holder: Holder) -> None:
    tenant, authority = fresh.new_tenant(), Authority()
    root = Tenant(name="root", password=PASSWORD, database=tenant.database)
    own, none = holder.trusting(authority, authority.issue("any name")), holder.trusting(authority)
    fresh.call("enable_root", PASSWORD)
    demanding, careful, by_hand = (replace(root, name=name) for name in ("demanding", "careful", "byhand"))
    make_by_hand(fresh, root, PLAIN, demanding, "REQUIRE X509")
    make_by_hand(fresh, root, PLAIN, careful, "REQUIRE SSL")
    if fresh.call("apply_tls", tls_for(fresh, authority, TlsMode.MTLS)):
        # Nobody is locked out before the server asks for certificates.
        assert can_enter(fresh, tenant, PLAIN)
        assert can_enter(fresh, fresh.new_tenant(), PLAIN)
        fresh.restart()
    fresh.call("update_user", tenant.name, "%", new_name="renamed", new_host=None, password=f"{PASSWORD}2")
    renamed = replace(tenant, name="renamed", password=f"{PASSWORD}2")
    fresh.call("enable_root", PASSWORD)
    # What the superuser makes without a word about certificates is found when the server starts.
    make_by_hand(fresh, root, own, by_hand)
    fresh.restart()
    for each in (renamed, root, demanding, careful, by_hand):
        assert can_enter(fresh, each, own)
        assert not can_enter(fresh, replace(each, password="wrong"), own)
        assert not can_enter(fresh, each, none)
    # Each is given back what it demanded by itself.
    apply(fresh, tls_for(fresh, authority))
    fresh.restart()
    assert all(can_enter(fresh, each, PLAIN) for each in (renamed, root, by_hand))
    assert [can_enter(fresh, careful, client) for client in (PLAIN, none)] == [False, True]
    assert [can_enter(fresh, demanding, client) for client in (none, own)] == [False, True]
    apply(fresh, None)
    assert can_enter(fresh, renamed, PLAIN)


def make_by_hand(server: Server, root: Tenant, client: ClientTls, tenant: Tenant, demand: str = "") -> None:
    with closing(cast("MySQLSession", server.connect_by_tls(root, client))) as session:
        session.run(f"CREATE USER {tenant.name} IDENTIFIED BY '{tenant.password}' {demand}")
        session.run(f"GRANT ALL ON `{tenant.database}`.* TO {tenant.name}")


@pytest.mark.facet(Facet.REPLICATION)
def test_replicas_follow_through_all_modes_and_promotions(fresh: Server, build: Build, store: Store, holder: Holder) -> None:
    tenant, authority = fresh.new_tenant(), Authority()
    replicated = ReplicatedSet(source=fresh, build=build, store=store)
    early = replicated.add()
    wanted = [None, *(mode for mode in TlsMode if mode in fresh.spec.tls_modes), None]
    for number, mode in enumerate(wanted):
        # As the control plane does it: the source first, then its replicas.
        for each in (replicated.source, *replicated.replicas):
            apply(each, None if mode is None else tls_for(each, authority, mode))
        source = replicated.source
        late = source.new_tenant(f"late{number}")
        # A connection from before is not asked again: one of them makes a new one.
        early.restart()
        replicated.catch_up()
        for each in replicated.replicas:
            await_following(each)
            assert late.name in each.users()
        if mode is TlsMode.MTLS:
            own = holder.trusting(authority, authority.issue(tenant.name))
            for each in (source, *replicated.replicas):
                assert can_log_in(each, tenant, own)
                assert not can_log_in(each, tenant, holder.trusting(authority))
        if mode is TlsMode.ENFORCED:
            replicated.promote(early)
            client = holder.trusting(authority)
            assert can_enter(early, tenant, client)
            assert not can_enter(early, tenant, PLAIN)
            replicated.promote(fresh)
            more = replicated.add()
            await_following(more)
            assert tls_files(more) == []
            apply(more, tls_for(more, authority, mode))
    assert can_enter(fresh, tenant, PLAIN)


@pytest.mark.manager("mariadb", "mysql", "percona")
@pytest.mark.facet(Facet.BACKUPS, Facet.ROOT)
def test_a_restored_server_keeps_the_demands_of_accounts_and_root_can_take_them_back(
    fresh: Server, build: Build, store: Store
) -> None:
    tenant = fresh.new_tenant()
    apply(fresh, tls_for(fresh, Authority(), TlsMode.MTLS))
    fresh.call("enable_root", PASSWORD)
    other = build()
    store.restore(other, store.back_up(fresh))
    other.prepare()
    assert not can_enter(other, tenant, PLAIN)
    other.call("enable_root", PASSWORD)
    with closing(cast("MySQLSession", other.connect(Tenant(name="root", password=PASSWORD)))) as root:
        root.run(f"ALTER USER '{tenant.name}'@'%' REQUIRE NONE")
    assert can_enter(other, tenant, PLAIN)


@pytest.mark.manager("mariadb")
@pytest.mark.facet(Facet.REPLICATION)
def test_a_replica_that_was_told_to_do_without_tls_follows_a_source_that_demands_it(
    fresh: Server, build: Build, store: Store
) -> None:
    replicated = ReplicatedSet(source=fresh, build=build, store=store)
    tenant = fresh.new_tenant()
    for restarted in (True, False):
        replica = replicated.add()
        apply(replica, tls_for(replica, Authority()))
        fresh.call("enable_root", PASSWORD)
        replicated.catch_up()
        with closing(replica.connect(Tenant(name="root", password=PASSWORD))) as root:
            for words in ("STOP SLAVE", "CHANGE MASTER TO MASTER_SSL = 0", "START SLAVE"):
                root.run(words)
        fresh.call("disable_root")
        apply(fresh, tls_for(fresh, Authority(), TlsMode.ENFORCED))
        if restarted:
            replica.restart()
        else:
            apply(replica, tls_for(replica, Authority(), TlsMode.ENFORCED))
        replicated.catch_up()
        await_following(replica)
        apply(fresh, None)
    assert can_enter(fresh, tenant, PLAIN)


@pytest.mark.facet(Facet.UPGRADES)
def test_an_upgrade_keeps_the_certificate_and_the_mode(build: Build, target: Edition, move: Move, holder: Holder) -> None:
    server, authority = build(), Authority()
    server.prepare()
    tenant = server.new_tenant()
    apply(server, tls_for(server, authority, TlsMode.MTLS))
    own = holder.trusting(authority, authority.issue(tenant.name))
    assert can_enter(server, tenant, own)
    server.call("stop", timeout_s=60)
    move(server, target)
    server.do("upgrade", version=target.version, config=server.config())
    server.call("start")
    server.call("finish_upgrade")
    assert can_enter(server, tenant, own)
    assert not can_enter(server, tenant, holder.trusting(authority))
    apply(server, None)
    assert can_enter(server, tenant, PLAIN)


@pytest.mark.facet(Facet.BACKUPS)
def test_no_backup_has_the_key(fresh: Server, build: Build, store: Store, holder: Holder) -> None:
    tenant, authority = fresh.new_tenant(), Authority()
    wanted = tls_for(fresh, authority, TlsMode.ENFORCED)
    apply(fresh, wanted)
    assert can_enter(fresh, tenant, holder.trusting(authority))
    assert len(holds(fresh.guest.root, secret_lines(wanted))) == 1
    other = build()
    store.restore(other, store.back_up(fresh))
    other.prepare()
    assert holds(other.guest.root, [*secret_lines(wanted), wanted.certificate]) == []
    assert can_enter(other, tenant, PLAIN)


def test_an_agent_applies_it_again_after_its_death_and_tells_no_secret(
    guest: Machine, valkey: ValkeyServer, config: str
) -> None:
    tls = {name: tls_for(guest.address, Authority(name), TlsMode.ENFORCED) for name in ("first", "second")}
    with staged(guest, valkey) as stage:
        stage.prepare(config)
        if stage.caller.ssl_action(tls["first"]):
            stage.caller.start_job("restart", "restart", {})
            assert stage.finish("restart")["state"] == "DONE"
        assert stage.caller.ssl_action(tls["second"]) is False
        guest.kill_agent()
        stage.begin()
        for each in ("second", "first"):
            assert stage.caller.ssl_action(tls[each]) is False
        with pytest.raises(InvalidInput):
            stage.caller.ssl_action(replace(tls["first"], key="no key"))
    kept = guest.root / "volume" / "tls"
    found = holds(guest.root, [line for each in tls.values() for line in secret_lines(each)])
    assert found
    assert all(kept in path.parents for path in found)
