"""Jobs of members of a replicated set and of upgrades: what the driver is told, and what is reported back."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.errors import GuestError, InvalidInput, Unsupported
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.datastores.contract import Facet
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost
from trove.guestagent.ledger import Ledger, Prepared
from trove.guestagent.replication import Replicating
from trove.guestagent.upgrades import Upgrading

ACCOUNT = {"name": "replica_1", "password": "s3cret"}
SOURCE = {"host": "127.0.0.9", "port": 3306, "account": ACCOUNT}
WANTED = Source(host="127.0.0.9", port=3306, account=Account(name="replica_1", password="s3cret"))


class ReplicatingDriver(SleepDriver):
    """Remembers what it was told, in `told`; `broken` is what it raises instead."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.told: list[tuple[Any, ...]] = []
        self.broken: GuestError | None = None
        self.state: ReplicaState | None = None

    def _note(self, *what: Any) -> None:
        if self.broken is not None:
            raise self.broken
        self.told.append(what)

    def get_replication_snapshot(self, account: Account, *, progress: Callable[[str, int], None]) -> Mapping[str, Any]:
        self._note("snapshot", account)
        return {"position": "0-1-5"}

    def prepare_replica(self, *, config: str, snapshot: Mapping[str, Any], source: Source, progress: Any) -> None:
        self._note("prepare", config, dict(snapshot), source)
        self.start()

    def attach_replica(self, source: Source | None) -> None:
        self._note("attach", source)

    def detach_replica(self, *, for_failover: bool) -> None:
        self._note("detach", for_failover)

    def make_read_only(self, read_only: bool) -> None:
        self._note("read only", read_only)

    def enable_as_master(self, accounts: Sequence[Account]) -> None:
        self._note("enable", tuple(accounts))

    def demote_replication_master(self) -> None:
        self._note("demote")

    def cleanup_source_on_replica_detach(self, account: str) -> None:
        self._note("clean up", account)

    def get_latest_txn_id(self) -> str:
        return "0-1-77"

    def wait_for_txn(self, txn: str, *, timeout_s: float) -> None:
        self._note("wait", txn, timeout_s)

    def get_last_txn(self) -> Received:
        return Received(origin="0", position=77)

    def check_upgrade(self, version: str) -> None:
        self._note("check", version)

    def upgrade(self, version: str, *, config: str, progress: Any) -> None:
        self._note("upgrade", version, config)

    def revert_upgrade(self) -> None:
        self._note("revert")

    def finish_upgrade(self) -> None:
        self._note("finish")

    def replica_state(self) -> ReplicaState | None:
        if self.broken is not None:
            raise self.broken
        return self.state


def unheard(_step: str, _percent: int) -> None:
    pass


@pytest.fixture
def driver(host: SandboxedHost) -> ReplicatingDriver:
    return ReplicatingDriver(host)


@pytest.fixture
def kinds(host: SandboxedHost, driver: ReplicatingDriver) -> dict[str, Any]:
    spec = replace(SPEC, facets=SPEC.facets | {Facet.REPLICATION, Facet.UPGRADES})
    engine, ledger, turn = Engine(spec=spec, driver=driver, host=host), Ledger(host), threading.RLock()
    return {**Replicating(engine, ledger, turn).kinds(), **Upgrading(engine, ledger, turn).kinds()}


@pytest.mark.parametrize(
    ("kind", "args", "told"),
    [
        ("get_replication_snapshot", {"account": ACCOUNT}, ("snapshot", WANTED.account)),
        ("attach_replica", {"source": SOURCE}, ("attach", WANTED)),
        ("attach_replica", {"source": None}, ("attach", None)),
        ("detach_replica", {"for_failover": True}, ("detach", True)),
        ("make_read_only", {"read_only": False}, ("read only", False)),
        ("enable_as_master", {"accounts": [ACCOUNT]}, ("enable", (WANTED.account,))),
        ("demote_replication_master", {}, ("demote",)),
        ("cleanup_source_on_replica_detach", {"account": "replica_1"}, ("clean up", "replica_1")),
        ("wait_for_txn", {"txn": "0-1-77", "timeout_s": 9}, ("wait", "0-1-77", 9.0)),
        ("pre_upgrade", {"version": "11.4"}, ("check", "11.4")),
        ("upgrade", {"version": "11.4", "config": "c", "upgrade": "o1"}, ("upgrade", "11.4", "c")),
        ("revert_upgrade", {"upgrade": "o1"}, ("revert",)),
        ("finish_upgrade", {}, ("finish",)),
    ],
)
def test_the_driver_is_told_exactly(
    kinds: dict[str, Any],
    driver: ReplicatingDriver,
    host: SandboxedHost,
    kind: str,
    args: dict[str, Any],
    told: tuple[Any, ...],
) -> None:
    host.make_dir(host.data_dir)
    kinds[kind](args, unheard)
    assert driver.told == [told]


def test_an_upgrade_that_has_let_tenants_in_is_not_taken_back(
    kinds: dict[str, Any], driver: ReplicatingDriver, host: SandboxedHost
) -> None:
    host.make_dir(host.data_dir)
    kinds["upgrade"]({"version": "11.4", "config": "c", "upgrade": "o1"}, unheard)
    assert (Ledger(host).facts.prepared, Ledger(host).facts.wanted) == (Prepared.YES, True)
    driver.told.clear()
    assert kinds["revert_upgrade"]({"upgrade": "o1"}, unheard) == {"reverted": False}
    assert driver.told == []
    # What an earlier upgrade left says nothing of this one.
    assert kinds["revert_upgrade"]({"upgrade": "o2"}, unheard) == {"reverted": True}
    kinds["finish_upgrade"]({}, unheard)
    assert driver.told == [("revert",), ("finish",)]
    assert kinds["revert_upgrade"]({"upgrade": "o1"}, unheard) == {"reverted": True}


def test_an_upgrade_that_fails_can_be_taken_back(kinds: dict[str, Any], driver: ReplicatingDriver, host: SandboxedHost) -> None:
    host.make_dir(host.data_dir)
    driver.broken = GuestError("Too old.")
    with pytest.raises(GuestError, match="Too old"):
        kinds["upgrade"]({"version": "11.4", "config": "c", "upgrade": "o1"}, unheard)
    driver.broken = None
    assert Ledger(host).facts.prepared is Prepared.NO
    assert kinds["revert_upgrade"]({"upgrade": "o1"}, unheard) == {"reverted": True}


@pytest.mark.parametrize(
    ("kind", "args", "result"),
    [
        ("get_replication_snapshot", {"account": ACCOUNT}, {"snapshot": {"position": "0-1-5"}}),
        ("get_latest_txn_id", {}, {"txn": "0-1-77"}),
        ("get_last_txn", {}, {"origin": "0", "position": 77}),
    ],
)
def test_what_is_asked_for_is_reported_without_secrets(
    kinds: dict[str, Any], kind: str, args: dict[str, Any], result: dict[str, Any]
) -> None:
    assert kinds[kind](args, unheard) == result


def test_a_replica_is_prepared_and_counts_as_prepared(
    kinds: dict[str, Any], driver: ReplicatingDriver, host: SandboxedHost
) -> None:
    host.make_dir(host.data_dir)
    result = kinds["prepare_replica"]({"config": "c", "snapshot": {"a": 1}, "source": SOURCE}, unheard)
    assert result == {"version": "1.2.3"}
    assert driver.told == [("prepare", "c", {"a": 1}, WANTED)]
    assert (Ledger(host).facts.prepared, Ledger(host).facts.wanted) == (Prepared.YES, True)


def test_an_instance_that_serves_is_left_alone_whoever_asks_for_a_replica_there(
    kinds: dict[str, Any], driver: ReplicatingDriver, host: SandboxedHost
) -> None:
    host.make_dir(host.data_dir)
    wanted = {"config": "c", "snapshot": {}, "source": SOURCE}
    kinds["prepare_replica"](wanted, unheard)
    driver.told.clear()
    assert kinds["prepare_replica"]({**wanted, "restore": {"chain": []}}, unheard) == {"version": "1.2.3"}
    assert driver.told == []


def test_a_replica_that_cannot_be_prepared_is_remembered_as_failed(
    kinds: dict[str, Any], driver: ReplicatingDriver, host: SandboxedHost
) -> None:
    driver.broken = GuestError("The snapshot is gone.")
    with pytest.raises(GuestError, match="gone"):
        kinds["prepare_replica"]({"config": "c", "snapshot": {}, "source": SOURCE}, unheard)
    assert Ledger(host).facts.prepared is Prepared.FAILED


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("get_replication_snapshot", {}),
        ("get_replication_snapshot", {"account": {"name": "a"}}),
        ("prepare_replica", {"config": "c", "snapshot": {}}),
        ("attach_replica", {"source": {"host": "h", "port": "3306", "account": ACCOUNT}}),
        ("attach_replica", {"source": {"host": "h", "port": True, "account": ACCOUNT}}),
        ("detach_replica", {}),
        ("make_read_only", {"read_only": 1}),
        ("enable_as_master", {"accounts": ACCOUNT}),
        ("wait_for_txn", {"txn": "t"}),
        ("wait_for_txn", {"txn": "t", "timeout_s": 0}),
        ("upgrade", {"version": "11.4"}),
        ("upgrade", {"version": "11.4", "config": "c"}),
        ("revert_upgrade", {}),
    ],
)
def test_malformed_arguments_are_refused(
    kinds: dict[str, Any], driver: ReplicatingDriver, kind: str, args: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        kinds[kind](args, unheard)
    assert driver.told == []


@pytest.mark.parametrize("kind", ["make_read_only", "get_last_txn", "get_latest_txn_id", "wait_for_txn", "pre_upgrade"])
def test_an_engine_without_the_facet_says_so(host: SandboxedHost, driver: ReplicatingDriver, kind: str) -> None:
    spec = replace(SPEC, facets=frozenset())
    engine, ledger, turn = Engine(spec=spec, driver=driver, host=host), Ledger(host), threading.RLock()
    kinds = {**Replicating(engine, ledger, turn).kinds(), **Upgrading(engine, ledger, turn).kinds()}
    with pytest.raises(Unsupported, match="MariaDB"):
        kinds[kind]({"read_only": True, "txn": "t", "timeout_s": 1, "version": "v"}, unheard)
    assert driver.told == []
