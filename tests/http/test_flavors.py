"""Flavors whose ids are no numbers: `id` is null then, and `str_id` is what clients use everywhere."""

from dataclasses import replace

import pytest
from tests.http.test_instances import SMALL, error
from tests.support.http_api import serving_api

from trove.cloud.memory import MemoryCloud
from trove.core.flavors import Flavor

IDS = ("d3", "12", "007", "0", "6a3b1c2d-0000-4000-8000-000000000000")


@pytest.fixture
def api(tmp_path):
    flavors = [Flavor(id=each, name=f"db.{number}", ram_mib=256 + number, vcpus=1) for number, each in enumerate(IDS)]
    with serving_api(tmp_path, around=lambda doors: replace(doors, cloud=MemoryCloud(flavors=flavors))) as found:
        yield found


def test_only_what_looks_like_a_number_is_shown_as_one(api):
    found = api.get("/flavors").json["flavors"]
    assert [(each["id"], each["str_id"]) for each in found] == [
        (None, "d3"),
        (12, "12"),
        (None, "007"),
        (0, "0"),
        (None, IDS[4]),
    ]
    for each in found:
        assert api.get(f"/flavors/{each['str_id']}").json["flavor"] == each
        assert each["links"][0]["href"].endswith(f"/flavors/{each['str_id']}")
    for wrong in ("7", "D3", "db.0"):
        error(api.get(f"/flavors/{wrong}"), 404, "itemNotFound")


@pytest.mark.parametrize("ref", ["d3", 12, "12", "007", "http://h/v1.0/p1/flavors/d3"])
def test_an_instance_has_the_flavor_that_its_text_names(api, ref):
    made = api.post("/instances", {"instance": {**SMALL, "flavorRef": ref}}).json["instance"]
    assert made["flavor"]["id"] == str(ref).rpartition("/")[2]
