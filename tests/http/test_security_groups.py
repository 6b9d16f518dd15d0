"""Security groups are another way to see and change who may connect to an instance."""

import json

import pytest
from tests.http.test_instances import error
from tests.support.http_api import OTHER_PROJECT, PROJECT

from trove.core.ids import new_id
from trove.store import operations, tables


def allow(api, instance_id, *cidrs, public=True):
    """Store who may connect."""
    with api.doors.database.transaction() as tx:
        access = json.dumps({"is_public": public, "allowed_cidrs": cidrs})
        tx.execute(tables.instances.update().where(tables.instances.c.id == instance_id).values(access=access))


def groups(api, query="", **options):
    return api.get(f"/security-groups{query}", **options).json["security_groups"]


def wanted(api):
    """Return the access that the only operation is to bring about."""
    (operation_id,) = api.announcer.announced
    with api.doors.database.reading() as tx:
        found = operations.get(tx, operation_id)
    assert found.kind == "instance.update_access"
    return found.resource_id, found.args["access"]


def test_each_instance_has_a_group_and_everybody_may_connect_unless_it_names_networks(api):
    one = api.active()
    (found,) = groups(api)
    assert found == api.get(f"/security-groups/{found['id']}").json["security_group"]
    (rule,) = found["rules"]
    assert rule == {"id": rule["id"], "protocol": "tcp", "from_port": 3306, "to_port": 3306, "cidr": "0.0.0.0/0"}
    assert found == {
        "id": found["id"],
        "name": f"trove_sg_{one}",
        "description": f"Who may connect to instance {one}",
        "instance_id": one,
        "rules": [rule],
        "links": found["links"],
        "created": found["created"],
        "updated": found["updated"],
    }
    assert found["links"][0]["href"].endswith(f"/v1.0/{PROJECT}/security-groups/{found['id']}")
    allow(api, one, "10.0.0.0/8", "192.0.2.7")
    (changed,) = groups(api)
    assert changed["id"] == found["id"]
    assert [each["cidr"] for each in changed["rules"]] == ["10.0.0.0/8", "192.0.2.7"]
    assert len({each["id"] for each in (*changed["rules"], rule)}) == 3


def test_groups_come_in_pages_and_are_the_own_projects(api):
    mine, theirs = [api.active() for _ in range(3)], api.active(project_id=OTHER_PROJECT)
    page = api.get("/security-groups?limit=2").json
    assert [each["instance_id"] for each in page["security_groups"]] == mine[:0:-1]
    rest = api.get(page["links"][0]["href"].partition(f"/v1.0/{PROJECT}")[2]).json
    assert [each["instance_id"] for each in rest["security_groups"]] == mine[:1]
    (foreign,) = groups(api, user="stranger")
    assert foreign["instance_id"] == theirs
    for user in ("member", "admin"):
        error(api.get(f"/security-groups/{foreign['id']}", user=user), 404, "itemNotFound")
    body = {"security_group_rule": {"group_id": foreign["id"], "cidr": "10.0.0.0/8"}}
    error(api.post("/security-group-rules", body), 404, "itemNotFound")
    error(api.delete(f"/security-group-rules/{foreign['rules'][0]['id']}"), 404, "itemNotFound")
    for wrong in (new_id(), "x"):
        error(api.get(f"/security-groups/{wrong}"), 404, "itemNotFound")
        error(api.delete(f"/security-group-rules/{wrong}"), 404, "itemNotFound")


def test_a_new_rule_lets_one_more_network_in(api):
    one = api.active()
    allow(api, one, "10.0.0.0/8")
    (group,) = groups(api)
    result = api.post("/security-group-rules", {"security_group_rule": {"group_id": group["id"], "cidr": "192.0.2.0/24"}})
    assert result.status_code == 200
    (rule,) = result.json["security_group_rule"]
    assert (rule["security_group_id"], rule["cidr"], rule["from_port"]) == (group["id"], "192.0.2.0/24", 3306)
    assert wanted(api) == (one, {"is_public": True, "allowed_cidrs": ["10.0.0.0/8", "192.0.2.0/24"]})
    allow(api, one, "10.0.0.0/8", "192.0.2.0/24")
    assert rule["id"] in [each["id"] for each in groups(api)[0]["rules"]]


def test_a_rule_beside_everybody_keeps_everybody_until_that_is_deleted(api):
    one = api.active()
    (group,) = groups(api)
    everybody = group["rules"][0]["id"]
    assert "only network" in error(api.delete(f"/security-group-rules/{everybody}"), 400, "badRequest")
    body = {"security_group_rule": {"group_id": group["id"], "cidr": "10.0.0.0/8"}}
    assert api.post("/security-group-rules", body).status_code == 200
    assert wanted(api) == (one, {"is_public": False, "allowed_cidrs": ["0.0.0.0/0", "10.0.0.0/8"]})


def test_a_deleted_rule_lets_its_network_in_no_more(api):
    one = api.active()
    allow(api, one, "0.0.0.0/0", "10.0.0.0/8", public=False)
    (group,) = groups(api)
    result = api.delete(f"/security-group-rules/{group['rules'][0]['id']}")
    assert (result.status_code, result.content) == (204, b"")
    assert wanted(api) == (one, {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]})


@pytest.mark.parametrize("cidr", ["", "x", "10.0.0.0/33", "300.0.0.1", "10.0.0.0/8 ", "::/0", None, 5, "10.0.0.0/8"])
def test_what_is_no_new_network_is_refused(api, cidr):
    one = api.active()
    allow(api, one, "10.0.0.0/8")
    (group,) = groups(api)
    body = {"security_group_rule": {"group_id": group["id"], "cidr": cidr}}
    error(api.post("/security-group-rules", body), 400, "badRequest")
    assert api.announcer.announced == []


def test_a_reader_sees_groups_and_changes_none(api):
    api.active()
    (group,) = groups(api, user="reader")
    body = {"security_group_rule": {"group_id": group["id"], "cidr": "10.0.0.0/8"}}
    error(api.post("/security-group-rules", body, user="reader"), 403, "forbidden")
    error(api.delete(f"/security-group-rules/{group['rules'][0]['id']}", user="reader"), 403, "forbidden")
    assert api.announcer.announced == []
