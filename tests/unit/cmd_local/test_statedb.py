"""What the state database offers after each `up`: one version a name, with the number that is installed now."""

from pathlib import Path

import pytest

from trove.cmd.local import settings, statedb
from trove.cmd.local.layout import Layout
from trove.cmd.local.settings import StackSettings
from trove.cmd.local.statedb import Offer
from trove.core.datastores import Datastore
from trove.store import datastores


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(root=tmp_path / "s")
    made.create()
    settings.save(made, StackSettings())
    return made


def offered(layout: Layout, version: str, number: str | None) -> Datastore:
    statedb.prepare(layout, [Offer(manager="mariadb", version=version, number=number)])
    with statedb.opened(layout) as database, database.reading() as tx:
        return datastores.get(tx, "mariadb")


def test_a_version_is_offered_with_the_number_of_the_server(layout: Layout) -> None:
    for _ in range(2):
        (version,) = (found := offered(layout, "10.11", "10.11.19")).versions
        assert (version.name, version.version, version.image_id) == ("10.11", "10.11.19", "host")
        assert found.default_version_id == version.id


def test_an_upgrade_changes_the_number_of_the_version_that_is_there(layout: Layout) -> None:
    (old,) = offered(layout, "10.11", "10.11.6").versions
    (new,) = offered(layout, "10.11", "10.11.19").versions
    assert (new.id, new.version) == (old.id, "10.11.19")


def test_a_server_that_was_removed_keeps_the_number_it_had(layout: Layout) -> None:
    (first,) = offered(layout, "10.11", None).versions
    assert first.version == "10.11"
    offered(layout, "10.11", "10.11.19")
    (last,) = offered(layout, "10.11", None).versions
    assert (last.id, last.version) == (first.id, "10.11.19")


def test_another_series_is_another_version_and_the_default(layout: Layout) -> None:
    offered(layout, "10.11", "10.11.19")
    found = offered(layout, "11.8", "11.8.2")
    assert {each.name: each.version for each in found.versions} == {"10.11": "10.11.19", "11.8": "11.8.2"}
    assert next(each.name for each in found.versions if each.id == found.default_version_id) == "11.8"


def test_a_version_of_the_operator_with_the_same_name_and_number_is_taken(layout: Layout) -> None:
    offered(layout, "10.11", "10.11.6")
    with statedb.opened(layout) as database:
        database.run(
            lambda tx: datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.19", image_id="mine")
        )
    found = offered(layout, "10.11", "10.11.19")
    assert {each.version for each in found.versions} == {"10.11.6", "10.11.19"}


def test_versions_of_images_come_and_go_with_them_and_the_packages_stay_the_default(layout: Layout) -> None:
    packages = Offer(manager="mariadb", version="10.11", number="10.11.19")
    image = Offer(manager="mariadb", version="11.8", number="11.8.6", image_id="mariadb-11.8")
    alone = Offer(manager="mysql", version="9.7", number="9.7.4", image_id="mysql-9.7")

    def shown(*offers: Offer) -> dict[str, list[tuple[str, str | None, bool]]]:
        statedb.prepare(layout, offers)
        with statedb.opened(layout) as database, database.reading() as tx:
            found = datastores.all(tx)
        return {
            each.name: [(one.name, one.image_id, one.id == each.default_version_id) for one in each.versions] for each in found
        }

    both = {
        "mariadb": [("10.11", "host", True), ("11.8", "mariadb-11.8", False)],
        "mysql": [("9.7", "mysql-9.7", True)],
    }
    assert shown(packages, image, alone) == both
    assert shown(packages) == {"mariadb": [("10.11", "host", True)]}
    assert shown(packages, image, alone) == both
