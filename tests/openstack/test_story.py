"""The whole way of an instance whose server is a virtual machine, booted from the guest image, used from inside its network."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.journeys.test_backups import back_up
from tests.journeys.test_engines import DATABASE, NAME, PASSWORD, REFUSALS, Journey, promote
from tests.openstack.lab import need_lab, new_tap
from tests.openstack.service import TASK_MANAGERS, Deployment, away, deployment, until
from tests.support import editions
from tests.support.editions import Edition

from trove.datastores.contract import Facet

GUEST_S = 2400.0
"""For a server that boots under emulation while others do, too."""
PATIENCE = {
    "DEFAULT": {
        "usage_timeout": 2400,
        "restore_usage_timeout": 3600,
        "state_change_wait_time": 1800,
        "resize_time_out": 1800,
        "failover_time_out": 1800,
        "agent_call_low_timeout": 60,
        "agent_heartbeat_expiry": 300,
    }
}
IMAGES, FORM = "TROVE_TEST_IMAGES", "TROVE_TEST_IMAGE_FORM"
"""Directory of the images that contrib/image/build made, each in one of its own, and which form of them the cloud boots."""
SMALL, LARGE = "trove.guest", "trove.guest.large"
KEPT = ("early", "late", "after the promotion")


class GuestJourney(Journey):
    """A journey on a cloud, each of whose steps is told with what it took."""

    stack: Deployment

    def __init__(self, stack: Deployment, edition: Edition, flavors: dict[str, str]) -> None:
        super().__init__(stack, edition)
        self.flavors = flavors
        self.disturbed = False
        """Whether task managers and services of the cloud die on the way."""

    def create(self, name: str, *, flavor: str = SMALL, size: int = 1, **more: Any) -> str:
        return super().create(name, flavor=self.flavors[flavor], size=size, **more)

    def await_built(self, instance_id: str) -> None:
        self.stack.await_healthy(instance_id, timeout_s=GUEST_S)

    @contextmanager
    def without(self, service: str) -> Iterator[None]:
        """On a disturbed way: a service of the cloud is stopped when task managers begin with what the block asks for."""
        if not self.disturbed:
            yield
            return
        self.stack.kill(*TASK_MANAGERS)
        yield
        with away(self.stack, service):
            self.stack.start(*TASK_MANAGERS)

    def strike(self, instance_id: str, moment: str, service: str | None = None) -> None:
        """On a disturbed way: kill a service of the cloud, or else both task managers, at a moment of an operation.

        That is a step that was done or that the guest is at, or what Nova says of the server.
        """
        if not self.disturbed:
            return

        def reached() -> bool:
            (last, *_) = self.stack.operations(instance_id)
            assert not last["finished"], f"too late: {last}"
            server = self.stack.server(instance_id)
            states = set() if server is None else {server.status, server.task_state}
            return moment in states or (last["step"] or "").startswith(moment)

        until(reached, f"{instance_id} is at {moment}", GUEST_S)
        if service is not None:
            with away(self.stack, service):
                pass
            return
        self.stack.kill(*TASK_MANAGERS)
        self.stack.start(*TASK_MANAGERS)

    def await_idle(self, instance_id: str) -> None:
        def ended() -> bool:
            (last, *_) = self.stack.operations(instance_id)
            assert last["state"] not in {"FAILED", "CANCELLED"}, f"{last}\n{self.stack.tails()}"
            return bool(last["finished"])

        until(ended, f"the last operation on {instance_id} has ended", GUEST_S)
        self.await_built(instance_id)

    def act(self, instance_id: str, **action: Any) -> None:
        reply = self.stack.request("POST", f"/instances/{instance_id}/action", action)
        assert reply.status == 202, reply.text

    def back_up(self, instance_id: str) -> str:
        made = back_up(self.stack, instance_id)

        def completed() -> bool:
            shown = self.stack.request("GET", f"/backups/{made}").body["backup"]
            assert shown["status"] != "FAILED", f"{shown}\n{self.stack.tails()}"
            return bool(shown["status"] == "COMPLETED")

        until(completed, "the backup is complete", GUEST_S)
        return made

    def clean(self) -> None:
        for backup in self.stack.request("GET", "/backups").body["backups"]:
            if backup["instance_id"] in self.instances:
                self.stack.request("DELETE", f"/backups/{backup['id']}")
        until(lambda: self.stack.request("GET", "/backups").body["backups"] == [], "the backups are deleted", GUEST_S)
        self.stack.discard()


@contextmanager
def told(step: str) -> Iterator[None]:
    """Say how long a step took."""
    began = time.monotonic()
    yield
    print(f"{step}: {time.monotonic() - began:.0f} s", flush=True)


@pytest.fixture(scope="module")
def guests(lab: Any) -> Iterator[Deployment]:
    with deployment(lab, options=PATIENCE) as made:
        yield made


def guest_flavors(admin: Any) -> dict[str, str]:
    """Return the ids of flavors that guests fit in, by name; made unless they are there."""
    there = {flavor.name: str(flavor.id) for flavor in admin.compute.flavors()}
    for name, ram in ((SMALL, 768), (LARGE, 1024)):
        if name not in there:
            there[name] = str(admin.compute.create_flavor(name=name, vcpus=1, ram=ram, disk=4).id)
    return there


def register(service: Deployment, manager: str, version: str) -> None:
    """Upload the guest image of a version, and offer it."""
    folder = Path(os.environ.get(IMAGES, "/var/cache/trove/guest-images"), f"{manager}-{version}")
    assert folder.is_dir(), f"there is no {folder}; build it with contrib/image/build"
    form = os.environ.get(FORM, "bare")
    service.manage("datastore", "version", "register", str(folder), f"--form={form}", f"--name={version}", "--default")


@pytest.fixture
def way(guests: Deployment, lab: Any, request: pytest.FixtureRequest) -> Iterator[GuestJourney]:
    (edition,) = [each for each in editions.with_facets(Facet.USERS) if each.manager == request.param][:1]
    register(guests, edition.manager, edition.version)
    made = GuestJourney(guests, edition, guest_flavors(lab))
    try:
        yield made
    finally:
        made.clean()
    assert guests.leftovers() == []
    assert guests.objects() == []


def accounts(way: Journey) -> dict[str, Any]:
    users: list[dict[str, Any]] = [{"name": NAME, "password": PASSWORD}]
    if not way.has(Facet.DATABASES):
        return {"users": users}
    users[0]["databases"] = [{"name": DATABASE}]
    return {"databases": [{"name": DATABASE}], "users": users}


@pytest.mark.parametrize("way", ["mariadb"], indirect=True)
def test_a_database_is_made_used_and_deleted(way: GuestJourney) -> None:
    with told("create"), way.stack.asked() as creating:
        first = way.create("first", **accounts(way))
        way.await_built(first)
    print(f"requests: {sum(creating.kinds.values())}, of which {sum(creating.changes().values())} change something")
    way.put(first, "early")
    way.await_keys(first, "early")
    with told("delete"):
        way.stack.delete(first)
        way.stack.await_gone(first, timeout_s=GUEST_S)


@pytest.mark.parametrize("way", ["mariadb"], indirect=True)
def test_the_whole_way_of_an_instance(way: GuestJourney) -> None:
    change(way, copy(way))


@pytest.mark.parametrize("way", ["mariadb"], indirect=True)
def test_copies_are_made_though_the_cloud_and_task_managers_die(way: GuestJourney) -> None:
    need_lab()
    way.disturbed = True
    copy(way)


@pytest.mark.parametrize("way", ["mariadb"], indirect=True)
def test_an_instance_is_changed_though_the_cloud_and_task_managers_die(way: GuestJourney) -> None:
    need_lab()
    one = way.create("one", **accounts(way))
    way.await_built(one)
    way.put(one, *KEPT)
    way.disturbed = True
    change(way, one)


@pytest.mark.parametrize("way", ["mysql", "postgresql", "redis", "valkey"], indirect=True)
def test_a_backup_is_restored_in_another_machine(way: GuestJourney) -> None:
    with told(f"{way.edition}: create"):
        first = way.create("first", **accounts(way))
        way.await_built(first)
    way.put(first, "early")
    with told(f"{way.edition}: back up"):
        backup = way.back_up(first)
    way.put(first, "late")
    with told(f"{way.edition}: restore"):
        restored = way.create("restored", restorePoint={"backupRef": backup})
        way.await_built(restored)
    way.await_keys(restored, "early")


@pytest.mark.parametrize("way", ["mariadb", "postgresql"], indirect=True)
def test_a_server_is_made_anew_with_the_next_version(way: GuestJourney) -> None:
    upgrade(way)


@pytest.mark.parametrize("way", ["mariadb"], indirect=True)
def test_a_server_is_made_anew_though_the_cloud_and_task_managers_die(way: GuestJourney) -> None:
    need_lab()
    way.disturbed = True
    upgrade(way)


@pytest.mark.parametrize("way", ["mariadb"], indirect=True)
def test_a_server_that_the_cloud_cannot_make_anew_is_brought_back(way: GuestJourney) -> None:
    need_lab()
    one, _ = ask_for_upgrade(way)
    with told(f"{way.edition}: upgrade that Nova fails, and the way back"):
        way.disturbed = True
        way.strike(one, "rebuilding", "cinder")
        until(lambda: way.stack.operations(one)[0]["finished"], "the upgrade has ended", GUEST_S)
        way.await_built(one)
    assert way.stack.operations(one)[0]["state"] == "FAILED"
    assert version_of(way, one) == way.edition.version
    way.await_keys(one, "early")


def copy(way: GuestJourney) -> str:
    """Create an instance, back it up, restore that, make a replica and promote it; return the replica, which is left."""
    stack = way.stack
    with told("create"):
        with way.without("nova"):
            first = way.create("first", **accounts(way))
        way.strike(first, "prepare")
        way.await_built(first)
    way.put(first, "early")
    with told("back up"):
        backup = way.back_up(first)
    way.put(first, "late")
    with told("restore"):
        with way.without("cinder"):
            restored = way.create("restored", restorePoint={"backupRef": backup})
        way.strike(restored, "prepare")
        way.await_built(restored)
    way.await_keys(restored, "early")
    with way.without("nova"):
        stack.delete(restored)
    stack.await_gone(restored, timeout_s=GUEST_S)
    with told("replicate"):
        with way.without("neutron"):
            replica = way.replicate(first)
        way.strike(replica, "prepare")
        way.await_built(replica)
    way.await_keys(replica, "early", "late")
    with told("promote"):
        promote(way, first, replica, ("early", "late"))
    with way.without("cinder"):
        stack.delete(first)
    stack.await_gone(first, timeout_s=GUEST_S)
    return replica


def change(way: GuestJourney, one: str) -> None:
    """Resize an instance that has the rows `KEPT`, grow its volume, configure it, say whom it admits, and reboot it."""
    stack = way.stack
    with told("resize"):
        way.act(one, resize={"flavorRef": way.flavors[LARGE]})
        # Earlier than that Nova would lose it: what its conductor has in hand dies with it.
        way.strike(one, "resize_migrating", "nova")
        way.strike(one, "ensure_running")
        way.await_idle(one)
    way.await_keys(one, *KEPT)
    with told("grow"):
        way.act(one, resize={"volume": {"size": 2}})
        way.strike(one, "powering-off", "cinder")
        way.strike(one, "ensure_running")
        way.await_idle(one)
    way.await_keys(one, *KEPT)
    with told("configure"):
        configure(way, one)
    with told("access"):
        admit(way, one)
    with told("reboot"):
        (port,) = stack.owner.network.ports(name=f"trove-{one}")
        with new_tap(port.id):
            stack.reboot(one)
        way.strike(one, "reboot_server")
        way.await_idle(one)
    way.await_keys(one, *KEPT)


def ask_for_upgrade(way: GuestJourney) -> tuple[str, str]:
    """Create an instance and have it brought to the next version of its engine; return its id and that version."""
    newer = editions.newer(way.edition)[0]
    register(way.stack, newer.manager, newer.version)
    one = way.create("one", **accounts(way))
    way.await_built(one)
    way.put(one, "early")
    reply = way.stack.request("PATCH", f"/instances/{one}", {"instance": {"datastore_version": newer.version}})
    assert reply.status == 202, reply.text
    return one, newer.version


def upgrade(way: GuestJourney) -> None:
    """Bring an instance to the next version, after a backup."""
    one, version = ask_for_upgrade(way)
    with told(f"{way.edition}: upgrade to {version}"):
        before = way.stack.server(one)
        way.strike(one, "rebuild_spawning", "nova")
        way.strike(one, "upgrade")
        way.await_idle(one)
    way.await_keys(one, "early")
    after = way.stack.server(one)
    assert version_of(way, one) == version
    assert after.id == before.id
    (backup,) = way.stack.request("GET", f"/instances/{one}/backups").body["backups"]
    assert (backup["status"], backup["datastore"]["version"]) == ("COMPLETED", way.edition.version)


def version_of(way: GuestJourney, instance_id: str) -> str:
    shown = way.stack.show(instance_id)
    assert shown is not None
    return str(shown["datastore"]["version"])


def configure(way: GuestJourney, instance_id: str) -> None:
    """Attach a group of values, which the server then has, and detach it."""
    wanted = {"name": way.tag, "values": {"max_connections": 55}, "datastore": way.datastore}
    reply = way.stack.request("POST", "/configurations", {"configuration": wanted})
    assert reply.status == 200, reply.text
    group = reply.body["configuration"]["id"]
    way.stack.request("PUT", f"/instances/{instance_id}", {"instance": {"configuration": group}})
    until(lambda: _value(way, instance_id, "max_connections") == 55, "the server has the value", GUEST_S)
    way.await_idle(instance_id)
    way.stack.request("PUT", f"/instances/{instance_id}", {"instance": {}})
    way.await_idle(instance_id)
    assert way.stack.request("DELETE", f"/configurations/{group}").status == 202


def admit(way: GuestJourney, instance_id: str) -> None:
    """Let in others than us, whom the cloud keeps out then, and us again."""

    def reached() -> bool:
        with suppress(*REFUSALS):
            way.connect(instance_id).close()
            return True
        return False

    def let_in(cidr: str) -> None:
        access = {"is_public": False, "allowed_cidrs": [cidr]}
        reply = way.stack.request("PUT", f"/instances/{instance_id}", {"instance": {"access": access}})
        assert reply.status == 202, reply.text

    with way.without("neutron"):
        let_in("192.0.2.0/24")
    until(lambda: not reached(), "we are kept out", GUEST_S)
    let_in("0.0.0.0/0")
    until(reached, "we are let in", GUEST_S)
    way.await_idle(instance_id)


def _value(way: GuestJourney, instance_id: str, name: str) -> object:
    shown = way.stack.show(instance_id)
    assert shown is not None
    connection = pymysql.connect(host=shown["addresses"][0]["address"], user=NAME, password=PASSWORD, connect_timeout=20)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT @@{name}")
        return cursor.fetchone()[0]
