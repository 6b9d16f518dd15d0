"""What a user sees of an instance that has a name in DNS."""

from typing import Any

from tests.support.http_api import Api

from trove.core.instances import Address
from trove.core.transitions import Event
from trove.store import instances

SMALL = {"instance": {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}}
HOSTNAME = "a0.db.example.org"


def named(api: Api, *, hostname: str | None) -> str:
    """Return an instance that has an address, and perhaps a name."""
    made: str = api.post("/instances", SMALL).json["instance"]["id"]
    with api.doors.database.transaction() as tx:
        addresses = (Address(address="10.0.0.5"),)
        instances.record_server(tx, made, fence=None, addresses=addresses, hostname=hostname, port=3306)
    return made


def shown(api: Api, path: str) -> dict[str, Any]:
    body: dict[str, Any] = api.get(path).json
    return body["instance"] if "instance" in body else body["instances"][0]


def test_a_name_is_shown_instead_of_addresses_once_it_is_built(api: Api) -> None:
    one = named(api, hostname=HOSTNAME)
    assert "hostname" not in shown(api, f"/instances/{one}")
    api.doors.database.run(instances.apply, one, Event.BUILT)
    for path in (f"/instances/{one}", "/instances", "/instances/detail"):
        found = shown(api, path)
        assert found["hostname"] == HOSTNAME
        assert not {"ip", "addresses"} & found.keys()


def test_an_instance_without_a_name_shows_its_addresses(api: Api) -> None:
    one = named(api, hostname=None)
    api.doors.database.run(instances.apply, one, Event.BUILT)
    found = shown(api, f"/instances/{one}")
    assert ("hostname" in found, found["ip"]) == (False, ["10.0.0.5"])
