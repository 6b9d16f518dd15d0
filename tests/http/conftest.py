import pytest
from tests.support.http_api import serving_api


@pytest.fixture
def api(tmp_path):
    with serving_api(tmp_path) as found:
        yield found
