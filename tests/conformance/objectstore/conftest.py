"""The servers of object stores, one set for all tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.object_stores import KINDS, Servers, file_store, s3_store, servers, swift_store

from trove.objectstore.contract import ObjectStore


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that need Swift in one worker of xdist, so that it is started once."""
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        call = getattr(item, "callspec", None)
        chosen = set() if call is None else {str(value) for value in call.params.values()}
        if chosen & {"swift", "swift shared", "s3"} or "object_servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("swift"))


@pytest.fixture(scope="session")
def object_servers() -> Iterator[Servers]:
    with servers() as made:
        yield made


@pytest.fixture(params=KINDS)
def reachable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """Each store that guests reach with their tickets."""
    if request.param == "file":
        with file_store(tmp_path / "objects") as made:
            yield made
        return
    there = request.getfixturevalue("object_servers")
    yield s3_store(there) if request.param == "s3" else swift_store(there)
