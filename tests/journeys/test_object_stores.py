"""The real stack with its objects in a real Swift, and in S3: backed up, encrypted, deleted, restored; logs published."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.journeys.test_backups import PASSWORD, await_state, back_up, forget_backups, restored_rows
from tests.support.keystone import SERVICE_PASSWORD
from tests.support.object_stores import Servers, s3_settings, servers, swift_store
from tests.support.stack import Stack, stack
from tests.support.swift import swift

from trove.core.manifests import Manifest, manifest_name, prefix_of
from trove.objectstore.contract import ObjectStore

pytestmark = pytest.mark.xdist_group("object-stores")

CONTAINER = "database_backups"


@pytest.fixture(scope="module")
def there() -> Iterator[Servers]:
    with servers() as made:
        yield made


@dataclass(kw_only=True)
class Kept:
    """A stack, and the store where it keeps its objects, as its project sees them."""

    stack: Stack
    store: ObjectStore


@pytest.fixture(scope="module", params=["swift", "s3"])
def kept(request: pytest.FixtureRequest, there: Servers) -> Iterator[Kept]:
    backups = "[DEFAULT]\nbackup_encryption = true\nbackup_segment_max_size = 262144\nguest_log_limit = 4096\n"
    if request.param == "swift":
        credentials = f"auth_url = {there.identity.url}\npassword = {SERVICE_PASSWORD}\nregion_name = RegionOne\n"
        config = f"{backups}[objectstore]\ndriver = swift\n[service_credentials]\n{credentials}"
        with swift(there.identity, region="RegionTwo"), stack(config=config) as running:
            yield Kept(stack=running, store=swift_store(there, project_id=running.project()))
        return
    from trove.objectstore.s3 import S3ObjectStore

    ours = s3_settings(there)
    bucket = f"s3_endpoint = {ours.endpoint}\ns3_bucket = {ours.bucket}\n"
    keys = f"s3_access_key = {ours.access_key}\ns3_secret_key = {ours.secret_key}\n"
    with stack(config=f"{backups}[objectstore]\ndriver = s3\n{bucket}{keys}") as running:
        yield Kept(stack=running, store=S3ObjectStore(ours).of(running.project()))


def test_a_database_comes_back_from_the_store_after_it_was_deleted(kept: Kept, there: Servers) -> None:
    running, store = kept.stack, kept.store
    instance_id = running.create("origin")
    try:
        shown = running.await_healthy(instance_id)
        with running.connect(shown, password=PASSWORD) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
            cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(1000)])
            connection.commit()
        full = await_state(running, back_up(running, instance_id), "COMPLETED", "FAILED")
        assert full["status"] == "COMPLETED", running.tails()
        with running.connect(shown, password=PASSWORD) as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(1000, 1500)])
            connection.commit()
        leaf = await_state(running, back_up(running, instance_id, incremental=1), "COMPLETED", "FAILED")
        assert leaf["status"] == "COMPLETED", running.tails()
        running.delete(instance_id)
        running.await_gone(instance_id)
        manifest = Manifest.from_bytes(b"".join(store.get(CONTAINER, manifest_name(full["id"]))))
        assert manifest.encryption is not None
        assert store.locate(full["locationRef"]) == (CONTAINER, manifest_name(full["id"]))
        assert len(store.list(CONTAINER, prefix=prefix_of(full["id"]))) == len(manifest.segments) + 1 > 3
        assert restored_rows(running, leaf["id"]) == 1500
        assert _imported_rows(running, full) == 1000
        if "AUTH_" in full["locationRef"]:
            far = swift_store(there, project_id=running.project(), region="RegionTwo")
            for info in store.list(CONTAINER, prefix=prefix_of(full["id"])):
                far.put(CONTAINER, info.name, store.get(CONTAINER, info.name))
            store.clear(CONTAINER, prefix_of(full["id"]))
            assert _imported_rows(running, full | {"locationRef": far.url(CONTAINER, manifest_name(full["id"]))}) == 1000
    finally:
        running.delete(instance_id)
        running.await_gone(instance_id)
        forget_backups(running)
    assert store.list(CONTAINER) == []


def test_a_log_is_published_read_and_discarded(kept: Kept) -> None:
    running, store = kept.stack, kept.store
    instance_id = running.create("talker")
    try:
        shown = running.await_healthy(instance_id)
        _act(running, instance_id, enable=1)
        with running.connect(shown, password="secret-talker") as connection, connection.cursor() as cursor:
            for number in range(200):
                cursor.execute(f"SELECT 'said number {number}'")
        told = _act(running, instance_id, publish=1)
        assert told["published"] > 0
        with running.connect(shown, password="secret-talker") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 'said last'")
        told = _act(running, instance_id, publish=1)
        pieces = [info.name for info in store.list(told["container"], prefix=told["prefix"])]
        text = b"".join(b"".join(store.get(told["container"], name)) for name in pieces)
        assert text.count(b"said number") == 200
        assert text.index(b"said number 199") < text.index(b"said last")
        about = json.loads(b"".join(store.get(told["container"], told["metafile"])))
        assert (about["log_name"], about["log_size"]) == ("general", len(text))
        assert _act(running, instance_id, discard=1)["published"] == 0
        assert store.list("database_logs") == []
    finally:
        running.delete(instance_id)
        running.await_gone(instance_id)


def _act(running: Stack, instance_id: str, **deeds: int) -> dict[str, object]:
    reply = running.request("POST", f"/instances/{instance_id}/log", {"name": "general", **deeds})
    assert reply.status == 200, reply.text
    told: dict[str, object] = reply.body["log"]
    return told


def _imported_rows(running: Stack, backup: dict[str, object]) -> int:
    """Take a backup in by its place, as if it had been made elsewhere, and count the rows that come back from it."""
    datastore = backup["datastore"]
    assert isinstance(datastore, dict)
    source = {
        "remote_location": backup["locationRef"],
        "local_datastore_version_id": datastore["version_id"],
        "size": 0.1,
    }
    reply = running.request("POST", "/backups", {"backup": {"name": "taken in", "restore_from": source}})
    assert reply.status == 202, reply.text
    return restored_rows(running, reply.body["backup"]["id"])
