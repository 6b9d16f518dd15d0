from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.http_api import Api, serving_api

from trove.operations.doors import Limits, Settings

PLENTY = Settings(
    default_datastore="mariadb",
    guest_call_timeout_s=5.0,
    limits=Limits(max_instances=1_000_000, max_volumes_gib=-1, max_backups=-1, max_pending_operations=0),
)


@pytest.fixture
def api(tmp_path):
    with serving_api(tmp_path) as found:
        yield found


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Api]:
    """Return an API without quotas."""
    with serving_api(tmp_path, operations=PLENTY) as found:
        yield found


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Return an API with room for everything that the tests of a file leave behind."""
    with serving_api(tmp_path_factory.mktemp("api"), operations=PLENTY) as found:
        yield found
