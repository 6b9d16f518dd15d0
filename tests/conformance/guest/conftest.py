"""A bus for agents."""

from collections.abc import Iterator

import pytest
from tests.support.valkey import ValkeyServer, valkey_server


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        server.folder.chmod(0o711)
        yield server
