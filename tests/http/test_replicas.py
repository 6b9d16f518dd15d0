"""What a user sees of replicas: made, promoted, ejected, detached; and of upgrades, access, locality and nics beside them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from tests.http.test_instances import SMALL, UNKNOWN, error
from tests.support.facets import take_away
from tests.support.http_api import PROJECT, serving_api

from trove.core.clock import utcnow
from trove.core.quotas import Resource
from trove.core.status import ServiceStatus
from trove.core.transitions import Event
from trove.datastores.contract import Facet
from trove.operations.doors import Limits, Settings
from trove.store import instances, operations, quotas
from trove.store.tables import instances as rows

EXPIRY_S = 90.0


@pytest.fixture
def source(api):
    """The id of an instance whose engine can replicate, and that serves."""
    return api.active("orders", guest=False, version_id=api.offer_everything()[0])


def replicate(api, source, **fields):
    return api.post("/instances", {"instance": {"name": "copy", "replica_of": source, **fields}})


def act(api, instance_id, name, **options):
    return api.post(f"/instances/{instance_id}/action", {name: {}}, **options)


def shown(api, instance_id, **options):
    return api.get(f"/instances/{instance_id}", **options).json["instance"]


def a_set(api, source, count=2):
    """Let the source have so many replicas that serve; return their ids."""
    assert replicate(api, source, replica_count=count).status_code == 200
    made = [each["id"] for each in shown(api, source)["replicas"]]
    for replica in made:
        api.doors.database.run(instances.apply, replica, Event.BUILT)
        api.beat(replica, ServiceStatus.HEALTHY)
        # Its creation has ended; what it did is the task manager's story.
        with api.doors.database.transaction() as tx:
            tx.connection.exec_driver_sql("update operations set state = 'SUCCEEDED'")
    return made


def test_a_replica_inherits_from_its_source_and_both_say_so(api, source):
    result = replicate(api, source)
    assert result.status_code == 200, result.text
    replica = result.json["instance"]
    assert (replica["name"], replica["status"], replica["flavor"]["id"]) == ("copy", "BUILD", "2")
    assert replica["volume"] == {"size": 2}
    assert replica["datastore"]["type"] == "everything"
    assert replica["replica_of"]["id"] == source
    assert replica["replica_of"]["links"][0]["href"].endswith(f"/v1.0/{PROJECT}/instances/{source}")
    assert [each["id"] for each in shown(api, source)["replicas"]] == [replica["id"]]
    (operation,) = api.get(f"/instances/{replica['id']}/operations").json["operations"]
    assert operation["kind"] == "instance.create"
    assert "password" not in api.get(f"/instances/{replica['id']}/operations", user="admin").text


def test_the_old_name_of_the_field_means_the_same(api, source):
    result = api.post("/instances", {"instance": {"name": "copy", "slave_of": source}})
    assert result.json["instance"]["replica_of"]["id"] == source
    error(replicate(api, source, slave_of=UNKNOWN), 400, "badRequest")


def test_several_replicas_are_numbered_and_the_last_is_shown(api, source):
    result = replicate(api, source, replica_count=3)
    assert result.json["instance"]["name"] == "copy-3"
    replicas = shown(api, source)["replicas"]
    assert sorted(api.row(each["id"]).name for each in replicas) == ["copy-1", "copy-2", "copy-3"]
    assert len(api.announcer.announced) == 3


@pytest.mark.parametrize("what", list(Resource)[:3])
def test_every_replica_counts_in_the_quota_and_none_is_made_beyond_it(api, source, what):
    each = {Resource.INSTANCES: 1, Resource.RAM: 512, Resource.VOLUMES: 2}[what]
    with api.doors.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, what, 3 * each - 1)
    assert what.value in error(replicate(api, source, replica_count=3), 413, "overLimit")
    assert "replicas" not in shown(api, source)
    assert replicate(api, source, replica_count=2).status_code == 200
    with api.doors.database.reading() as tx:
        (used,) = [quota for quota in quotas.limits_of(tx, PROJECT, {}) if quota.resource is what]
    assert used.reserved == 2 * each


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"flavorRef": "2"}, "flavorRef"),
        ({"volume": {"size": 9}}, "volume"),
        ({"flavorRef": "1", "volume": {"size": 2}}, "flavorRef"),
        ({"flavorRef": "2", "volume": {"size": 3}}, "volume.size"),
        ({"flavorRef": "2", "volume": {"size": 2, "type": "fast"}}, "volume.type"),
        ({"replica_count": 2, "nics": [{"port-id": UNKNOWN}]}, "port-id"),
        ({"datastore": {"type": "everything"}}, "datastore"),
        ({"locality": "affinity"}, "locality"),
        ({"users": [{"name": "app", "password": "S3cretpw"}]}, "users"),
        ({"databases": [{"name": "shop"}]}, "databases"),
        ({"restorePoint": {"backupRef": UNKNOWN}}, "restorePoint"),
        ({"nics": [{"subnet_id": UNKNOWN, "ip_address": "10.0.0.9"}]}, "ip_address"),
        ({"region_name": "Mars"}, "Mars"),
        ({"replica_count": 4}, "replica_count"),
        ({"replica_count": 0}, "replica_count"),
        ({"replica_of": "x"}, "replica_of"),
    ],
)
def test_what_a_replica_has_from_its_source_cannot_be_asked_for(api, source, fields, word):
    assert word in error(replicate(api, source, **fields), 400, "badRequest")
    assert "replicas" not in shown(api, source)


def test_flavor_and_volume_may_be_said_together_when_they_are_the_sources(api, source):
    result = replicate(api, source, flavorRef="2", volume={"size": 2})
    assert result.status_code == 200, result.text
    assert result.json["instance"]["replica_of"]["id"] == source


def test_several_need_a_source(api):
    message = error(api.post("/instances", {"instance": {**SMALL, "replica_count": 2}}), 400, "badRequest")
    assert "replica_count" in message
    assert api.post("/instances", {"instance": {**SMALL, "replica_count": 1}}).status_code == 200


def test_only_a_source_that_can_replicate_and_serves_is_replicated(api, source, monkeypatch):
    error(replicate(api, UNKNOWN), 404, "itemNotFound")
    foreign = api.active(project_id="p2", guest=False, version_id=api.row(source).datastore_version.id)
    error(replicate(api, foreign), 404, "itemNotFound")
    error(replicate(api, foreign, user="admin"), 404, "itemNotFound")
    plain = api.active("plain", guest=False)
    with monkeypatch.context() as patch:
        take_away(patch, Facet.REPLICATION)
        assert "not supported" in error(replicate(api, plain), 400, "badRequest")
    assert "BUILD" in error(
        replicate(api, api.insert(version_id=api.row(source).datastore_version.id)), 422, "unprocessableEntity"
    )
    api.beat(source, ServiceStatus.SHUTDOWN)
    assert "shutdown" in error(replicate(api, source), 422, "unprocessableEntity")


def test_a_replica_has_no_replicas(api, source):
    replica = a_set(api, source, 1)[0]
    assert source in error(replicate(api, replica), 401, "unauthorized")


def test_a_source_is_deleted_after_its_replicas(api, source):
    replica = a_set(api, source, 1)[0]
    assert replica in error(api.delete(f"/instances/{source}"), 403, "forbidden")
    assert shown(api, source)["status"] == "ACTIVE"
    assert api.delete(f"/instances/{replica}").status_code == 202


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("body", [{"replica_of": None}, {"slave_of": ""}, {"replica_of": "anything", "name": "alone"}])
def test_any_value_detaches_a_replica(api, source, method, body):
    replica = a_set(api, source, 1)[0]
    result = api.ask(method, f"/instances/{replica}", {"instance": body})
    assert (result.status_code, result.text) == (202, "")
    assert shown(api, replica)["status"] == "DETACH"
    assert shown(api, replica)["name"] == body.get("name", "copy")
    assert "DETACH" in error(api.ask(method, f"/instances/{replica}", {"instance": body}), 422, "unprocessableEntity")


def test_what_is_no_replica_cannot_be_detached_and_keeps_its_name(api, source):
    error(api.put(f"/instances/{source}", {"instance": {"name": "new", "replica_of": None}}), 400, "badRequest")
    assert shown(api, source)["name"] == "orders"


def test_a_promotion_takes_the_whole_set(api, source):
    first, second = a_set(api, source)
    result = act(api, first, "promote_to_replica_source")
    assert (result.status_code, result.text) == (202, "")
    assert {shown(api, each)["status"] for each in (source, first, second)} == {"PROMOTE"}
    assert "PROMOTE" in error(act(api, second, "promote_to_replica_source"), 422, "unprocessableEntity")
    error(api.delete(f"/instances/{source}"), 403, "forbidden")
    (operation,) = api.get(f"/instances/{first}/operations?state=pending").json["operations"]
    assert operation["kind"] == "instance.promote_to_replica_source"


def test_one_member_that_is_not_ready_is_named_and_nobody_is_taken(api, source):
    first, second = a_set(api, source)
    assert act(api, second, "restart").status_code == 202
    for verb, at in (("promote_to_replica_source", first), ("eject_replica_source", source)):
        if verb.startswith("eject"):
            _fall_silent(api, source)
        message = error(act(api, at, verb), 422, "unprocessableEntity")
        assert second in message
        assert "REBOOT" in message
        assert [shown(api, each)["status"] for each in (source, first)] == ["ACTIVE", "ACTIVE"]


def test_only_replicas_are_promoted_and_only_silent_sources_ejected(api, source):
    error(act(api, source, "promote_to_replica_source"), 400, "badRequest")
    assert "no replicas" in error(act(api, source, "eject_replica_source"), 400, "badRequest")
    replica = a_set(api, source, 1)[0]
    error(act(api, replica, "eject_replica_source"), 400, "badRequest")
    assert "Promote" in error(act(api, source, "eject_replica_source"), 400, "badRequest")
    error(act(api, replica, "promote_to_replica_source", user="stranger"), 404, "itemNotFound")
    error(act(api, replica, "promote_to_replica_source", user="reader"), 403, "forbidden")


def test_a_silent_source_is_ejected_whatever_it_is_shown_as(api, source):
    replica = a_set(api, source, 1)[0]
    _fall_silent(api, source)
    with api.doors.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == source).values(task="FAILED", server_status="ERROR"))
    assert act(api, source, "eject_replica_source").status_code == 202
    assert [shown(api, each)["status"] for each in (source, replica)] == ["EJECT", "EJECT"]


def _fall_silent(api, source):
    with api.doors.database.transaction() as tx:
        tx.connection.exec_driver_sql(
            "update service_statuses set heard_at = ? where instance_id = ?",
            ((utcnow() - timedelta(seconds=EXPIRY_S + 5)).replace(tzinfo=None).isoformat(" "), source),
        )


@pytest.mark.parametrize("by", ["id", "name"])
def test_an_instance_is_upgraded_to_a_version_of_its_datastore(api, by):
    old, new = api.offer_everything()
    instance_id = api.active(guest=False, version_id=old)
    wanted = {"id": new, "name": "2.0"}[by]
    result = api.ask("PATCH", f"/instances/{instance_id}", {"instance": {"datastore_version": wanted}})
    assert (result.status_code, result.text) == (202, "")
    assert shown(api, instance_id)["status"] == "UPGRADE"
    assert shown(api, instance_id)["datastore"]["version"] == "1.0"


def test_its_own_version_is_done_again(api):
    instance_id = api.active(guest=False, version_id=api.offer_everything()[0])
    assert api.put(f"/instances/{instance_id}", {"instance": {"datastore_version": "1.0"}}).status_code == 202


def test_an_upgrade_that_cannot_be_is_refused(api, monkeypatch):
    instance_id = api.active(guest=False, version_id=api.offer_everything()[0])
    for foreign in (api.version_id, "10.11", UNKNOWN):
        result = api.put(f"/instances/{instance_id}", {"instance": {"datastore_version": foreign}})
        assert "datastore_version" in error(result, 400, "badRequest")
    plain = api.active("plain", guest=False)
    with monkeypatch.context() as patch:
        take_away(patch, Facet.UPGRADES)
        result = api.put(f"/instances/{plain}", {"instance": {"datastore_version": "10.11"}})
        assert "MariaDB" in error(result, 501, "notImplemented")
    assert shown(api, instance_id)["status"] == "ACTIVE"


def test_access_is_replaced_in_whole(api):
    instance_id = api.active(guest=False)
    body = {"instance": {"access": {"allowed_cidrs": ["10.0.0.0/8"]}}}
    result = api.put(f"/instances/{instance_id}", body)
    assert (result.status_code, result.text) == (202, "")
    (operation,) = api.get(f"/instances/{instance_id}/operations", user="admin").json["operations"]
    assert operation["kind"] == "instance.update_access"
    assert operation["args"]["access"] == {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]}
    error(api.put(f"/instances/{instance_id}", body), 422, "unprocessableEntity")


def test_locality_is_shown_and_inherited(api, source):
    made = api.post("/instances", {"instance": {**SMALL, "locality": "anti-affinity"}})
    assert shown(api, made.json["instance"]["id"])["locality"] == "anti-affinity"
    with api.doors.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == source).values(locality="affinity"))
    replica = replicate(api, source).json["instance"]["id"]
    assert shown(api, replica)["locality"] == "affinity"
    assert "locality" in error(api.post("/instances", {"instance": {**SMALL, "locality": "here"}}), 400, "badRequest")


def test_heats_nics_are_understood(api):
    nic = {"net-id": UNKNOWN, "v4-fixed-ip": "10.0.0.9"}
    made = api.post("/instances", {"instance": {**SMALL, "nics": [nic]}})
    assert made.status_code == 200, made.text
    (operation,) = api.get(f"/instances/{made.json['instance']['id']}/operations", user="admin").json["operations"]
    assert operation["args"]["nic"]["ip_address"] == "10.0.0.9"
    refused = api.post("/instances", {"instance": {**SMALL, "nics": [{"port-id": UNKNOWN}]}})
    assert "port-id" in error(refused, 400, "badRequest")
    assert len(api.get("/instances").json["instances"]) == 1


def test_administrators_show_reset_and_delete_what_is_another_projects(api):
    foreign = api.insert(project_id="p2")
    assert shown(api, foreign, user="admin")["status"] == "BUILD"
    assert api.post(f"/instances/{foreign}/action", {"reset_status": {}}, user="admin").status_code == 202
    assert api.delete(f"/instances/{foreign}", user="admin").status_code == 202
    error(api.get(f"/instances/{foreign}"), 404, "itemNotFound")


def test_fifty_at_once_stay_within_the_quota(tmp_path):

    settings = Settings(default_datastore="mariadb", limits=Limits(max_instances=11, max_volumes_gib=1000))
    with serving_api(tmp_path, operations=settings) as api:
        source = api.active("orders", guest=False, version_id=api.offer_everything()[0])
        with api.doors.database.transaction() as tx:
            quotas.recount(tx, PROJECT)
        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda _: replicate(api, source, replica_count=2).status_code, range(50)))
        assert codes.count(200) == 5
        assert set(codes) == {200, 413}
        assert len(shown(api, source)["replicas"]) == 10


def test_a_superuser_that_is_enabled_at_once_is_shown_once(tmp_path):
    settings = Settings(default_datastore="mariadb", root_on_create=frozenset({"mariadb"}), limits=Limits(max_volumes_gib=99))
    with serving_api(tmp_path, operations=settings) as api:
        made = api.post("/instances", {"instance": SMALL}).json["instance"]
        assert len(made["password"]) == 36
        assert made["password"] not in api.get(f"/instances/{made['id']}/operations", user="admin").text
        assert "password" not in shown(api, made["id"])
        with api.doors.database.transaction() as tx:
            (operation,) = operations.unfinished(tx, limit=9)
            claimed, _ = operations.claim(tx, operation.id, owner="test")
        assert claimed.secrets["root_password"] == made["password"]


def test_elsewhere_no_password_is_shown(api):
    assert "password" not in api.post("/instances", {"instance": SMALL}).json["instance"]
