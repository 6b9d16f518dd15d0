"""The one verb of TLS on a guest: what the driver is told, and what is refused before that."""

import threading
from dataclasses import replace

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.errors import GuestError, InvalidInput, Unsupported
from trove.core.json import JSON
from trove.core.tls import Tls, TlsMode
from trove.datastores.contract import Facet
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost
from trove.guestagent.tls import GuestTls

WITHOUT = replace(SPEC, facets=SPEC.facets - {Facet.TLS})
ONE = Tls(mode=TlsMode.BASIC, certificate="certificate", chain="chain", key="key")


class Driver(SleepDriver):
    """Notes what it was told, and refuses what has the key `bad`."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.told: list[Tls | None] = []

    def apply_tls(self, tls: Tls | None) -> bool:
        if tls is not None and tls.key == "bad":
            raise GuestError("The server refuses it.")
        self.told.append(tls)
        return tls is None


@pytest.fixture
def driver(host: SandboxedHost) -> Driver:
    return Driver(host)


@pytest.fixture
def guest(host: SandboxedHost, driver: Driver) -> GuestTls:
    return GuestTls(Engine(spec=SPEC, driver=driver, host=host), threading.RLock())


def test_the_driver_is_told_and_says_whether_it_waits_for_a_start(guest: GuestTls, driver: Driver) -> None:
    for _ in range(2):
        assert guest.act({"tls": ONE.to_json()}) == {"restart_required": False}
    assert guest.act({"tls": None}) == {"restart_required": True}
    assert driver.told == [ONE, ONE, None]


def test_what_the_server_refuses_is_told(guest: GuestTls, driver: Driver) -> None:
    with pytest.raises(GuestError, match="refuses"):
        guest.act({"tls": replace(ONE, key="bad").to_json()})
    assert driver.told == []


def test_an_engine_without_tls_refuses_it(host: SandboxedHost, driver: Driver) -> None:
    guest = GuestTls(Engine(spec=WITHOUT, driver=driver, host=host), threading.RLock())
    with pytest.raises(Unsupported):
        guest.act({"tls": None})
    assert driver.told == []


@pytest.mark.parametrize("wrong", [{"mode": "none"}, {"mode": "basic"}, {"mode": "basic", "certificate": 1}, 7])
def test_an_order_that_is_not_understood_is_refused(guest: GuestTls, driver: Driver, wrong: JSON) -> None:
    with pytest.raises(InvalidInput):
        guest.act({"tls": wrong})
    assert driver.told == []
