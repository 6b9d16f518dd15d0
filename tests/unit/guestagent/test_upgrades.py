"""An upgrade is marked as one that cannot be taken back before the first tenant is let in, not after."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.errors import GuestError
from trove.datastores.contract import Facet
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost
from trove.guestagent.ledger import Ledger, Prepared
from trove.guestagent.upgrades import MARKER, Upgrading

ARGS = {"version": "11.8", "config": "c", "upgrade": "o1"}


class UpgradingDriver(SleepDriver):
    """Notes what it is told, and at each start what is marked on the volume."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.told: list[tuple[str, bytes | None]] = []

    def note(self, what: str) -> None:
        self.told.append((what, self.host.read_file(self.host.data_dir / MARKER)))

    def start(self) -> None:
        self.note("start")
        super().start()

    def upgrade(self, version: str, *, config: str, progress: Any) -> None:
        self.note(f"upgrade {version} {config}")

    def revert_upgrade(self) -> None:
        self.note("revert")


@pytest.fixture
def driver(host: SandboxedHost) -> UpgradingDriver:
    host.make_dir(host.data_dir)
    return UpgradingDriver(host)


def upgrading(driver: UpgradingDriver) -> Upgrading:
    spec = replace(SPEC, facets=SPEC.facets | {Facet.UPGRADES})
    engine = Engine(spec=spec, driver=driver, host=driver.host)  # type: ignore[arg-type]
    return Upgrading(engine, Ledger(driver.host), threading.RLock())


def quiet(_step: str, _percent: int) -> None:
    pass


def test_the_mark_is_there_before_tenants_are_let_in(driver: UpgradingDriver) -> None:
    upgrading(driver).upgrade(ARGS, quiet)
    assert driver.told == [("upgrade 11.8 c", None), ("start", b"o1")]
    assert Ledger(driver.host).facts.prepared is Prepared.YES


def test_a_server_that_died_when_it_let_tenants_in_is_not_taken_back(driver: UpgradingDriver) -> None:
    driver.refuse = "It was killed."
    with pytest.raises(GuestError, match="killed"):
        upgrading(driver).upgrade(ARGS, quiet)
    assert upgrading(driver).revert_upgrade({"upgrade": "o1"}, quiet) == {"reverted": False}
    driver.refuse = None
    upgrading(driver).upgrade(ARGS, quiet)
    assert [what for what, _ in driver.told] == ["upgrade 11.8 c", "start"] * 2
