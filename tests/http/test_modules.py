"""Modules as tenants and administrators make, apply and lose them."""

import base64
import hashlib

import pytest
from tests.http.test_instances import error as fault
from tests.support.engines import EVERYTHING
from tests.support.http_api import OTHER_PROJECT, PROJECT, serving_api

from trove.api.faults import KEYS
from trove.core.ids import new_id
from trove.core.transitions import Event
from trove.operations.doors import ModuleSettings, Settings
from trove.store import instance_modules, instances, modules, operations


def refused(result, code):
    """Check the shape of an error and return its message."""
    return fault(result, code, KEYS[code])


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def body(**changes):
    wanted = {"name": "greeting", "module_type": "ping", "contents": encoded("message=hi"), **changes}
    return {"module": wanted}


def made(api, *, user="member", **changes):
    result = api.post("/modules", body(**changes), user=user)
    assert result.status_code == 200, result.text
    return result.json["module"]["id"]


def names(api, user="member", query=""):
    return sorted(each["name"] for each in api.get(f"/modules{query}", user=user).json["modules"])


def applied(api, instance, *ids, user="member", **options):
    return api.post(f"/instances/{instance}/modules", {"modules": [{"id": each} for each in ids]}, user=user, **options)


@pytest.fixture
def module(api):
    return made(api)


@pytest.fixture
def instance(api):
    return api.active()


def test_a_module_is_shown_as_it_was_made_but_for_its_contents(api):
    shown = api.post("/modules", body(description="d", datastore={"type": "mariadb", "version": "10.11"})).json["module"]
    assert api.get(f"/modules/{shown['id']}").json["module"] == shown
    left_out = {"id", "created", "updated", "datastore_id"}
    assert {key: value for key, value in shown.items() if key not in left_out} == {
        "name": "greeting",
        "type": "ping",
        "description": "d",
        "tenant_id": PROJECT,
        "tenant": PROJECT,
        "datastore": "mariadb",
        "datastore_version_id": api.version_id,
        "datastore_version": "10.11",
        "auto_apply": False,
        "priority_apply": False,
        "apply_order": 5,
        "is_admin": False,
        "visible": True,
        "md5": hashlib.md5(b"message=hi").hexdigest(),
        "live_update": False,
        "instance_count": 0,
    }


def test_contents_are_unreadable_in_the_state_database(api, module):
    with api.doors.database.reading() as tx:
        (stored,) = tx.connection.exec_driver_sql("select contents from modules").scalars()
        assert b"message" not in stored
        assert encoded("message=hi").encode() not in stored
        assert modules.contents(tx, module) == b"message=hi"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"contents": "message=hi"}, 400, "contents"),
        ({"contents": "    "}, 400, "contents"),
        ({"contents": ""}, 400, "contents"),
        ({"name": "!!"}, 400, "name"),
        ({"name": "x" * 256}, 400, "name"),
        ({"apply_order": 10}, 400, "apply_order"),
        ({"apply_order": -1}, 400, "apply_order"),
        ({"live_update": 2}, 400, "live_update"),
        ({"live_update": "yes"}, 400, "live_update"),
        ({"module_type": "shell"}, 404, "module_type"),
        ({"datastore": {"type": "nosuch"}}, 404, "nosuch"),
        ({"datastore": {"type": "mariadb", "version": "9"}}, 404, "9"),
        ({"datastore": {"version": "10.11"}}, 400, "datastore"),
        ({"contents": "A" * 300_000}, 400, "contents"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(api, changes, code, words):
    assert words in refused(api.post("/modules", body(**changes)), code)
    assert names(api) == []


@pytest.mark.parametrize("missing", ["name", "module_type", "contents"])
def test_what_is_missing_is_named(api, missing):
    wanted = body()
    del wanted["module"][missing]
    assert missing in refused(api.post("/modules", wanted), 400)


def test_the_types_are_the_operators_choice(tmp_path):
    settings = Settings(default_datastore="mariadb", modules=ModuleSettings(types=("shell",)))
    with serving_api(tmp_path, operations=settings) as api:
        assert "shell" in refused(api.post("/modules", body()), 404)
        made(api, module_type="shell")


def test_two_modules_differ_in_something(api, module):
    assert "name" in refused(api.post("/modules", body()), 400)
    made(api, module_type="new_relic_license")
    made(api, datastore={"type": "mariadb"})
    made(api, datastore={"type": "mariadb", "version": "10.11"})
    made(api, user="stranger")
    other = made(api, name="other")
    assert "name" in refused(api.put(f"/modules/{other}", {"module": {"name": "greeting"}}), 400)
    assert api.put(f"/modules/{module}", {"module": {"name": "greeting"}}).status_code == 200, "it may stay what it is"
    api.delete(f"/modules/{module}")
    assert made(api) != module, "the name of a deleted one is free"


OPTIONS = [{"all_tenants": 1}, {"auto_apply": 1}, {"visible": 0}, {"priority_apply": 1}, {"full_access": 1}]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: next(iter(option)))
def test_what_touches_others_is_for_administrators(api, module, option):
    (name,) = option
    assert name in refused(api.post("/modules", body(name="new", **option)), 403)
    assert name in refused(api.put(f"/modules/{module}", {"module": option}), 403)
    result = api.post("/modules", body(name="new", **option), user="admin")
    assert result.status_code == 200
    assert result.json["module"]["is_admin"] is (name != "full_access")


def test_an_option_at_its_default_is_nobodys_privilege(api):
    made(api, all_tenants=0, auto_apply=0, visible=1, priority_apply=0, full_access=0, live_update=0)


@pytest.mark.parametrize("option", OPTIONS[:-1], ids=lambda option: next(iter(option)))
def test_full_access_is_not_given_to_what_touches_others(api, option):
    assert "full_access" in refused(api.post("/modules", body(full_access=1, **option), user="admin"), 400)


def test_a_module_of_an_administrator_is_changed_by_administrators_unless_it_has_full_access(api):
    theirs = made(api, name="theirs", user="admin")
    for result in (api.put(f"/modules/{theirs}", {"module": {"name": "ours"}}), api.delete(f"/modules/{theirs}")):
        refused(result, 403)
    assert api.put(f"/modules/{theirs}", {"module": {"full_access": 1}}, user="admin").json["module"]["is_admin"] is False
    assert api.put(f"/modules/{theirs}", {"module": {"name": "ours"}}).status_code == 200
    # A member cannot take it away from the others.
    assert api.put(f"/modules/{theirs}", {"module": {"full_access": 0}}).json["module"]["is_admin"] is False
    assert api.delete(f"/modules/{theirs}").status_code == 200


def test_a_project_sees_its_own_and_shared_ones_that_are_visible_and_administrators_see_all(api):
    made(api, name="mine")
    made(api, name="shared", user="admin", all_tenants=1)
    hidden = made(api, name="hidden", user="admin", visible=0)
    foreign = made(api, name="foreign", user="stranger")
    assert names(api) == names(api, "reader") == ["mine", "shared"]
    assert names(api, "stranger") == ["foreign", "shared"]
    assert names(api, "admin") == ["foreign", "hidden", "mine", "shared"]
    for module_id in (hidden, foreign, new_id(), "x"):
        for method, path, content in (
            ("GET", "", None),
            ("PUT", "", {"module": {"name": "n"}}),
            ("DELETE", "", None),
            ("GET", "/instances", None),
            ("PUT", "/instances", {"reapply": {}}),
        ):
            refused(api.ask(method, f"/modules/{module_id}{path}", content), 404)
    assert api.get(f"/modules/{foreign}", user="admin").json["module"]["tenant"] == OTHER_PROJECT


def test_the_list_is_filtered_by_datastore(api):
    api.offer_everything()
    made(api, name="any")
    made(api, name="one", datastore={"type": "mariadb"})
    made(api, name="other", datastore={"type": EVERYTHING})
    assert names(api, query="?datastore=all") == ["any"]
    assert names(api, query="?datastore=mariadb") == ["one"]
    datastore_id = next(each["id"] for each in api.get("/datastores").json["datastores"] if each["name"] == "mariadb")
    assert names(api, query=f"?datastore={datastore_id}") == ["one"]
    refused(api.get("/modules?datastore=nosuch"), 404)
    assert names(api, query="?datastore=") == ["any", "one", "other"]


def test_the_list_comes_in_pages(api):
    wanted = {made(api, name=f"m{number}") for number in range(5)}
    found, path = set(), "/modules?limit=2"
    while path:
        page = api.get(path).json
        assert len(page["modules"]) <= 2
        found |= {each["id"] for each in page["modules"]}
        assert page.get("links") == page.get("modules_links")
        path = page["links"][0]["href"].partition(f"/{PROJECT}")[2] if "links" in page else None
    assert found == wanted


def test_a_change_leaves_the_rest_and_clears_what_is_said(api, module):
    api.offer_everything()

    def change(**wanted):
        result = api.put(f"/modules/{module}", {"module": wanted})
        assert result.status_code == 200, result.text
        return result.json["module"]

    before = change()
    changed = change(description="d", datastore={"type": "mariadb", "version": "10.11"}, apply_order=9)
    assert (changed["description"], changed["datastore_version"], changed["apply_order"]) == ("d", "10.11", 9)
    assert (changed["name"], changed["md5"], changed["created"]) == (before["name"], before["md5"], before["created"])
    assert change(name="new")["datastore_version"] == "10.11"
    assert change(datastore={"type": "mariadb"})["datastore_version"] == "10.11"
    assert change(all_datastore_versions=1)["datastore_version"] == "all"
    assert change(datastore={"version": "10.11"})["datastore_version"] == "10.11"
    other = change(datastore={"type": EVERYTHING})
    assert (other["datastore"], other["datastore_version"]) == (EVERYTHING, "all")
    assert change(all_datastores=1)["datastore"] == "all"
    assert change(contents=encoded("message=ho"))["md5"] == hashlib.md5(b"message=ho").hexdigest()
    assert change(type="new_relic_license")["type"] == "new_relic_license"
    assert change(module_type="ping")["type"] == "ping"
    refused(api.put(f"/modules/{module}", {"module": {"type": "ping", "module_type": "new_relic_license"}}), 400)
    refused(api.put(f"/modules/{module}", {"module": {"type": "shell"}}), 404)


def test_an_applied_module_is_changed_only_when_it_is_for_live_updates(api, module, instance):
    applied(api, instance, module)
    assert "1 instance" in refused(api.put(f"/modules/{module}", {"module": {"contents": encoded("message=ho")}}), 403)
    assert api.put(f"/modules/{module}", {"module": {"live_update": 1, "contents": encoded("message=ho")}}).status_code == 200
    assert api.put(f"/modules/{module}", {"module": {"contents": encoded("message=hm")}}).status_code == 200
    refused(api.delete(f"/modules/{module}"), 403)
    api.delete(f"/instances/{instance}/modules/{module}")
    assert api.delete(f"/modules/{module}").status_code == 200


def test_modules_are_applied_in_their_order_and_shown(api, instance):
    last = made(api, name="last", apply_order=9)
    first = made(api, name="first", apply_order=0)
    most_important = made(api, name="important", apply_order=9, user="admin", priority_apply=1)
    result = applied(api, instance, last, most_important.upper(), first)
    assert result.status_code == 200
    assert [each["name"] for each in result.json["modules"]] == ["important", "first", "last"]
    assert {each["status"] for each in result.json["modules"]} == {"OK"}
    assert list(api.guests[instance].modules) == [most_important, first, last]
    stored = api.get(f"/instances/{instance}/modules", user="reader").json["modules"]
    assert [each["id"] for each in stored] == [most_important, first, last]
    assert {each["contents"] for each in stored} == {None}
    assert "module_list" not in api.guests[instance].calls, "what is stored needs no guest"


def test_contents_are_told_to_those_who_ask_unless_they_are_an_administrators(api, instance):
    mine = made(api, name="mine")
    theirs = made(api, name="theirs", user="admin", contents=encoded("license_key=0123456789abcdef"))
    applied(api, instance, mine, theirs)

    def shown(query, user="member"):
        listed = api.get(f"/instances/{instance}/modules?{query}", user=user).json["modules"]
        return {each["name"]: each["contents"] for each in listed}

    assert shown("from_guest=true") == {"mine": None, "theirs": None}
    assert shown("from_guest=true&include_contents=False") == {"mine": None, "theirs": None}
    assert shown("from_guest=True&include_contents=True") == {"mine": encoded("message=hi"), "theirs": ""}
    assert shown("include_contents=1", "admin")["theirs"] == encoded("license_key=0123456789abcdef")
    refused(api.get(f"/instances/{instance}/modules?from_guest=maybe"), 400)


def test_what_an_administrator_hides_stays_hidden_on_the_instance(api, instance):
    hidden = made(api, name="hidden", user="admin", visible=0)
    refused(applied(api, instance, hidden), 404)
    assert applied(api, instance, hidden, user="admin").status_code == 200
    for query in ("", "?from_guest=true"):
        assert api.get(f"/instances/{instance}/modules{query}").json == {"modules": []}
        assert len(api.get(f"/instances/{instance}/modules{query}", user="admin").json["modules"]) == 1
    refused(api.delete(f"/instances/{instance}/modules/{hidden}"), 404)


def test_one_that_fails_keeps_none_back_and_is_shown_as_failed(api, instance, module):
    broken = made(api, name="broken")
    result = applied(api, instance, broken, module)
    assert {each["name"]: (each["status"], each["message"]) for each in result.json["modules"]} == {
        "broken": ("ERROR", "It is broken."),
        "greeting": ("OK", "done"),
    }
    stored = {each["name"]: each for each in api.get(f"/instances/{instance}/modules").json["modules"]}
    assert (stored["broken"]["status"], stored["broken"]["md5"]) == ("ERROR", None)
    assert stored["greeting"]["status"] == "OK"


def test_what_a_silent_guest_was_sent_is_shown_as_not_confirmed_and_can_be_sent_again(tmp_path):
    settings = Settings(default_datastore="mariadb", guest_call_timeout_s=0.2)
    with serving_api(tmp_path, operations=settings) as api:
        instance, module = api.active(guest=False), made(api)
        refused(applied(api, instance, module), 503)
        (stored,) = api.get(f"/instances/{instance}/modules").json["modules"]
        assert (stored["status"], stored["md5"]) == ("ERROR", None)
        assert "confirmed" in stored["message"]
        refused(api.delete(f"/modules/{module}"), 403)
        refused(api.delete(f"/instances/{instance}/modules/{module}"), 503)
        assert len(api.get(f"/instances/{instance}/modules").json["modules"]) == 1


def test_only_what_fits_is_applied(api, instance):
    api.offer_everything()
    other = made(api, name="other", datastore={"type": EVERYTHING})
    fitting = made(api, name="fitting", datastore={"type": "mariadb", "version": "10.11"})
    assert EVERYTHING in refused(applied(api, instance, other), 400)
    assert "twice" in refused(applied(api, instance, fitting, fitting), 400)
    for each in (new_id(), made(api, name="foreign", user="stranger")):
        refused(applied(api, instance, fitting, each), 404)
    assert api.get(f"/instances/{instance}/modules").json == {"modules": []}
    for content in ({}, {"modules": []}, {"modules": [{"id": "x"}]}, {"modules": [{}]}, {"modules": None}):
        refused(api.post(f"/instances/{instance}/modules", content), 400)


def test_nothing_is_applied_or_removed_while_the_instance_is_busy(api, module, instance):
    applied(api, instance, module)
    with api.doors.database.transaction() as tx:
        instances.apply(tx, instance, Event.RESTART_ACCEPTED)
    assert "REBOOT" in refused(applied(api, instance, module), 422)
    assert "REBOOT" in refused(api.delete(f"/instances/{instance}/modules/{module}"), 422)
    refused(applied(api, api.insert("building"), module), 422)
    assert api.guests[instance].calls == ["module_apply"]


def test_a_module_is_removed_once(api, module, instance):
    applied(api, instance, module)
    result = api.delete(f"/instances/{instance}/modules/{module}")
    assert (result.status_code, result.text) == (200, "")
    assert api.guests[instance].modules == {}
    assert api.get(f"/instances/{instance}/modules").json == {"modules": []}
    refused(api.delete(f"/instances/{instance}/modules/{module}"), 404)


def test_instances_of_other_projects_are_not_there(api, module):
    theirs = api.active(project_id=OTHER_PROJECT)
    refused(applied(api, theirs, module), 404)
    refused(api.get(f"/instances/{theirs}/modules"), 404)
    refused(api.delete(f"/instances/{theirs}/modules/{module}"), 404)


def test_a_reader_changes_nothing(api, module, instance):
    refused(api.post("/modules", body(name="n"), user="reader"), 403)
    refused(api.put(f"/modules/{module}", {"module": {}}, user="reader"), 403)
    refused(api.delete(f"/modules/{module}", user="reader"), 403)
    refused(api.put(f"/modules/{module}/instances", {"reapply": {}}, user="reader"), 403)
    refused(applied(api, instance, module, user="reader"), 403)
    refused(api.delete(f"/instances/{instance}/modules/{module}", user="reader"), 403)


def test_instances_with_a_module_are_listed_and_counted(api):
    module = made(api, live_update=1)
    ids = sorted(api.active(f"i{number}") for number in range(3))
    for each in ids:
        applied(api, each, module)
    page = api.get(f"/modules/{module}/instances?limit=2").json
    assert [each["id"] for each in page["instances"]] == ids[:2]
    assert page["links"] == page["instances_links"]
    rest = api.get(f"/modules/{module}/instances?limit=2&marker={ids[1]}").json
    assert [each["id"] for each in rest["instances"]] == ids[2:]
    assert "links" not in rest
    assert {"flavor", "datastore", "status", "region"} <= set(rest["instances"][0]), "what clients print"
    api.put(f"/modules/{module}", {"module": {"contents": encoded("message=ho")}})
    applied(api, ids[0], module)
    counted = api.get(f"/modules/{module}/instances?count_only=True").json["instances"]
    assert {(each["current"], each["instance_count"]) for each in counted} == {(True, 1), (False, 2)}
    assert {each["module_id"] for each in counted} == {module}
    assert api.get(f"/modules/{module}").json["module"]["instance_count"] == 3


def test_a_shared_module_does_not_tell_of_other_projects(api):
    shared = made(api, name="shared", user="admin", all_tenants=1)
    mine, theirs = api.active(), api.active(project_id=OTHER_PROJECT)
    for each in (mine, theirs):
        applied(api, each, shared, user="admin")
    assert [each["id"] for each in api.get(f"/modules/{shared}/instances").json["instances"]] == [mine]
    (counted,) = api.get(f"/modules/{shared}/instances?count_only=1").json["instances"]
    assert counted["instance_count"] == 1
    everywhere = api.get(f"/modules/{shared}/instances", user="admin").json["instances"]
    assert {each["id"] for each in everywhere} == {mine, theirs}


def test_applying_again_is_an_operation(api, module):
    wanted = {"md5": "A" * 32, "include_clustered": 1, "batch_size": 5, "batch_delay": 3, "force": 1}
    result = api.put(f"/modules/{module}/instances", {"reapply": wanted})
    assert result.status_code == 202
    shown = api.get(f"/operations/{result.headers['x-trove-operation-id']}").json["operation"]
    assert (shown["kind"], shown["state"]) == ("module.reapply", "PENDING")
    with api.doors.database.reading() as tx:
        args = operations.get(tx, shown["id"]).args
    assert args == {
        "md5": "a" * 32,
        "include_clustered": True,
        "force": True,
        "project_id": PROJECT,
        "batch_size": 5,
        "batch_delay_s": 3.0,
    }
    assert api.announcer.announced == [shown["id"]]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 51}, "at most 50"),
        ({"batch_delay": 1}, "at least 2"),
        ({"batch_delay": "x"}, "batch_delay"),
        ({"md5": "x"}, "md5"),
        ({"force": 3}, "force"),
    ],
)
def test_wrong_wishes_for_applying_again_are_named(api, module, wanted, words):
    assert words in refused(api.put(f"/modules/{module}/instances", {"reapply": wanted}), 400)
    assert api.announcer.announced == []


def created(api, *ids, code=200, user="member", **more):
    wanted = {"name": "new", "flavorRef": "2", "volume": {"size": 1}, "modules": [{"id": each} for each in ids], **more}
    result = api.post("/instances", {"instance": wanted}, user=user)
    assert result.status_code == code, result.text
    return result


def test_a_new_instance_is_to_have_what_it_asks_for_and_what_all_get(api):
    asked = made(api, name="asked", apply_order=9)
    automatic = made(api, name="automatic", user="admin", auto_apply=1, all_tenants=1)
    api.offer_everything()
    made(api, name="for another engine", user="admin", auto_apply=1, all_tenants=1, datastore={"type": EVERYTHING})
    instance = created(api, asked).json["instance"]["id"]
    listed = api.get(f"/instances/{instance}/modules").json["modules"]
    assert [(each["id"], each["status"]) for each in listed] == [(automatic, "ERROR"), (asked, "ERROR")]
    refused(api.delete(f"/modules/{asked}"), 403)
    with api.doors.database.reading() as tx:
        (operation,) = operations.unfinished(tx, limit=9)
        assert operation.args["modules"] == [asked, automatic]
        assert "message" not in str(dict(operation.args))
    other = created(api).json["instance"]["id"]
    assert len(api.get(f"/instances/{other}/modules").json["modules"]) == 1


def test_modules_that_a_new_instance_cannot_have_are_named_before_anything_is_written(api):
    api.offer_everything()
    other = made(api, name="other", datastore={"type": EVERYTHING})
    assert EVERYTHING in refused(created(api, other, code=400), 400)
    refused(created(api, new_id(), code=404), 404)
    refused(created(api, made(api, name="foreign", user="stranger"), code=404), 404)
    assert api.get("/instances").json["instances"] == []


def test_a_deleted_instance_has_no_modules(api, module, instance):
    applied(api, instance, module)
    with api.doors.database.transaction() as tx:
        instances.apply(tx, instance, Event.DELETE_ACCEPTED)
        instances.mark_deleted(tx, instance, fence=None)
        assert instance_modules.of_instance(tx, instance, project_id=None) == ()
    assert api.get(f"/modules/{module}").json["module"]["instance_count"] == 0
    assert api.delete(f"/modules/{module}").status_code == 200
