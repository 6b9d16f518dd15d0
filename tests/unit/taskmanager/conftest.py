from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.world import World, world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """A world of this test's own."""
    with world(tmp_path) as made:
        yield made
