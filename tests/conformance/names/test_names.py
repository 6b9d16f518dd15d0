"""Names of instances: one suite over the clouds that give them, in memory and a real Designate with a real name server."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.keystone import DEMO_PASSWORD, SERVICE_PASSWORD, keystone
from tests.support.name_service import Designate, designate
from tests.support.world import CALLER, request, world

from trove.cloud.contract import Names
from trove.cloud.memory import MemoryCloud
from trove.cloud.openstack import OpenStackCloud, OpenStackSettings
from trove.cloud.openstack.settings import Timeouts, ZoneSettings
from trove.core.errors import CloudError
from trove.core.ids import new_id
from trove.core.instances import Address
from trove.core.operations import OperationState
from trove.operations.doors import Settings
from trove.operations.instance import create, delete
from trove.store import instances, operations

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("designate"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk of what it calls itself
]

ZONE = "db.example.org"
PRIVATE, OTHER = Address(address="10.0.0.5"), Address(address="10.0.0.6")
SIXTH = Address(address="fd00::5")
PUBLIC = Address(address="203.0.113.9", type="public")
SOON_S = 60.0


@dataclass(frozen=True)
class Giver:
    """A cloud that gives names, and what the world sees of them."""

    names: Names
    resolve: Callable[[str], set[str]]

    def resolved(self, name: str, *wanted: Address) -> None:
        """Wait until a name means these addresses."""
        expected, deadline = {each.address for each in wanted}, time.monotonic() + SOON_S
        while (found := self.resolve(name)) != expected:
            assert time.monotonic() < deadline, f"{name} means {found}, not {expected}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def real() -> Iterator[Designate]:
    """Return a Designate with a zone of the service's project."""
    with keystone(trove_url="http://127.0.0.1:1") as made, designate(made) as running:
        running.zone(ZONE)
        yield running


def cloud_of(real: Designate, **zone: str) -> OpenStackCloud:
    """Return the cloud as the service uses it, with a zone of names or the usual one."""
    auth = {"auth_url": real.keystone.url, "username": "trove", "password": SERVICE_PASSWORD, "project_name": "service"}
    auth |= {"user_domain_name": "Default", "project_domain_name": "Default"}
    wanted = ZoneSettings(**(zone or {"name": ZONE}))
    return OpenStackCloud(OpenStackSettings(auth=auth, zone=wanted, timeouts=Timeouts(name_s=SOON_S, poll_s=0.1)))


@pytest.fixture(params=["memory", "designate"])
def giver(request: pytest.FixtureRequest) -> Giver:
    """Return each cloud that gives names."""
    if request.param == "memory":
        cloud = MemoryCloud()
        return Giver(cloud, lambda name: set(cloud.names.get(name.partition(".")[0], ())))
    running: Designate = request.getfixturevalue("real")
    return Giver(cloud_of(running), lambda name: running.ask(name) | running.ask(name, "AAAA"))


def test_a_name_means_the_addresses_of_its_instance_until_it_is_deleted(giver: Giver) -> None:
    one = new_id()
    giver.names.delete_name(one)
    name = giver.names.ensure_name(one, (PRIVATE, SIXTH))
    assert name == f"{one}.{ZONE}"
    assert giver.resolve(name) == {PRIVATE.address, SIXTH.address}
    assert giver.names.ensure_name(one, (SIXTH, PRIVATE)) == name
    assert giver.names.held_names() == (one,)
    assert giver.names.ensure_name(one, (PRIVATE, SIXTH, PUBLIC)) == name
    giver.resolved(name, PUBLIC)
    for _ in range(2):
        giver.names.delete_name(one)
        assert giver.names.held_names() == ()
    giver.resolved(name)


def test_zones_of_others_are_refused(real: Designate) -> None:
    hers = real.zone("hers.example.com", "demo", DEMO_PASSWORD, "demo")
    dns = real.connection("demo", DEMO_PASSWORD, "demo").dns
    shared = {"target_project_id": real.keystone.projects["service"]}
    for _ in range(2):
        for zone in ({"name": "hers.example.com"}, {"id": hers}, {"name": ZONE, "id": hers}):
            with pytest.raises(CloudError, match=r"has no DNS zone .*The operator of the service must make it"):
                cloud_of(real, **zone).ensure_name(new_id(), (PRIVATE,))
        dns.post(f"/zones/{hers}/shares", json=shared)
    assert [each.type for each in dns.recordsets(hers)] == ["SOA", "NS"]
    dns.delete_zone(hers, delete_shares=True)


def test_what_is_not_ours_is_left_alone(real: Designate) -> None:
    one, dns = new_id(), real.connection("trove", SERVICE_PASSWORD, "service").dns
    zone = dns.find_zone(f"{ZONE}.")
    taken = dns.create_recordset(zone, name=f"{one}.{ZONE}.", type="A", records=[OTHER.address], description="by hand")
    cloud = cloud_of(real)
    with pytest.raises(CloudError, match="belongs to something else"):
        cloud.ensure_name(one, (PRIVATE,))
    cloud.delete_name(one)
    assert cloud.held_names() == ()
    assert dns.get_recordset(taken, zone).records == [OTHER.address]
    dns.delete_recordset(taken, zone)


def test_a_quota_that_is_spent_is_an_error_and_no_reason_to_wait(real: Designate) -> None:
    dns = real.connection("trove", SERVICE_PASSWORD, "service").dns
    quotas = f"/quotas/{real.keystone.projects['service']}"
    dns.patch(quotas, json={"zone_recordsets": 1})
    try:
        with pytest.raises(CloudError, match="quota is spent"):
            cloud_of(real).ensure_name(new_id(), (PRIVATE,))
    finally:
        dns.delete(quotas)


def test_an_operation_waits_for_a_designate_that_is_away(real: Designate, tmp_path: Path) -> None:
    settings = Settings(default_datastore="mariadb", name_timeout_s=3 * SOON_S, delete_timeout_s=3 * SOON_S)
    with world(tmp_path, settings=settings) as here:
        doors = replace(here.doors, names=cloud_of(real))

        def run(away: str) -> None:
            """Run what was accepted last, with Designate away when it comes to a step, and back when that was tried."""
            met = threading.Event()
            probe = {(away, "before do"): met.set}
            with here.database.reading() as tx:
                (waiting,) = operations.unfinished(tx, limit=2)
            runner = here.runner(doors=doors, probe=lambda *point: probe.get(point, bool)())
            real.kill()
            thread = threading.Thread(target=runner.run_now, args=(waiting.id,))
            thread.start()
            try:
                assert met.wait(SOON_S)
            finally:
                real.start()
                thread.join(4 * SOON_S)
            assert not thread.is_alive()
            with here.database.reading() as tx:
                ended = operations.get(tx, waiting.id)
            assert ended.state is OperationState.SUCCEEDED, ended.error

        made = create.start(doors, CALLER, request())
        run("ensure_name")
        with here.database.reading() as tx:
            one = instances.get(tx, made.id)
        assert one.hostname == f"{one.id}.{ZONE}"
        assert real.ask(one.hostname) == {each.address for each in one.addresses}
        delete.start(doors, CALLER, one.id)
        run("remove_name")
        assert cloud_of(real).held_names() == ()
