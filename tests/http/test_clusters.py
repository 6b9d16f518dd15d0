"""Clusters as users make, see, change and delete them."""

from threading import Event as Stopping

import pytest
from tests.support.http_api import PROJECT, Api

from trove.core.clusters import ClusterTask
from trove.core.ids import new_id
from trove.core.instances import Address
from trove.core.operations import OperationState
from trove.core.status import ServiceStatus
from trove.operations.catalogue import KINDS
from trove.operations.work import Work
from trove.store import clusters, instances, operations

DATASTORE = {"type": "everything", "version": "1.0"}
MEMBER = {"flavorRef": "2", "volume": {"size": 1}}
UNKNOWN = "c0ffee00-0000-4000-8000-000000000000"


def message(answer, key="badRequest"):
    return answer.json[key]["message"]


def body(**changes):
    return {"cluster": {"name": "ring", "datastore": DATASTORE, "instances": 3 * [MEMBER], **changes}}


def create(api: Api, **changes):
    api.offer_everything()
    answer = api.post("/clusters", body(**changes))
    assert answer.status_code == 200, answer.text
    return answer.json["cluster"]


def end(api: Api) -> None:
    """End the operation that was accepted last as a task manager does whose guests did all they were asked for."""
    with api.doors.database.reading() as tx:
        (accepted,) = operations.unfinished(tx, limit=9)
    operation, fence = api.doors.database.run(operations.claim, accepted.id, owner="tester")
    work = Work(doors=api.doors, operation=operation, fence=fence, stopping=Stopping())
    with api.doors.database.transaction() as tx:
        KINDS[operation.kind].succeed(tx, work)
        operations.finish(tx, fence, OperationState.SUCCEEDED)


def serving(api: Api, **changes) -> str:
    """Create a cluster, let its members serve, and return its id."""
    made = create(api, **changes)
    end(api)
    with api.doors.database.transaction() as tx:
        for number, member in enumerate(made["instances"], start=1):
            addresses = (Address(address=f"10.0.0.{number}"),)
            instances.record_server(tx, member["id"], fence=None, server_id="s", addresses=addresses, port=3306)
    for member in made["instances"]:
        api.beat(member["id"], ServiceStatus.HEALTHY)
    return made["id"]


def act(api: Api, cluster_id: str, action, **options):
    return api.post(f"/clusters/{cluster_id}", action, **options)


def task(api: Api, cluster_id: str) -> str:
    return api.get(f"/clusters/{cluster_id}").json["cluster"]["task"]["name"]


def test_a_new_cluster_is_answered_as_it_is_built(api):
    made = create(api, locality="affinity", extended_properties={"num_mongos": 1})
    assert made["task"] == {"id": 2, "name": "BUILDING", "description": made["task"]["description"]}
    assert made["datastore"] == DATASTORE
    assert (made["locality"], made["extended_properties"]) == ("affinity", {"num_mongos": 1})
    assert [each["name"] for each in made["instances"]] == [f"ring-member-{number}" for number in (1, 2, 3)]
    assert {frozenset(each) for each in made["instances"]} == {frozenset({"id", "name", "type", "links"})}
    assert made["links"][0]["href"].endswith(f"/v1.0/{PROJECT}/clusters/{made['id']}")
    assert len(api.announcer.announced) == 1
    assert [each["status"] for each in api.get("/instances?include_clustered=true").json["instances"]] == ["BUILD"] * 3
    assert api.get("/instances").json["instances"] == []


def test_a_cluster_is_shown_with_its_members(api):
    cluster_id = serving(api)
    shown = api.get(f"/clusters/{cluster_id}").json["cluster"]
    assert shown["task"]["name"] == "NONE"
    assert shown["ip"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    first = shown["instances"][0]
    assert (first["status"], first["volume"], first["flavor"]["id"], first["ip"]) == ("ACTIVE", {"size": 1}, "2", ["10.0.0.1"])
    member = api.get(f"/clusters/{cluster_id}/instances/{first['id']}").json["instance"]
    assert (member["id"], member["cluster_id"], member["operating_status"]) == (first["id"], cluster_id, "HEALTHY")
    alone = api.active("alone")
    assert api.get(f"/clusters/{cluster_id}/instances/{alone}").status_code == 404


def test_clusters_are_listed_newest_first_in_pages(api):
    ids = []
    for name in ("a", "b", "c"):
        ids.insert(0, create(api, name=name)["id"])
    page = api.get("/clusters?limit=2").json
    assert [each["id"] for each in page["clusters"]] == ids[:2]
    assert page["clusters_links"] == page["links"]
    rest = api.get(f"/clusters?limit=2&marker={ids[1]}").json
    assert [each["id"] for each in rest["clusters"]] == ids[2:]
    assert "links" not in rest
    assert api.get("/clusters", user="stranger").json == {"clusters": []}
    assert api.get("/clusters?marker=ghost").status_code == 400
    assert api.get(f"/clusters?marker={ids[0]}", user="stranger").status_code == 400


def test_heats_words_for_members_are_understood(api):
    nics = [{"net-id": UNKNOWN}]
    made = create(api, instances=3 * [{**MEMBER, "availability_zone": "nova", "nics": nics}])
    with api.doors.database.reading() as tx:
        (accepted,) = operations.unfinished(tx, limit=9)
    members = accepted.args["members"]
    assert [each["id"] for each in members] == [each["id"] for each in made["instances"]]
    assert {(each["nic"]["network_id"], each["availability_zone"]) for each in members} == {(UNKNOWN, "nova")}


def test_two_members_cannot_have_one_port(api, monkeypatch):
    api.offer_everything()
    monkeypatch.setattr(api.doors.cloud, "check_nic", lambda *_: None)  # the one in memory has no such ports
    answer = api.post("/clusters", body(instances=3 * [{**MEMBER, "nics": [{"port-id": UNKNOWN}]}]))
    assert "instances[1]['nics'][0]['port-id']" in message(answer)
    assert api.get("/clusters").json == {"clusters": []}


def test_a_datastore_without_clusters_is_named(api):
    answer = api.post("/clusters", body(datastore={"type": "mariadb", "version": "10.11"}))
    assert answer.status_code == 501
    assert "MariaDB" in message(answer, "notImplemented")
    assert api.get("/clusters").json == {"clusters": []}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name"),
        ({"datastore": {"type": "everything"}}, "version"),
        ({"datastore": {"version": "1.0"}}, "type"),
        ({"instances": []}, "instances"),
        ({"instances": [MEMBER]}, "at least 2"),
        ({"instances": [MEMBER, {"volume": {"size": 1}}]}, "flavorRef"),
        ({"instances": [MEMBER, {**MEMBER, "flavorRef": "3"}]}, "same flavor"),
        ({"instances": [MEMBER, {**MEMBER, "volume": {"size": 2}}]}, "same volume"),
        ({"instances": [MEMBER, {"flavorRef": "2"}]}, "volume"),
        ({"instances": [MEMBER, {**MEMBER, "nics": [{"network_id": UNKNOWN}]}]}, "network"),
        ({"instances": [MEMBER, {**MEMBER, "nics": [{}]}]}, "instances[1]"),
        ({"instances": [MEMBER, {**MEMBER, "related_to": "x"}]}, "related_to"),
        ({"locality": "soft-affinity"}, "locality"),
        ({"extended_properties": {"num_mongos": []}}, "extended_properties"),
    ],
)
def test_what_is_wrong_with_a_cluster_is_named(api, changes, said):
    api.offer_everything()
    answer = api.post("/clusters", body(**changes))
    assert answer.status_code == 400, answer.text
    assert said in message(answer)
    assert api.get("/clusters").json == {"clusters": []}
    assert api.announcer.announced == []


def test_unknown_groups_modules_and_sizes_beyond_the_quota_are_refused(api):
    api.offer_everything()
    assert api.post("/clusters", body(configuration=UNKNOWN)).status_code == 404
    assert api.post("/clusters", body(configuration="ghost")).status_code == 404
    with_modules = [{**MEMBER, "modules": [{"id": UNKNOWN}]} for _ in range(3)]
    assert api.post("/clusters", body(instances=with_modules)).status_code == 404
    eleven = api.post("/clusters", body(instances=11 * [MEMBER]))
    assert eleven.status_code == 413
    assert "requested 11" in message(eleven, "overLimit")


def test_a_busy_cluster_is_left_alone(api):
    made = create(api)
    for action in ({"restart": {}}, {"grow": [MEMBER]}, {"shrink": [{"id": made["instances"][0]["id"]}]}):
        answer = act(api, made["id"], action)
        assert answer.status_code == 422, answer.text
        assert "BUILDING" in message(answer, "unprocessableEntity")
    assert api.delete(f"/clusters/{made['id']}").status_code == 422


def test_a_cluster_grows_and_shrinks(api):
    cluster_id = serving(api)
    grown = act(api, cluster_id, {"grow": [{**MEMBER, "name": "fourth", "nics": None}]})
    assert grown.status_code == 202
    assert grown.json["cluster"]["task"]["name"] == "GROWING_CLUSTER"
    assert grown.json["cluster"]["instances"][-1]["name"] == "fourth"
    end(api)
    ids = [each["id"] for each in api.get(f"/clusters/{cluster_id}").json["cluster"]["instances"]]
    shrunk = act(api, cluster_id, {"shrink": [{"id": ids[3].upper()}]})
    assert shrunk.json["cluster"]["task"] == {
        "id": 6,
        "name": "SHRINKING_CLUSTER",
        "description": shrunk.json["cluster"]["task"]["description"],
    }
    assert task(api, cluster_id) == "SHRINKING_CLUSTER"


def test_what_cannot_be_done_to_a_cluster_is_said(api):
    cluster_id = serving(api)
    for action, said in (
        ({}, ""),
        ({"restart": {}, "reset-status": {}}, "exactly one"),
        ({"dance": {}}, "exactly one"),
        ({"grow": {}}, "grow"),
        ({"grow": []}, "grow"),
        ({"grow": [{"volume": {"size": 1}}]}, "flavorRef"),
        ({"grow": [{**MEMBER, "type": "query_router"}]}, "grow[0]"),
        ({"shrink": [{"id": "x"}]}, "UUID"),
        ({"shrink": [{"id": UNKNOWN}]}, "not a member"),
        ({"upgrade": {}}, "datastore_version"),
        ({"upgrade": {"datastore_version": "9.9"}}, "9.9"),
        ({"add_shard": {}}, "add_shard"),
        ({"configuration_attach": {}}, "configuration_id"),
    ):
        answer = act(api, cluster_id, action)
        assert answer.status_code == 400, (action, answer.text)
        assert said in message(answer), (action, answer.text)
    assert act(api, cluster_id, {"configuration_attach": {"configuration_id": UNKNOWN}}).status_code == 404
    assert task(api, cluster_id) == "NONE"


@pytest.mark.parametrize(
    ("action", "shown"),
    [({"restart": {}}, "RESTARTING_CLUSTER"), ({"upgrade": {"datastore_version": "2.0"}}, "UPGRADING_CLUSTER")],
)
def test_a_cluster_is_restarted_and_upgraded(api, action, shown):
    cluster_id = serving(api)
    answer = act(api, cluster_id, action)
    assert answer.status_code == 202
    assert answer.json["cluster"]["task"]["name"] == shown
    end(api)
    assert task(api, cluster_id) == "NONE"


def test_a_configuration_group_is_attached_and_detached(api):
    cluster_id = serving(api)
    wanted = {"name": "fast", "values": {}, "datastore": DATASTORE}
    group = api.post("/configurations", {"configuration": wanted}).json["configuration"]["id"]
    attached = act(api, cluster_id, {"configuration_attach": {"configuration_id": group}})
    assert (attached.status_code, attached.json["cluster"]["configuration"]) == (202, group)
    assert attached.json["cluster"]["task"]["name"] == "UPDATING_CLUSTER"
    end(api)
    refused = api.delete(f"/configurations/{group}")
    assert refused.status_code == 400
    detached = act(api, cluster_id, {"configuration_detach": {}})
    assert "configuration" not in detached.json["cluster"]


def test_a_cluster_is_deleted(api):
    cluster_id = serving(api)
    assert api.delete(f"/clusters/{cluster_id}").status_code == 202
    assert task(api, cluster_id) == "DELETING"
    assert api.delete(f"/clusters/{cluster_id}").status_code == 202
    assert len(api.announcer.announced) == 2
    end(api)
    assert api.get(f"/clusters/{cluster_id}").status_code == 404


def test_members_are_changed_through_their_cluster(api):
    cluster_id = serving(api)
    member = api.get(f"/clusters/{cluster_id}").json["cluster"]["instances"][0]["id"]
    for method, path, wanted in (
        ("DELETE", f"/instances/{member}", None),
        ("POST", f"/instances/{member}/action", {"restart": {}}),
        ("POST", f"/instances/{member}/action", {"resize": {"volume": {"size": 5}}}),
        ("POST", "/backups", {"backup": {"name": "b", "instance": member}}),
    ):
        answer = api.ask(method, path, wanted)
        assert answer.status_code == 501, answer.text
        assert cluster_id in message(answer, "notImplemented")


def test_who_may_do_what(api):
    cluster_id = serving(api)
    one = f"/clusters/{cluster_id}"
    assert api.get(one, user="reader").status_code == 200
    for action in ({"restart": {}}, {"reset-status": {}}, {"reset-status": {"force_delete": True}}):
        assert act(api, cluster_id, action, user="reader").status_code == 403
    assert act(api, cluster_id, {"reset-status": {}}).status_code == 403
    assert api.delete(one, user="reader").status_code == 403
    for answer in (
        api.get(one, user="stranger"),
        api.delete(one, user="stranger"),
        act(api, cluster_id, {"restart": {}}, user="stranger"),
        api.get(f"{one}/root", user="stranger"),
        api.post(f"{one}/root", user="stranger"),
        act(api, new_id(), {"restart": {}}),
        act(api, "ghost", {"grow": [MEMBER]}),
        api.get("/clusters/ghost"),
    ):
        assert answer.status_code == 404
    assert task(api, cluster_id) == "NONE"


def test_a_cluster_that_hangs_is_freed_by_its_owner_only_in_order_to_delete_it(api):
    made = create(api)
    freed = act(api, made["id"], {"reset-status": {"force_delete": True}})
    assert (freed.status_code, freed.json["cluster"]["task"]["name"]) == (202, "NONE")
    assert api.delete(f"/clusters/{made['id']}").status_code == 202
    again = create(api, name="again")
    assert act(api, again["id"], {"reset-status": {}}, user="admin").status_code == 202
    assert task(api, again["id"]) == "NONE"


def test_the_superuser_of_a_cluster(api):
    cluster_id = serving(api)
    root = f"/clusters/{cluster_id}/root"
    members = [each["id"] for each in api.get(f"/clusters/{cluster_id}").json["cluster"]["instances"]]
    assert api.get(root).json == {"rootEnabled": False}
    assert api.delete(root).status_code == 404
    guest = api.active_guest(members[0])
    assert api.post(root, {"password": "s3cret"}).json["user"]["password"] == "s3cret"
    assert guest.root == "s3cret"
    assert api.get(root).json == {"rootEnabled": True}
    assert api.get(f"/instances/{members[2]}/root").json == {"rootEnabled": True}
    assert api.post(root).json["user"]["password"] not in {"", "s3cret"}
    assert api.delete(root).status_code == 204
    assert guest.root is None


def test_administrators_see_the_clusters_of_all_projects_and_free_them(api):
    mine = create(api)["id"]
    assert api.get("/mgmt/clusters").status_code == 401
    assert api.post(f"/mgmt/clusters/{mine}/action", {"reset-task": {}}).status_code == 401
    (listed,) = api.get("/mgmt/clusters", user="admin").json["clusters"]
    assert (listed["id"], listed["tenant_id"], listed["deleted"], listed["deleted_at"]) == (mine, PROJECT, False, None)
    assert api.get("/mgmt/clusters?deleted=true", user="admin").json == {"clusters": []}
    assert api.get(f"/mgmt/clusters/{mine}", user="admin").json["cluster"]["task"]["name"] == "BUILDING"
    for wrong in ({}, {"dance": {}}, {"reset-task": {}, "x": {}}):
        assert api.post(f"/mgmt/clusters/{mine}/action", wrong, user="admin").status_code == 400
    assert api.post(f"/mgmt/clusters/{mine}/action", {"reset-task": {}}, user="admin").status_code == 202
    assert task(api, mine) == "NONE"
    with api.doors.database.reading() as tx:
        assert clusters.get(tx, mine).task is ClusterTask.NONE
        assert operations.unfinished(tx, limit=9)[0].cancel_requested
    assert api.get(f"/mgmt/clusters/{UNKNOWN}", user="admin").status_code == 404
