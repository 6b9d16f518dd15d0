"""The commands about clusters."""

from tests.support.clients import Clients
from tests.support.clients_shells import Shell
from tests.support.facets import pending

from trove.datastores.contract import Facet

NOWHERE = "c0ffee00-0000-4000-8000-00000000000c"
NODE = "flavor=db.tiny,volume=1"


def test_an_engine_without_clusters_says_so(shell: Shell) -> None:
    assert pending(Facet.CLUSTERING)
    nodes = [word for _ in range(3) for word in ("--instance", NODE)]
    said = shell.fails("database cluster create", "ring", "mariadb", "10.11", *nodes)
    assert "mariadb" in said.lower()
    assert shell.use.recorder.last("POST").status == 501
    assert shell.shown("database cluster list") == []


def test_a_cluster_that_is_not_there_is_left_alone(shell: Shell, orders: str) -> None:
    for command, *words in (
        ("show",),
        ("delete",),
        ("force delete",),
        ("list instances",),
        ("modules",),
        ("reset status",),
        ("upgrade", "10.11"),
        ("shrink", orders),
    ):
        assert NOWHERE in shell.fails(f"database cluster {command}", NOWHERE, *words)
    assert NOWHERE in shell.fails("database cluster grow", NOWHERE, "--instance", NODE)
    assert {(one.method, one.status) for one in shell.use.recorder.exchanges if NOWHERE in one.path} == {("GET", 404)}
    assert shell.use.instance(orders)["status"] == "ACTIVE"


def test_an_action_on_a_cluster_that_is_not_there(use: Clients) -> None:
    clusters = use.library("demo").clusters
    for action, *words in (
        ("grow", [{"flavorRef": "1", "volume": {"size": 1}}]),
        ("shrink", [{"id": NOWHERE}]),
        ("upgrade", "10.11"),
        ("reset_status",),
        ("add_shard",),
        ("delete",),
    ):
        refused = use.refused("dashboard", f"clusters.{action}", getattr(clusters, action), NOWHERE, *words)
        assert refused.status in {403, 404}
