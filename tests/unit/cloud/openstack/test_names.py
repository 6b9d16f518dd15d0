"""Names of instances on a stand-in for Designate, for what the real one of tests/conformance does not do when asked."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from openstack import exceptions as sdk

from trove.cloud.openstack.names import DesignateNames
from trove.cloud.openstack.naming import tag_of
from trove.cloud.openstack.settings import OpenStackSettings, Timeouts, ZoneSettings
from trove.core.errors import CloudError, Unavailable
from trove.core.ids import new_id
from trove.core.instances import Address

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # openstacksdk of what it calls itself

OWN, OTHER = "service", "somebody"
ZONE = SimpleNamespace(id="z1", name="db.example.org.", project_id=OWN)
ADDRESSES = (Address(address="10.0.0.5"),)


class Answer:
    """What the list of recordsets is answered with."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, page: dict[str, Any]) -> None:
        self.json = lambda: page


@dataclass
class Dns:
    """Recordsets by id, listed in pages of two; new ones get `status`."""

    status: str = "ACTIVE"
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    conflict: bool = False
    pages: int = 0

    def zones(self, *, name: str) -> list[SimpleNamespace]:
        """Return the zone if that is its name."""
        return [ZONE] if name == ZONE.name else []

    def get(self, url: str, *, params: dict[str, str]) -> Answer:
        """Return a page of recordsets."""
        assert url == "/recordsets"
        self.pages += 1
        wanted = params["description"]
        found = [each for each in self.sets.values() if wanted.endswith("*") or each["description"] == wanted]
        ids = [each["id"] for each in found]
        begin = ids.index(params["marker"]) + 1 if "marker" in params else 0
        return Answer({"recordsets": found[begin : begin + 2], "links": {"next": "…"} if len(ids) > begin + 2 else {}})

    def create_recordset(self, zone: Any, **told: Any) -> SimpleNamespace:
        """Make one, unless somebody else was faster."""
        made = self.add(**told)
        if self.conflict:
            raise sdk.ConflictException("Duplicate RecordSet", http_status=409)
        return SimpleNamespace(**made)

    def add(self, *, name: str, description: str, project_id: str = OWN, **told: Any) -> dict[str, Any]:
        """Let there be one."""
        one = {"id": new_id(), "zone_id": ZONE.id, "type": "A", "ttl": 300, "records": ["10.0.0.5"], "action": "NONE"}
        one |= {"name": name, "description": description, "project_id": project_id, "status": self.status, **told}
        self.sets[one["id"]] = one
        return one

    def get_recordset(self, recordset_id: str, zone_id: str) -> SimpleNamespace:
        """Return one."""
        assert zone_id == ZONE.id
        return SimpleNamespace(**self.sets[recordset_id])

    def delete_recordset(self, found: Any, *, ignore_missing: bool) -> None:
        """Delete one."""
        assert ignore_missing
        self.deleted.append(found.id)


def names(dns: Dns, **zone: str) -> DesignateNames:
    connection: Any = SimpleNamespace(dns=dns, current_project_id=OWN)
    wanted = ZoneSettings(**(zone or {"name": "db.example.org"}))
    return DesignateNames(connection, OpenStackSettings(auth={}, zone=wanted, timeouts=Timeouts(name_s=0.05, poll_s=0.01)))


def test_a_name_that_the_name_servers_refuse_is_an_error() -> None:
    with pytest.raises(CloudError, match=r"do not take the name .*\.db\.example\.org: it is in state ERROR"):
        names(Dns(status="ERROR")).ensure(new_id(), ADDRESSES)


def test_a_name_that_the_name_servers_do_not_know_yet_is_waited_for() -> None:
    with pytest.raises(Unavailable, match="did not have its name servers know"):
        names(Dns(status="PENDING")).ensure(new_id(), ADDRESSES)


def test_a_name_that_somebody_of_ours_made_at_the_same_time_is_taken() -> None:
    dns, one = Dns(conflict=True), new_id()
    assert names(dns).ensure(one, ADDRESSES) == f"{one}.db.example.org"
    assert len(dns.sets) == 1


def test_an_instance_without_an_address_has_no_name() -> None:
    with pytest.raises(CloudError, match="without an address"):
        names(Dns()).ensure(new_id(), ())


def test_only_what_is_ours_is_held_and_all_pages_are_read() -> None:
    dns, ours = Dns(), sorted(new_id() for _ in range(5))
    for one in ours:
        dns.add(name=f"{one}.db.example.org.", description=tag_of(one))
    dns.add(name="x.db.example.org.", description=tag_of(new_id()), project_id=OTHER)
    assert names(dns).held() == tuple(ours)
    assert dns.pages == 3


def test_what_is_being_deleted_is_left_to_designate_unless_that_failed() -> None:
    dns, going, stuck = Dns(), new_id(), new_id()
    dns.add(name=f"{going}.db.example.org.", description=tag_of(going), action="DELETE", status="PENDING")
    left = dns.add(name=f"{stuck}.db.example.org.", description=tag_of(stuck), action="DELETE", status="ERROR")
    here = names(dns)
    assert here.held() == (stuck,)
    here.delete(going)
    here.delete(stuck)
    assert dns.deleted == [left["id"]]


def test_what_a_name_was_in_another_zone_is_removed_when_it_is_made_anew() -> None:
    dns, one = Dns(), new_id()
    old = dns.add(name=f"{one}.old.example.org.", description=tag_of(one), zone_id="z0")
    names(dns).ensure(one, ADDRESSES)
    assert dns.deleted == [old["id"]]
