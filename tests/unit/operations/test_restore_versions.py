"""A backup is restored by a version that can begin with its data; any other is refused before anything is reserved."""

import pytest
from tests.support.engines import EVERYTHING
from tests.support.world import CALLER, World, request
from tests.unit.operations.test_backups import made, newest, orders

from trove.core.errors import InvalidInput
from trove.datastores import registry
from trove.operations.instance import create

__all__ = ["orders"]


@pytest.mark.parametrize(
    ("manager", "backup", "own", "can"),
    [
        ("mariadb", "10.11.6", "10.11.14", True),
        ("mariadb", "10.11.14", "10.11.6", True),
        ("mariadb", "10.11", "11.8", True),
        ("mariadb", "11.8", "10.11", False),
        ("postgresql", "15.4", "15.9", True),
        ("postgresql", "15", "17", False),
        ("postgresql", "17", "15", False),
        ("redis", "7.0", "8.0", True),
        ("redis", "8.0", "7.0", False),
    ],
)
def test_which_version_can_begin_with_which_backup(manager: str, backup: str, own: str, can: bool) -> None:
    assert registry.spec(manager).can_restore(backup, own) is can


def test_a_backup_of_a_later_version_is_refused_and_one_of_an_earlier_taken(here: World, orders: str) -> None:
    old = made(here, orders)
    before = newest(here).id
    wanted = request(datastore_type=EVERYTHING, datastore_version="2.0")
    other = create.start(here.doors, CALLER, wanted).id
    here.runner().run_now(newest(here).id)
    late = made(here, other)
    at = newest(here).id
    with pytest.raises(InvalidInput, match=r"datastore_version.*2\.0.*1\.0 cannot begin with"):
        create.start(here.doors, CALLER, request(datastore_type=EVERYTHING, datastore_version="1.0", backup_ref=late.id))
    assert newest(here).id == at != before
    create.start(here.doors, CALLER, request(datastore_type=EVERYTHING, datastore_version="2.0", backup_ref=old.id))
    assert newest(here).id != at
