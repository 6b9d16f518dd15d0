"""Backups of every engine that has them, on its real server: what was there comes back, and nothing damaged ever does."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from tests.conformance.engine.conftest import Build
from tests.support.agent_stage import staged
from tests.support.dialects import Tenant
from tests.support.editions import Edition
from tests.support.guests import Machine, wait_for
from tests.support.served_store import CONTAINER, SEGMENT, Store, serving
from tests.support.servers import Server
from tests.support.valkey import ValkeyServer
from tests.support.workload import Bank, Writes

from trove.core.errors import GuestError, Refused
from trove.core.manifests import manifest_name
from trove.core.status import ServiceStatus
from trove.datastores.contract import Facet

pytestmark = pytest.mark.facet(Facet.BACKUPS, Facet.USERS)


def put(server: Server, tenant: Tenant, *keys: str) -> None:
    with closing(server.connect(tenant)) as session:
        for key in keys:
            session.put(key, f"value of {key}")


def keys(server: Server, tenant: Tenant) -> set[str]:
    with closing(server.connect(tenant)) as session:
        return session.keys()


@pytest.mark.every_edition
def test_what_was_there_comes_back_in_another_instance(fresh: Server, build: Build, store: Store) -> None:
    tenant = fresh.new_tenant()
    put(fresh, tenant, "early")
    with closing(fresh.connect(tenant)) as session:
        session.fill(1)
    backup = store.back_up(fresh)
    put(fresh, tenant, "late")
    other = build()
    store.restore(other, backup)
    other.prepare()
    assert keys(other, tenant) == {"early"}
    assert (other.users(), keys(fresh, tenant)) == ([tenant.name], {"early", "late"})
    # Again, as after the death of the agent: what is there is left alone.
    put(other, tenant, "mine")
    store.restore(other, backup)
    assert other.call("probe") is ServiceStatus.HEALTHY
    other.restart()
    assert keys(other, tenant) == {"early", "mine"}


@pytest.mark.every_edition
@pytest.mark.incremental_backups
def test_a_chain_of_increments_comes_back_link_by_link(fresh: Server, build: Build, store: Store) -> None:
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.fill(4)
    fresh.restart()  # So that all is in the data, and nothing of it in the log, which increments hold, too.
    put(fresh, tenant, "0")
    chain = [store.back_up(fresh)]
    sizes = [sum(store.objects.info(CONTAINER, name).size for name in store.names_of(chain[0]))]
    for number in range(1, 4):
        put(fresh, tenant, str(number))
        if number == 2:
            fresh.restart()
        chain.append(store.back_up(fresh, since=chain[-1]))
        sizes.append(sum(store.objects.info(CONTAINER, name).size for name in store.names_of(chain[-1])))
    put(fresh, tenant, "late")
    late = fresh.new_tenant()
    assert max(sizes[1:]) < sizes[0]
    for length in (2, 4):
        other = build()
        store.restore(other, *chain[:length])
        other.prepare()
        assert keys(other, tenant) == {str(number) for number in range(length)}
        assert late.name not in other.users()
        other.call("stop", timeout_s=30)


def test_a_backup_under_writes_is_of_one_moment_and_lacks_nothing(fresh: Server, build: Build, store: Store) -> None:
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.open_bank(Bank.ACCOUNTS, Bank.BALANCE)
        session.fill(4)

    with Bank(lambda: fresh.connect(tenant)) as bank, Writes(lambda: fresh.connect(tenant)) as writes:
        bank.await_more()
        writes.await_more()
        before = set(writes.keys)
        backup = store.back_up(fresh)
        bank.await_more()
        writes.await_more()
    assert (bank.refusals, writes.refusals) == (set(), set())
    other = build()
    store.restore(other, backup)
    other.prepare()
    with closing(other.connect(tenant)) as session:
        balances, restored = session.balances(), session.keys()
    assert (len(balances), sum(balances)) == (Bank.ACCOUNTS, Bank.TOTAL)
    assert before <= restored <= set(writes.keys)
    assert restored == set(sorted(writes.keys)[: len(restored)])


@pytest.mark.incremental_backups
def test_increments_under_writes_are_of_one_moment_each(fresh: Server, build: Build, store: Store) -> None:
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.open_bank(Bank.ACCOUNTS, Bank.BALANCE)
    with Bank(lambda: fresh.connect(tenant)) as bank, Writes(lambda: fresh.connect(tenant)) as writes:
        chain: list[str] = []
        for _ in range(3):
            bank.await_more()
            writes.await_more()
            before = set(writes.keys)
            chain.append(store.back_up(fresh, since=chain[-1] if chain else None))
    other = build()
    store.restore(other, *chain)
    other.prepare()
    with closing(other.connect(tenant)) as session:
        assert sum(session.balances()) == Bank.TOTAL
        restored = session.keys()
    assert before <= restored
    assert restored == set(sorted(writes.keys)[: len(restored)])


@pytest.fixture(scope="module")
def backed_up(
    prepared: Callable[[Edition], Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Edition], tuple[Store, str, str]]]:
    """Return what gives the ids of two backups of an edition's shared server, which are never changed for good."""
    made: dict[Edition, tuple[str, str]] = {}
    with serving(tmp_path_factory.mktemp("objects")) as store:

        def of(edition: Edition) -> tuple[Store, str, str]:
            if edition not in made:
                server = prepared(edition)
                tenant = server.new_tenant()
                ids = []
                for _ in range(2):
                    with closing(server.connect(tenant)) as session:
                        session.fill(1)
                    ids.append(store.back_up(server))
                made[edition] = (ids[0], ids[1])
            return (store, *made[edition])

        yield of


@pytest.mark.parametrize("damage", ["altered", "missing", "cut short", "swapped", "of another backup", "manifest"])
def test_nothing_damaged_becomes_a_data_directory(
    edition: Edition, build: Build, backed_up: Callable[[Edition], tuple[Store, str, str]], damage: str
) -> None:
    store, backup, another = backed_up(edition)
    chain = store.chain(backup)
    names = store.names_of(backup)
    last = manifest_name(backup) if damage == "manifest" else names[-1]
    stranger = store.names_of(another)[-1]
    wanted = {name: b"".join(store.objects.get(CONTAINER, name)) for name in (last, names[0], stranger)}
    there = build()
    try:
        if damage == "missing":
            store.objects.delete(CONTAINER, last)
        elif damage == "swapped":
            assert len(names) > 1
            store.objects.put(CONTAINER, last, [wanted[names[0]]])
            store.objects.put(CONTAINER, names[0], [wanted[last]])
        elif damage == "of another backup":
            assert wanted[stranger] != wanted[last]
            store.objects.put(CONTAINER, last, [wanted[stranger]])
        elif damage == "cut short":
            store.objects.put(CONTAINER, last, [wanted[last][:-1]])
        else:
            store.objects.put(CONTAINER, last, [wanted[last][:-1] + bytes([wanted[last][-1] ^ 1])])
        with pytest.raises(GuestError, match=r"(?i)backup|object"):
            there.worker.call("restore", chain)
        with pytest.raises(GuestError, match="not prepared"):
            there.call("start")
        assert there.worker.call("host.server_pid") is None
    finally:
        for name, content in wanted.items():
            store.objects.put(CONTAINER, name, [content])
    if damage == "altered":
        there.worker.call("restore", chain)
        there.prepare()
        assert there.call("probe") is ServiceStatus.HEALTHY


def test_data_that_are_there_are_never_overwritten_by_a_restore(
    edition: Edition, build: Build, backed_up: Callable[[Edition], tuple[Store, str, str]]
) -> None:
    store, backup, _ = backed_up(edition)
    there = build()
    there.prepare()
    tenant = there.new_tenant()
    put(there, tenant, "mine")
    for how in (lambda: None, lambda: there.call("stop", timeout_s=30)):
        how()
        store.restore(there, backup)
        there.prepare()
        assert keys(there, tenant) == {"mine"}


def test_a_ticket_that_is_not_taken_fails_the_backup_and_leaves_the_server_alone(server: Server, store: Store) -> None:
    job = store.job(server.edition)
    job["ticket"] = {**job["ticket"], "query": job["ticket"]["query"][:-4] + "0000"}
    with pytest.raises(Refused, match="ticket"):
        server.worker.call("back_up", job)
    assert store.objects.list(CONTAINER) == []
    assert server.call("probe") is ServiceStatus.HEALTHY


def test_nothing_of_a_backup_is_left_on_the_volume(fresh: Server, store: Store) -> None:
    before = sorted(path.name for path in fresh.guest.settings.data_dir.iterdir())
    backup = store.back_up(fresh)
    assert sorted(path.name for path in fresh.guest.settings.data_dir.iterdir()) == before
    assert all(store.objects.info(CONTAINER, name).size <= SEGMENT for name in store.names_of(backup))


def test_a_server_that_is_stopped_has_no_backup_and_says_so(fresh: Server, build: Build, store: Store) -> None:
    tenant = fresh.new_tenant()
    put(fresh, tenant, "key")
    fresh.call("stop", timeout_s=30)
    with pytest.raises(GuestError):
        store.back_up(fresh)
    fresh.call("start")
    other = build()
    store.restore(other, store.back_up(fresh))
    other.prepare()
    assert keys(other, tenant) == {"key"}


def test_an_agent_killed_in_the_middle_does_it_again(
    guest: Machine, valkey: ValkeyServer, store: Store, edition: Edition, config: str
) -> None:
    with staged(guest, valkey) as stage:
        assert stage.prepare(config)["state"] == "DONE"
        job = store.job(edition)
        store.hold_at(1)
        stage.caller.start_job("nightly", "backup", job)
        wait_for(store.is_held, "the first segment")
        guest.kill_agent()
        store.let_go()
        assert not store.holds(manifest_name(job["backup_id"]))
        stage.begin()
        ended = stage.finish("nightly")
        assert (ended["state"], ended["error"]) == ("DONE", None)
        assert ended["result"]["checksum"] == store.objects.info(CONTAINER, manifest_name(job["backup_id"])).digest
        # The ticket is a secret, and the job has ended.
        for path in (guest.root / "config/agent/jobs").iterdir():
            assert "signature" not in path.read_text()


def test_an_agent_killed_while_it_restores_does_it_again(
    server: Server, guest: Machine, valkey: ValkeyServer, store: Store, config: str
) -> None:
    tenant = server.new_tenant()
    put(server, tenant, "key")
    backup = store.back_up(server)
    with staged(guest, valkey) as stage:
        stage.caller.start_job("create", "prepare", {"config": config, "restore": store.chain(backup)})
        wait_for(lambda: (guest.root / "volume").is_dir() and list((guest.root / "volume").iterdir()), "the first files")
        guest.kill_agent()
        stage.begin()
        ended = stage.finish("create")
        assert (ended["state"], ended["error"]) == ("DONE", None)
        stage.wait_status("healthy")
        with closing(server.dialect.connect(guest.address, tenant)) as session:
            assert session.get("key") == "value of key"


@pytest.mark.manager("mariadb")
def test_a_cancelled_backup_stops_and_never_begins_again(
    guest: Machine, valkey: ValkeyServer, store: Store, edition: Edition, config: str
) -> None:
    with staged(guest, valkey) as stage:
        assert stage.prepare(config)["state"] == "DONE"
        job = store.job(edition)
        store.hold_at(2)
        stage.caller.start_job("nightly", "backup", job)
        wait_for(store.is_held, "the second segment")
        assert not stage.caller.cancel_job("nightly")
        store.let_go()
        ended = stage.finish("nightly")
        assert (ended["state"], ended["error"]) == ("FAILED", "Cancelled.")
        assert stage.caller.cancel_job("nightly")
        stage.caller.start_job("nightly", "backup", job)
        assert stage.finish("nightly")["state"] == "FAILED"
        assert not store.holds(manifest_name(job["backup_id"]))
        # One that was never heard of does not begin either, when it comes late.
        assert stage.caller.cancel_job("late")
        stage.caller.start_job("late", "backup", store.job(edition))
        assert stage.finish("late")["error"] == "Cancelled."
        stage.wait_status("healthy")
