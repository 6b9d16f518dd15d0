"""Before any test is collected: what `trove` keeps out of its processes stays out of the tests' process, too."""

import pytest

import trove  # noqa: F401


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers of xdist begin with what takes long, so that none is left with it when the others have no more to do."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
