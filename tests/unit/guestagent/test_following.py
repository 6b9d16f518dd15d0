"""What a heartbeat tells of a replica: what its server says, asked now and then, and never more than may be reported."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.guestagent.test_replication import ReplicatingDriver

from trove.core.errors import GuestError
from trove.core.replication import MAX_PROBLEM, ReplicaState
from trove.datastores.contract import Facet
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.following import EVERY_S, Following
from trove.guestagent.host import SandboxedHost


@pytest.fixture
def driver(host: SandboxedHost) -> Iterator[ReplicatingDriver]:
    made = ReplicatingDriver(host)
    host.make_dir(host.data_dir)
    made.start()
    yield made
    made.stop(timeout_s=5)


def following(driver: ReplicatingDriver, *facets: Facet) -> Following:
    return Following(Engine(spec=replace(SPEC, facets=frozenset(facets)), driver=driver, host=driver.host))


def test_a_replica_is_asked_now_and_then(driver: ReplicatingDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = following(driver, Facet.REPLICATION)
    driver.state = ReplicaState(following=True, lag_s=0.5)
    assert asked.state() == {"following": True, "lag_s": 0.5, "problem": None}
    driver.state = ReplicaState(following=False, problem="gone")
    assert asked.state() == {"following": True, "lag_s": 0.5, "problem": None}
    later = time.monotonic() + EVERY_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert asked.state() == {"following": False, "lag_s": None, "problem": "gone"}


def test_of_what_is_no_replica_nothing_is_told(driver: ReplicatingDriver) -> None:
    assert following(driver, Facet.REPLICATION).state() is None
    driver.state = ReplicaState(following=True)
    assert following(driver).state() is None
    driver.broken = GuestError("It does not answer.")
    assert following(driver, Facet.REPLICATION).state() is None
    driver.broken = None
    driver.stop(timeout_s=5)
    assert following(driver, Facet.REPLICATION).state() is None


def test_the_words_of_the_server_are_made_fit_for_a_report(driver: ReplicatingDriver) -> None:
    driver.state = ReplicaState(following=False, problem="a\x00b\x1bc" + "x" * 5000)
    told = following(driver, Facet.REPLICATION).state()
    assert told is not None
    assert str(told["problem"]).startswith("a b cx")
    assert len(str(told["problem"])) == MAX_PROBLEM
