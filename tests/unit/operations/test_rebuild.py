"""A server is made anew from an image of its own version, or of one that is nobody's; never from one of another version."""

import pytest
from tests.support.world import CALLER, World, request
from tests.unit.operations.test_administration import ADMIN, newest

from trove.core.errors import InvalidInput
from trove.core.instances import Instance
from trove.operations.instance import create, rebuild
from trove.store import datastores


@pytest.fixture
def built(here: World) -> Instance:
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(newest(here).id)
    return instance


def offer(here: World, number: str) -> None:
    """Offer another version of MariaDB by the image `other`, beside the engine that has it already."""
    with here.database.transaction() as tx:
        datastores.put_version(tx, "mariadb", f"v{number}", manager="mariadb", version=number, image_id="other")


def test_an_image_of_another_version_is_refused_and_says_what_to_do(here: World, built: Instance) -> None:
    offer(here, "11.8.2")
    with pytest.raises(InvalidInput, match=r"image_id.*mariadb 11\.8\.2.*mariadb 10\.11\.6.*Upgrade"):
        rebuild.start(here.doors, ADMIN, built.id, "other")
    assert newest(here).kind == create.KIND


def test_an_image_of_the_same_version_by_another_name_is_taken(here: World, built: Instance) -> None:
    offer(here, "10.11.6")
    rebuild.start(here.doors, ADMIN, built.id, "other")
    assert newest(here).kind == rebuild.KIND
