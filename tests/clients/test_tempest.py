"""trove-tempest-plugin: those of its tests that ask nothing of Nova, Neutron, Swift and Barbican.

Its test of upgrades is not among them: it asks MariaDB for `innodb_version`, which that has not since 10.10.
"""

from pathlib import Path

import pytest
from tests.support import clients_tempest
from tests.support.clients import Clients

SCENARIO = "trove_tempest_plugin.tests.scenario"


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("test_instance_basic.TestInstanceBasicMariaDB", 4),
        ("test_instance_update_access.TestInstanceUpdateAccessMariaDB", 1),
        ("test_backup.TestBackupMariaDB", 2),
        ("test_replication.TestReplicationMariaDB", 1),
    ],
    ids=lambda given: str(given).rpartition(".")[2],
)
def test_a_scenario_passes(use: Clients, orders: str, tmp_path: Path, name: str, tests: int) -> None:
    network = use.instance(orders)["addresses"][0]["network"]
    done = clients_tempest.run(use, f"{SCENARIO}.{name}", tmp_path, network=network)
    log = tmp_path / "tempest.log"
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{log.read_text()[-3000:] if log.exists() else ''}\n{use.story()}"
    assert done.stderr.count(" ... ok\n") >= tests, done.stderr
