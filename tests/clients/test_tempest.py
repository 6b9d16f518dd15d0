"""trove-tempest-plugin: those of its tests that ask nothing of Nova, Neutron, Swift and Barbican."""

from pathlib import Path

import pytest
from tests.support import clients_tempest
from tests.support.clients import Clients
from tests.support.facets import pending

from trove.datastores.contract import Facet

SCENARIO = "trove_tempest_plugin.tests.scenario"


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("test_instance_basic.TestInstanceBasicMariaDB", 4),
        ("test_instance_update_access.TestInstanceUpdateAccessMariaDB", 1),
        ("test_backup.TestBackupMariaDB", 2),
    ],
    ids=lambda given: str(given).rpartition(".")[2],
)
def test_a_scenario_passes(use: Clients, orders: str, tmp_path: Path, name: str, tests: int) -> None:
    network = use.instance(orders)["addresses"][0]["network"]
    done = clients_tempest.run(use, f"{SCENARIO}.{name}", tmp_path, network=network)
    log = tmp_path / "tempest.log"
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{log.read_text()[-3000:] if log.exists() else ''}\n{use.story()}"
    assert done.stderr.count(" ... ok\n") >= tests, done.stderr


def test_the_scenarios_that_wait_for_more() -> None:
    """These join above with the facets: TestReplication… and TestInstanceActions….test_instance_upgrade."""
    assert pending(Facet.REPLICATION)
    assert pending(Facet.UPGRADES)
