"""Lists of flavors."""

from dataclasses import replace

import pytest

from trove.cloud.flavors import DEFAULT_FLAVORS, FlavorList
from trove.core.errors import InvalidInput
from trove.core.flavors import Flavor

TINY = Flavor(id="1", name="tiny", ram_mib=256, vcpus=1)


def test_the_default_list_is_good() -> None:
    assert FlavorList(DEFAULT_FLAVORS).all()[0].name == "db.tiny"


@pytest.mark.parametrize(
    ("flavors", "told"),
    [
        ([], "at least one"),
        ([TINY, replace(TINY, name="other")], "id '1' is given twice"),
        ([TINY, replace(TINY, id="2")], "name 'tiny' is given twice"),
        ([replace(TINY, id="")], "must not be empty"),
        ([replace(TINY, ram_mib=1)], "ram_mib"),
        ([replace(TINY, vcpus=0)], "vcpus"),
        ([replace(TINY, disk_gib=-1)], "disk_gib"),
    ],
)
def test_a_bad_list_is_refused_by_name(flavors: list[Flavor], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        FlavorList(flavors)
