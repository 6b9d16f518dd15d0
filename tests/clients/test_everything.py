"""What no real engine can do yet, asked of one that can do everything: clusters, replicas, upgrades."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import Clients
from tests.support.clients_everything import Everything, everything

from trove.core.clock import utcnow

NODE = "flavor=2,volume=1"
NODES = ("--instance", NODE, "--instance", NODE, "--instance", NODE)
NEW = ("--flavor", "2", "--size", "1", "--datastore", "everything")


@pytest.fixture
def able(use: Clients, tmp_path: Path) -> Iterator[Everything]:
    """Return the clients of such a service."""
    with everything(use, tmp_path) as found:
        yield found


def cluster(able: Everything, cluster_id: str) -> Any:
    """Return a cluster when it has nothing to do."""
    shown = able.get(f"/clusters/{cluster_id}")["cluster"]
    return shown if shown["task"]["name"] == "NONE" else None


def made(able: Everything) -> str:
    """Make a cluster of three by the client, wait until it is there and return its id."""
    created = able.shown("database cluster create", "ring", "everything", "1.0", *NODES)
    assert (created["name"], created["task_name"], created["instance_count"]) == ("ring", "BUILDING", 3)
    able.until(lambda: cluster(able, created["id"]))
    return str(created["id"])


def test_a_cluster_is_made_listed_shown_and_deleted(able: Everything) -> None:
    ring = made(able)
    (row,) = able.shown("database cluster list")
    assert (row["ID"], row["Datastore"], row["Task Name"]) == (ring, "everything", "NONE")
    assert able.shown("database cluster show", "ring")["id"] == ring
    members = able.shown("database cluster list instances", ring)
    assert {row["ID"] for row in members} == set(able.world.guests.clusters.known)
    assert able.shown("database cluster modules", ring) == []
    able.openstack("database cluster delete", "ring")
    able.until(lambda: able.ask("GET", f"/clusters/{ring}")[0] == 404)


def test_a_cluster_grows_and_shrinks(able: Everything) -> None:
    ring = made(able)
    able.openstack("database cluster grow", ring, "--instance", NODE)
    grown = able.until(lambda: cluster(able, ring))
    able.until(lambda: len(able.get(f"/clusters/{ring}")["cluster"]["instances"]) == 4 and cluster(able, ring))
    assert len(able.world.guests.clusters.known) == 4
    leaver = grown["instances"][0]["id"]
    able.openstack("database cluster shrink", ring, leaver)
    able.until(lambda: leaver not in str(able.get(f"/clusters/{ring}")["cluster"]["instances"]))
    able.until(lambda: cluster(able, ring))
    assert leaver not in able.world.guests.clusters.known


def test_a_cluster_is_upgraded(able: Everything) -> None:
    ring = made(able)
    able.openstack("database cluster upgrade", ring, "2.0")
    able.until(lambda: (cluster(able, ring) or {"datastore": {}})["datastore"].get("version") == "2.0")


def test_root_of_a_cluster(able: Everything) -> None:
    ring = made(able)
    assert able.shown("database root show", ring) == {"is_root_enabled": False}
    assert able.shown("database root enable", ring, "--root_password", "chosen-by-demo")["password"] == "chosen-by-demo"
    assert able.get(f"/clusters/{ring}/root") == {"rootEnabled": True}


def test_a_cluster_is_reset_and_deleted_by_force(able: Everything) -> None:
    ring = made(able)
    able.openstack("database cluster reset status", ring, status=1)
    assert able.recorder.last("POST").status == 403
    able.openstack("database cluster reset status", ring, user="admin")
    able.openstack("database cluster force delete", ring, user="admin")
    able.until(lambda: able.ask("GET", f"/clusters/{ring}")[0] == 404)


def test_a_replica_is_made_promoted_and_detached(able: Everything) -> None:
    first = able.shown("database instance create", "first", *NEW)["id"]
    able.healthy(first)
    copy = able.shown("database instance create", "copy", "--replica-of", "first")["id"]
    able.until(lambda: able.instance(copy)["status"] == "ACTIVE" and able.instance(copy).get("replica_of"))
    assert able.instance(copy)["replica_of"]["id"] == first
    assert [each["id"] for each in able.instance(first)["replicas"]] == [copy]
    able.openstack("database instance promote", copy)
    able.until(lambda: able.instance(first).get("replica_of") and able.instance(first)["status"] == "ACTIVE")
    assert able.instance(first)["replica_of"]["id"] == copy
    assert able.world.guests.replication.role(copy).writable
    able.openstack("database instance detach", first)
    able.until(lambda: not able.instance(first).get("replica_of") and able.instance(first)["status"] == "ACTIVE")
    assert able.world.guests.replication.role(first).writable


def test_a_silent_source_is_ejected(able: Everything) -> None:
    first = able.shown("database instance create", "first", *NEW)["id"]
    able.healthy(first)
    copy = able.shown("database instance create", "copy", "--replica-of", "first")["id"]
    able.until(lambda: able.instance(copy)["status"] == "ACTIVE" and able.instance(copy).get("replica_of"))
    heard = (utcnow() - timedelta(minutes=5)).replace(tzinfo=None).isoformat(" ")
    with able.world.database.transaction() as tx:
        tx.connection.exec_driver_sql("update service_statuses set heard_at = ? where instance_id = ?", (heard, first))
    able.openstack("database instance eject", "first")
    able.until(lambda: not able.instance(copy).get("replica_of") and able.instance(copy)["status"] == "ACTIVE")
    assert able.world.guests.replication.role(copy).writable


def test_an_instance_is_upgraded(able: Everything) -> None:
    first = able.shown("database instance create", "first", *NEW)["id"]
    able.healthy(first)
    able.openstack("database instance upgrade", "first", "2.0")
    able.until(lambda: able.instance(first)["datastore"]["version"] == "2.0" and able.instance(first)["status"] == "ACTIVE")
