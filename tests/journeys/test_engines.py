"""The whole way of an instance of each engine on one real stack: what users do with it from its creation to its deletion."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from tests.journeys.test_backups import await_state, back_up
from tests.journeys.test_configurations import await_status
from tests.journeys.test_resize import ask, await_sizes
from tests.support import editions
from tests.support.dialects import Denied, Dialect, Gone, LoginRefused, ReadOnly, Session, Tenant, dialect
from tests.support.editions import Edition
from tests.support.stack import BUILD_S, Stack, await_value

from trove.core.ids import new_id
from trove.core.logs import LogType
from trove.datastores.contract import Facet

NAME, PASSWORD, DATABASE = "ann", "pass-Word-1", "shop"
REFUSALS = (Denied, Gone, LoginRefused, ReadOnly)

pytestmark = pytest.mark.parametrize("edition", editions.with_facets(Facet.USERS), ids=str)


class Journey:
    """Instances of one engine on a stack. All of them, and their backups, are gone at the end."""

    def __init__(self, stack: Stack, edition: Edition) -> None:
        self.stack = stack
        self.edition = edition
        self.tag = f"{edition.manager}-{new_id()[:6]}"
        self.instances: list[str] = []

    @property
    def dialect(self) -> Dialect:
        return dialect(self.edition.manager)

    @property
    def datastore(self) -> dict[str, str]:
        return {"type": self.edition.manager, "version": self.edition.version}

    def has(self, facet: Facet) -> bool:
        return facet in self.edition.spec.facets

    def create(self, name: str, *, flavor: str = "1", size: int = 1, **more: Any) -> str:
        sizes = {"flavorRef": flavor, "volume": {"size": size}}
        return self._create(name, {"datastore": self.datastore, **sizes, **more})

    def replicate(self, source: str) -> str:
        return self._create("replica", {"replica_of": source})

    def _create(self, name: str, body: dict[str, Any]) -> str:
        reply = self.stack.request("POST", "/instances", {"instance": {"name": f"{self.tag}-{name}", **body}})
        assert reply.status == 200, reply.text
        self.instances.append(str(reply.body["instance"]["id"]))
        return self.instances[-1]

    def connect(self, instance_id: str) -> Session:
        shown = self.stack.show(instance_id)
        assert shown is not None
        tenant = Tenant(name=NAME, password=PASSWORD, database=DATABASE if self.has(Facet.DATABASES) else None)
        return self.dialect.connect(shown["addresses"][0]["address"], tenant)

    def put(self, instance_id: str, *keys: str) -> None:
        """Write as soon as the instance takes writes."""

        def written() -> bool:
            with suppress(*REFUSALS), closing(self.connect(instance_id)) as session:
                for key in keys:
                    session.put(key, key)
                return True
            return False

        await_value(written, 60.0, f"{instance_id} takes no writes")

    def await_keys(self, instance_id: str, *keys: str) -> None:
        """Wait until exactly these have come."""

        def there() -> bool:
            with suppress(*REFUSALS), closing(self.connect(instance_id)) as session:
                return session.keys() == set(keys)
            return False

        await_value(there, 60.0, f"{instance_id} does not have {keys}")

    def await_idle(self, instance_id: str) -> None:
        """Wait until the last operation on an instance has succeeded, and it is healthy."""

        def ended() -> bool:
            (last, *_) = self.stack.operations(instance_id)
            assert last["state"] not in {"FAILED", "REVERTED", "CANCELLED"}, last
            return bool(last["finished"])

        await_value(ended, BUILD_S, f"an operation on {instance_id} does not end")
        self.stack.await_healthy(instance_id)

    def clean(self) -> None:
        for backup in self.stack.request("GET", "/backups").body["backups"]:
            if backup["instance_id"] in self.instances:
                self.stack.request("DELETE", f"/backups/{backup['id']}")
        # Replicas before their sources, whoever that is by now.
        deadline = time.monotonic() + 120
        left = list(self.instances)
        while left:
            assert time.monotonic() < deadline, f"not deleted: {left}"
            for each in list(left):
                if self.stack.request("DELETE", f"/instances/{each}").status == 404:
                    left.remove(each)
            time.sleep(0.2)
        for each in self.instances:
            self.stack.await_gone(each)


@contextmanager
def journey(stack: Stack, edition: Edition) -> Iterator[Journey]:
    made = Journey(stack, edition)
    try:
        yield made
    finally:
        made.clean()


@pytest.fixture
def way(shared: Stack, edition: Edition) -> Iterator[Journey]:
    with journey(shared, edition) as made:
        yield made


def test_the_whole_way_of_an_instance(way: Journey) -> None:
    stack = way.stack
    accounts: dict[str, Any] = {"users": [{"name": NAME, "password": PASSWORD}]}
    if way.has(Facet.DATABASES):
        accounts["databases"] = [{"name": DATABASE}]
        accounts["users"][0]["databases"] = [{"name": DATABASE}]
    first = way.create("first", **accounts)
    stack.await_healthy(first)
    way.put(first, "early")
    assert [each["name"] for each in stack.request("GET", f"/instances/{first}/users").body["users"]] == [NAME]

    configure(way, first)
    way.await_keys(first, "early")

    backup = back_up(stack, first)
    assert await_state(stack, backup, "COMPLETED", "FAILED")["status"] == "COMPLETED"
    way.put(first, "after the backup")
    restored = way.create("restored", flavor="2", size=2, restorePoint={"backupRef": backup})

    replica = way.replicate(first) if way.has(Facet.REPLICATION) else None
    stack.await_healthy(restored)
    way.await_keys(restored, "early")
    way.put(restored, "mine")

    if replica is not None:
        stack.await_healthy(replica)
        way.put(first, "for the replica")
        kept = ("early", "after the backup", "for the replica")
        way.await_keys(replica, *kept)
        promote(way, first, replica, kept)
        way.await_keys(first, *kept, "after the promotion")

    ask(stack, restored, {"volume": {"size": 3}})
    await_sizes(stack, restored, volume=3, flavor="2")
    ask(stack, restored, {"flavorRef": "1"})
    await_sizes(stack, restored, volume=3, flavor="1")
    way.await_keys(restored, "early", "mine")

    logs(way, restored)


def configure(way: Journey, instance_id: str) -> None:
    """Attach a group, whose values take effect at once or after a restart, and detach it."""
    stack, live, restart = way.stack, way.dialect.live, way.dialect.restart
    words = ("--datastore", way.edition.manager, "--datastore-version", way.edition.version, "-f", "json")
    values = json.dumps({live.name: live.value, restart.name: restart.value})
    group = json.loads(stack.openstack("database", "configuration", "create", way.tag, values, *words).stdout)["id"]
    stack.openstack("database", "configuration", "attach", instance_id, group)
    await_status(stack, instance_id, "RESTART_REQUIRED")
    stack.openstack("database", "instance", "restart", instance_id)
    await_status(stack, instance_id, "ACTIVE")
    stack.openstack("database", "configuration", "detach", instance_id)
    await_status(stack, instance_id, "RESTART_REQUIRED")
    stack.openstack("database", "instance", "restart", instance_id)
    await_status(stack, instance_id, "ACTIVE")
    stack.openstack("database", "configuration", "delete", group)


def promote(way: Journey, source: str, replica: str, kept: tuple[str, ...]) -> None:
    """Make the replica the source, and see the old one follow it."""
    stack = way.stack
    reply = stack.request("POST", f"/instances/{replica}/action", {"promote_to_replica_source": {}})
    assert reply.status == 202, reply.text
    way.await_idle(replica)
    shown = stack.show(source)
    assert shown is not None
    assert shown["replica_of"]["id"] == replica
    way.await_keys(replica, *kept)
    way.put(replica, "after the promotion")
    with pytest.raises(REFUSALS), closing(way.connect(source)) as session:
        session.put("errant", "errant")


def logs(way: Journey, instance_id: str) -> None:
    """Publish what the server says of itself, and see it in the object store."""
    for name, kind in way.edition.spec.logs.items():
        if kind is LogType.SYS:
            reply = way.stack.request("POST", f"/instances/{instance_id}/log", {"name": name, "publish": 1})
            assert reply.status == 200, reply.text
            assert reply.body["log"]["published"] > 0
            reply = way.stack.request("POST", f"/instances/{instance_id}/log", {"name": name, "discard": 1})
            assert reply.body["log"]["published"] == 0
