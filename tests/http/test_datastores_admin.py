"""Administrators make, change and delete datastore versions, and bind flavors and volume types to them."""

import pytest
import sqlalchemy as sa
from tests.http.test_instances import SMALL, error

from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.store import datastores, offers, tables
from trove.store.offers import Offer

PATH = "/mgmt/datastore-versions"
NEW = {"name": "11.4", "datastore_name": "mariadb", "datastore_manager": "mariadb", "active": True, "image": "host"}


def make(api, **changes):
    """Create a version and return it."""
    body = {key: value for key, value in {**NEW, **changes}.items() if value is not ...}
    made = api.post(PATH, {"version": body}, user="admin")
    assert (made.status_code, made.content) == (202, b""), made.text
    number = body.get("version") or body["name"]
    return next(each for each in versions(api) if (each["name"], each["version"]) == (body["name"], number))


def versions(api):
    return api.get(PATH, user="admin").json["versions"]


def show(api, version_id):
    return api.get(f"{PATH}/{version_id}", user="admin").json["version"]


def patch(api, version_id, body):
    return api.ask("PATCH", f"{PATH}/{version_id}", body, user="admin")


def default_of(api):
    return api.get("/datastores/mariadb").json["datastore"].get("default_version")


def test_all_versions_are_listed_and_one_is_shown(api):
    (found,) = versions(api)
    assert found == show(api, api.version_id)
    assert found == {
        "id": api.version_id,
        "name": "10.11",
        "version": "10.11.6",
        "datastore_id": api.get("/datastores/mariadb").json["datastore"]["id"],
        "datastore_name": "mariadb",
        "datastore_manager": "mariadb",
        "image": "",
        "image_tags": [""],
        "packages": [""],
        "active": True,
        "default": True,
        "registry_ext": None,
        "repl_strategy": None,
    }
    for wrong in (new_id(), "10.11"):
        error(api.get(f"{PATH}/{wrong}", user="admin"), 404, "itemNotFound")


def test_a_new_version_is_on_offer_at_once(api):
    made = make(api, image_tags=["trove", ""], packages=["a", "b"], registry_ext="r", repl_strategy="s")
    assert (made["version"], made["image"], made["image_tags"], made["packages"]) == ("11.4", "host", ["trove"], ["a", "b"])
    assert (made["default"], made["registry_ext"], made["repl_strategy"]) == (False, "r", "s")
    assert [each["name"] for each in api.get("/datastores/mariadb").json["datastore"]["versions"]] == ["10.11", "11.4"]
    body = {"instance": {**SMALL, "datastore": {"type": "mariadb", "version": "11.4"}}}
    assert api.post("/instances", body).status_code == 200


def test_a_datastore_comes_with_its_first_version_and_may_begin_hidden(api):
    made = make(api, datastore_name="ours", active=False, default=True, image="", image_tags=["trove", "host"])
    assert (made["image"], made["image_tags"], made["default"], made["active"]) == ("", ["trove", "host"], True, False)
    assert [each["name"] for each in api.get("/datastores").json["datastores"]] == ["mariadb"]
    shown = api.get("/datastores", user="admin").json["datastores"][1]
    assert (shown["name"], shown["default_version"]) == ("ours", made["id"])
    assert set(shown["versions"][0]) >= {"active", "packages", "image", "image_tags", "registry_ext", "repl_strategy"}


def test_one_name_may_have_several_numbers(api):
    a, b = make(api, version="11.4.2"), make(api, version="11.4.3")
    assert {a["version"], b["version"]} == {"11.4.2", "11.4.3"}
    message = error(api.post(PATH, {"version": {**NEW, "version": "11.4.2"}}, user="admin"), 400, "badRequest")
    assert "11.4.2" in message
    assert len(versions(api)) == 3


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": ...}, "name"),
        ({"datastore_name": ...}, "datastore_name"),
        ({"datastore_manager": ...}, "datastore_manager"),
        ({"active": ...}, "active"),
        ({"active": "yes"}, "active"),
        ({"name": ""}, "name"),
        ({"extra": 1}, "not allowed"),
        ({"image": ...}, "image_tags"),
        ({"image": "", "image_tags": [""]}, "image_tags"),
        ({"image": "ghost"}, "ghost"),
        ({"image": ..., "image_tags": ["ghost"]}, "ghost"),
        ({"image_tags": ["a", "b", "c", "d", "e", "f"]}, "image_tags"),
        ({"image_tags": ["x" * 21]}, "image_tags"),
        ({"image_tags": ["a", "a"]}, "image_tags"),
        ({"packages": ["a", "a"]}, "packages"),
        ({"packages": ["a,b"]}, "packages"),
        ({"packages": "a"}, "packages"),
        ({"datastore_manager": "oracle"}, "oracle"),
    ],
)
def test_a_wrong_version_is_refused_with_the_field_and_nothing_is_made(api, changes, word):
    body = {key: value for key, value in {**NEW, "datastore_name": "fresh", **changes}.items() if value is not ...}
    assert word in error(api.post(PATH, {"version": body}, user="admin"), 400, "badRequest")
    assert len(versions(api)) == 1
    assert len(api.get("/datastores", user="admin").json["datastores"]) == 1


def test_a_version_is_changed_by_a_body_without_wrapper(api):
    made = make(api)
    path = make(api, name="other")["id"]
    body = {"name": "renamed", "active": False, "packages": ["p"], "registry_ext": "r", "repl_strategy": "s"}
    result = patch(api, made["id"], body)
    assert (result.status_code, result.content) == (202, b"")
    assert show(api, made["id"]) == made | body
    assert patch(api, made["id"], {"image_tags": ["trove", "host"]}).status_code == 202
    assert (show(api, made["id"])["image"], show(api, made["id"])["image_tags"]) == ("", ["trove", "host"])
    assert patch(api, made["id"], {"image": "host"}).status_code == 202
    assert show(api, made["id"])["image"] == "host"
    assert patch(api, made["id"], {"image_tags": ["host"], "image": "host"}).status_code == 202
    assert (show(api, made["id"])["image"], show(api, made["id"])["image_tags"]) == ("host", ["host"])
    before = show(api, made["id"])
    for wrong in (
        {},
        {"version": {"active": True}},
        {"datastore_name": "x"},
        {"name": ""},
        {"name": "other"},
        {"image": "ghost"},
        {"image_tags": ["ghost"]},
        {"image": "", "image_tags": []},
        {"active": "true"},
        {"datastore_manager": "oracle"},
    ):
        if wrong == {"name": "other"}:
            assert patch(api, path, {"name": "twin"}).status_code == 202
            assert (
                api.post(PATH, {"version": {**NEW, "name": "other", "version": made["version"]}}, user="admin").status_code
                == 202
            )
        error(patch(api, made["id"], wrong), 400, "badRequest")
        assert show(api, made["id"]) == before
    error(patch(api, new_id(), {"active": True}), 404, "itemNotFound")


def test_the_default_moves_and_is_cleared_by_its_own_version_only(api):
    made = make(api)
    assert default_of(api) == api.version_id
    assert patch(api, made["id"], {"default": False}).status_code == 202
    assert default_of(api) == api.version_id
    assert patch(api, made["id"], {"default": True}).status_code == 202
    assert default_of(api) == made["id"]
    assert [each["default"] for each in versions(api)] == [False, True]
    assert patch(api, made["id"], {"default": False}).status_code == 202
    assert default_of(api) is None
    error(api.post("/instances", {"instance": SMALL}), 400, "badRequest")


def test_the_engine_of_a_version_in_use_stays(api):
    everything, _ = api.offer_everything()
    api.active(version_id=everything)
    error(patch(api, everything, {"datastore_manager": "mariadb"}), 400, "badRequest")
    made = make(api)
    assert patch(api, made["id"], {"datastore_manager": "everything"}).status_code == 202
    assert show(api, made["id"])["datastore_manager"] == "everything"


def test_a_version_in_use_is_not_deleted_and_another_is_with_its_default(api):
    one = api.active()
    path = f"{PATH}/{api.version_id}"
    assert "instances" in error(api.delete(path, user="admin"), 400, "badRequest")
    with api.doors.database.transaction() as tx:
        tx.execute(sa.update(tables.instances).where(tables.instances.c.id == one).values(deleted=True))
        row = {"id": new_id(), "created": utcnow(), "updated": utcnow(), "name": "c", "tenant_id": "p1", "deleted": False}
        tx.execute(sa.insert(tables.configurations), {**row, "datastore_version_id": api.version_id})
    assert "configuration" in error(api.delete(path, user="admin"), 400, "badRequest")
    with api.doors.database.transaction() as tx:
        tx.execute(sa.update(tables.configurations).values(deleted=True))
    assert api.delete(path, user="admin").status_code == 202
    error(api.get(path, user="admin"), 404, "itemNotFound")
    error(api.delete(path, user="admin"), 404, "itemNotFound")
    assert "default_version" not in api.get("/datastores/mariadb", user="admin").json["datastore"]


def test_a_datastore_is_deleted_once_it_has_no_versions(api):
    assert "versions" in error(api.delete("/datastores/mariadb", user="admin"), 400, "badRequest")
    for user in ("member", "reader"):
        error(api.delete("/datastores/mariadb", user=user), 403, "forbidden")
    api.doors.database.run(datastores.put_datastore, "empty")
    assert api.delete("/datastores/empty", user="admin").status_code == 202
    error(api.delete("/datastores/empty", user="admin"), 404, "itemNotFound")
    assert api.delete(f"{PATH}/{api.version_id}", user="admin").status_code == 202
    assert api.delete("/datastores/mariadb", user="admin").status_code == 202
    assert api.get("/datastores", user="admin").json == {"datastores": []}


def test_flavors_and_volume_types_of_a_version_are_those_bound_to_it(api):
    path = f"/datastores/mariadb/versions/{api.version_id}"
    assert len(api.get(f"{path}/flavors").json["flavors"]) == 5
    assert [each["name"] for each in api.get(f"{path}/volume-types").json["volume_types"]] == ["memory"]
    with api.doors.database.transaction() as tx:
        offers.bind(tx, api.version_id, Offer.FLAVOR, ["2", "3", "gone"])
        offers.bind(tx, api.version_id, Offer.VOLUME_TYPE, ["ssd"])
    assert [each["str_id"] for each in api.get(f"{path}/flavors").json["flavors"]] == ["2", "3"]
    assert api.get(f"{path}/volume-types").json == {"volume_types": []}
    message = error(api.post("/instances", {"instance": {**SMALL, "flavorRef": "1"}}), 400, "badRequest")
    assert "flavorRef" in message
    assert "2, 3, gone" in message
    wanted = {**SMALL, "volume": {"size": 1, "type": "memory"}}
    assert "ssd" in error(api.post("/instances", {"instance": wanted}), 400, "badRequest")
    assert api.announcer.announced == []
    assert api.post("/instances", {"instance": SMALL}).status_code == 200
    one = api.active()
    error(api.post(f"/instances/{one}/action", {"resize": {"flavorRef": "1"}}), 400, "badRequest")
    assert api.post(f"/instances/{one}/action", {"resize": {"flavorRef": "3"}}).status_code == 202
