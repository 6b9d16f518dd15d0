"""Jobs of a member of a cluster: what the driver is told, and what is refused."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.clusters import Membership, Peer
from trove.core.errors import InvalidInput, Unsupported
from trove.datastores.contract import Facet, Spec
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.clustering import Clustered
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost

CLUSTERING = replace(SPEC, facets=SPEC.facets | {Facet.CLUSTERING})
PEER = Peer(id="a", name="ring-member-1", type="member", host="10.0.0.1", port=3306)
MEMBERSHIP = Membership(
    cluster_id="c", cluster_name="ring", member_id="a", peers=(PEER, replace(PEER, id="b")), founder=True, secret="s3cret"
)


class ClusterDriver(SleepDriver):
    """Notes what it is told."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.told: list[tuple[str, Membership | None]] = []

    def install_cluster(self, membership: Membership) -> None:
        self.told.append(("install", membership))

    def update_cluster(self, membership: Membership) -> None:
        self.told.append(("update", membership))

    def leave_cluster(self) -> None:
        self.told.append(("leave", None))

    def cluster_complete(self) -> None:
        self.told.append(("complete", None))


def jobs(host: SandboxedHost, driver: SleepDriver, spec: Spec = CLUSTERING) -> Any:
    return Clustered(Engine(spec=spec, driver=driver, host=host), threading.RLock()).kinds()


def unheard(_step: str, _percent: int) -> None:
    pass


def test_a_member_is_told_of_its_cluster_as_the_control_plane_says_it(host: SandboxedHost) -> None:
    driver = ClusterDriver(host)
    for kind in ("install_cluster", "update_cluster", "leave_cluster", "cluster_complete"):
        assert jobs(host, driver)[kind](MEMBERSHIP.to_json(), unheard) == {}
    assert driver.told == [("install", MEMBERSHIP), ("update", MEMBERSHIP), ("leave", None), ("complete", None)]


def test_the_secret_of_a_cluster_shows_nowhere() -> None:
    assert "s3cret" not in repr(MEMBERSHIP)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cluster_id": None},
        {"peers": "x"},
        {"peers": [{"id": "a"}]},
        {"peers": [{**MEMBERSHIP.to_json()["peers"][0], "port": True}]},  # type: ignore[index, dict-item]
        {"secret": 7},
    ],
)
def test_malformed_arguments_are_refused(host: SandboxedHost, wrong: dict[str, object]) -> None:
    driver = ClusterDriver(host)
    with pytest.raises(InvalidInput):
        jobs(host, driver)["install_cluster"]({**MEMBERSHIP.to_json(), **wrong}, unheard)
    assert driver.told == []


def test_an_engine_without_clusters_says_so(host: SandboxedHost, driver: SleepDriver) -> None:
    for kind in jobs(host, driver):
        with pytest.raises(Unsupported):
            jobs(host, driver, replace(SPEC, facets=SPEC.facets - {Facet.CLUSTERING}))[kind](MEMBERSHIP.to_json(), unheard)
