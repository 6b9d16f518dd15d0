"""One stack shared by the journeys that leave it as they found it; the others bring up their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.stack import Stack, stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a shared stack in one worker of xdist, so that it is brought up once. All take long."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
        for name in {"shared", "unwatched"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(f"{name}-stack"))


@pytest.fixture(scope="session")
def shared() -> Iterator[Stack]:
    """Return the shared stack. A test deletes what it creates."""
    with stack() as running:
        yield running


@pytest.fixture(scope="session")
def unwatched() -> Iterator[Stack]:
    """Return a shared stack whose watchdog does not kill a task manager that is held still."""
    with stack("--watchdog", "0") as running:
        yield running
