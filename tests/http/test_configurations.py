"""Configuration groups as tenants make, change, attach and lose them."""

import threading

import pytest
from sqlalchemy import event
from tests.http.test_instances import error as fault
from tests.support.http_api import OTHER_PROJECT, PROJECT, serving_api
from tests.support.world import until

from trove.api import settling
from trove.api.faults import KEYS
from trove.core.ids import new_id
from trove.core.operations import OperationState
from trove.core.status import Task
from trove.core.transitions import Event
from trove.store import configurations, datastores, instances, operations

VALUES = {"max_connections": 200, "sql_mode": "ANSI_QUOTES", "autocommit": False, "long_query_time": 2}


def refused(result, code):
    """Check the shape of an error and return its message."""
    return fault(result, code, KEYS[code])


def body(**changes):
    wanted = {"name": "tuned", "values": VALUES, "datastore": {"type": "mariadb", "version": "10.11"}, **changes}
    return {"configuration": {key: value for key, value in wanted.items() if value is not ...}}


def made(api, *, user="member", **changes):
    result = api.post("/configurations", body(**changes), user=user)
    assert result.status_code == 200, result.text
    return result.json["configuration"]["id"]


def values(api, group):
    return api.get(f"/configurations/{group}").json["configuration"]["values"]


def attach(api, instance, group, **options):
    return api.put(f"/instances/{instance}", {"instance": {"configuration": group}}, **options)


def end(api, result, state=OperationState.SUCCEEDED):
    """End the operations that a request started, as a task manager would, without what they do."""
    for operation_id in result.headers["x-trove-operation-id"].split(", "):
        with api.doors.database.transaction() as tx:
            _, fence = operations.claim(tx, operation_id, owner="tester")
            instances.apply(tx, operations.get(tx, operation_id).resource_id, Event.CONFIGURED, fence=fence)
            operations.finish(tx, fence, state)


@pytest.fixture
def group(api):
    return made(api)


@pytest.fixture
def instance(api):
    return api.active()


@pytest.fixture
def attached(api, group, instance):
    end(api, attach(api, instance, group))
    return instance


def test_a_group_is_shown_as_it_was_made(api):
    result = api.post("/configurations", body(description="for the shop"))
    assert result.status_code == 200
    shown = result.json["configuration"]
    assert {key: value for key, value in shown.items() if key not in {"id", "created", "updated"}} == {
        "name": "tuned",
        "description": "for the shop",
        "values": {**VALUES, "long_query_time": 2.0},
        "instance_count": 0,
        "datastore_name": "mariadb",
        "datastore_version_id": api.version_id,
        "datastore_version_name": "10.11",
        "datastore_version_number": "10.11.6",
    }
    assert '"long_query_time":2.0' in result.text
    assert api.get(f"/configurations/{shown['id']}", user="reader").json == result.json


@pytest.mark.parametrize("changes", [{"datastore": ...}, {"values": {}}, {"description": None}, {"datastore": None}])
def test_what_may_be_left_out(api, changes):
    assert made(api, **changes)


def test_keys_are_stored_as_the_datastore_spells_them(api):
    group = made(api, values={"MAX_Connections": 55, "Binlog_Format": "row"})
    assert values(api, group) == {"binlog_format": "ROW", "max_connections": 55}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"no_such": 1}, "no_such is not a parameter of mariadb 10.11"),
        ({"max_connections": "100"}, "max_connections must be an integer"),
        ({"max_connections": True}, "max_connections must be an integer"),
        ({"max_connections": 100.0}, "max_connections must be an integer"),
        ({"max_connections": 9}, "max_connections must not be less than 10"),
        ({"max_connections": 100001}, "max_connections must not be more than 100000"),
        ({"max_connections": 10**40}, "max_connections must not be more than 100000"),
        ({"autocommit": 1}, "autocommit must be true or false"),
        ({"autocommit": "ON"}, "autocommit must be true or false"),
        ({"long_query_time": "1.5"}, "long_query_time must be a number"),
        ({"long_query_time": False}, "long_query_time must be a number"),
        ({"sql_mode": 1}, "sql_mode must be a string"),
        ({"sql_mode": "A\nport = 1"}, "sql_mode must not hold line breaks"),
        ({"sql_mode": ["A"]}, "sql_mode must be a string"),
        ({"binlog_format": "SOMETIMES"}, "binlog_format must be one of MIXED, ROW"),
        ({"max_connections": 20, "MAX_CONNECTIONS": 30}, "max_connections is given twice"),
        ({"max_connections": 1, "autocommit": 1}, "; autocommit must be"),
    ],
)
def test_a_wrong_value_is_refused_by_name(api, given, words):
    assert words in refused(api.post("/configurations", body(values=given)), 422)
    assert api.get("/configurations").json["configurations"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ...}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": 7}, "name"),
        ({"description": "x" * 256}, "description"),
        ({"values": ...}, "values"),
        ({"values": None}, "values"),
        ({"values": [1]}, "values"),
        ({"values": {"sql_mode": None}}, "sql_mode"),
        ({"values": {"sql_mode": {"a": 1}}}, "sql_mode"),
        ({"values": {"sql_mode": "x" * 4097}}, "sql_mode"),
        ({"datastore": "mariadb"}, "datastore"),
        ({"datastore": {"type": "mariadb", "version": 10}}, "version"),
    ],
)
def test_a_malformed_request_is_refused_by_field(api, changes, words):
    assert words in refused(api.post("/configurations", body(**changes)), 400)


def test_the_version_must_be_there_and_have_parameters_but_may_be_inactive(api):
    assert api.post("/configurations", body(datastore={"type": "nosuch"})).status_code == 404
    assert api.post("/configurations", body(datastore={"type": "mariadb", "version": "9"})).status_code == 404
    with api.doors.database.transaction() as tx:
        datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6", active=False)
    assert made(api)
    mgmt = f"/mgmt/datastores/versions/{api.version_id}/parameters"
    for each in api.get(mgmt, user="admin").json["configuration-parameters"]:
        assert api.delete(f"{mgmt}/{each['name']}", user="admin").status_code == 204
    assert "no configuration parameters" in refused(api.post("/configurations", body(values={})), 422)


def test_what_operators_say_of_a_parameter_holds(api):
    mgmt = f"/mgmt/datastores/versions/{api.version_id}/parameters"
    secret = {"name": "admin_password", "data_type": "string", "restart_required": 0, "min_size": 3, "max_size": 8}
    assert api.post(mgmt, {"configuration-parameter": secret}, user="admin").status_code == 200
    assert "at least 3" in refused(api.post("/configurations", body(values={"admin_password": "ab"})), 422)
    assert "at most 8" in refused(api.post("/configurations", body(values={"admin_password": "a" * 9})), 422)


def test_secrets_are_masked_and_come_back_as_they_were(api):
    mgmt = f"/mgmt/datastores/versions/{api.version_id}/parameters"
    secret = {"name": "admin_password", "data_type": "string", "restart_required": 0}
    assert api.post(mgmt, {"configuration-parameter": secret}, user="admin").status_code == 200
    given = {"admin_password": "hunter2", "max_connections": 20}
    result = api.post("/configurations", body(values=given))
    assert "hunter2" not in result.text
    group = result.json["configuration"]["id"]
    assert values(api, group) == {"admin_password": "***", "max_connections": 20}
    api.put(f"/configurations/{group}", {"configuration": {"values": values(api, group)}})
    instance = api.active()
    attach(api, instance, group)
    with api.doors.database.reading() as tx:
        assert configurations.values(tx, group) == given
    assert "hunter2" not in api.get(f"/instances/{instance}").text


def test_a_list_leaves_out_what_is_long_and_comes_in_pages(api):
    groups = sorted(made(api, name=f"g{number}") for number in range(5))
    first = api.get("/configurations?limit=2", user="reader")
    assert [each["id"] for each in first.json["configurations"]] == groups[:2]
    assert set(first.json["configurations"][0]) == {
        "id", "name", "description", "created", "updated", "datastore_name", "datastore_version_id", "datastore_version_name",
    }  # fmt: skip
    found, result = [], first
    while True:
        found += [each["id"] for each in result.json["configurations"]]
        if "links" not in result.json:
            break
        result = api.ask("GET", result.json["links"][0]["href"].partition("/v1.0/p1")[2], user="reader")
    assert found == groups
    assert "links" not in api.get("/configurations?limit=5").json
    assert refused(api.get("/configurations?limit=x"), 400)
    assert api.get("/configurations?marker=ffff").json["configurations"] == []


@pytest.mark.parametrize("count", [1, 15])
def test_a_list_takes_as_many_statements_whatever_its_length(api, count):
    for number in range(count):
        made(api, name=f"g{number}")
    statements = []
    event.listen(api.doors.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert len(api.get("/configurations").json["configurations"]) == count
    assert len([each for each in statements if not each.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]) <= 3


def test_groups_of_other_projects_are_not_there_but_for_administrators(api, group):
    theirs = made(api, user="stranger")
    for method, path, content in (
        ("GET", "", None),
        ("GET", "/instances", None),
        ("PATCH", "", {"configuration": {"values": {}}}),
        ("PUT", "", {"configuration": {"values": {}}}),
        ("DELETE", "", None),
    ):
        assert refused(api.ask(method, f"/configurations/{theirs}{path}", content), 404)
        assert refused(api.ask(method, f"/configurations/{new_id()}{path}", content), 404)
        assert refused(api.ask(method, f"/configurations/no-id{path}", content), 404)
    assert [each["id"] for each in api.get("/configurations").json["configurations"]] == [group]
    assert {each["id"] for each in api.get("/configurations", user="admin").json["configurations"]} == {group, theirs}
    assert api.get(f"/configurations/{theirs}", user="admin").status_code == 200


def test_a_reader_changes_nothing(api, group, instance):
    for method, path, content in (
        ("POST", "/configurations", body()),
        ("PATCH", f"/configurations/{group}", {"configuration": {"values": {}}}),
        ("PUT", f"/configurations/{group}", {"configuration": {"values": {}}}),
        ("DELETE", f"/configurations/{group}", None),
        ("PUT", f"/instances/{instance}", {"instance": {"configuration": group}}),
    ):
        assert refused(api.ask(method, path, content, user="reader"), 403)
    assert api.row(instance).configuration_id is None


def test_patch_merges_put_replaces(api, group):
    patched = api.ask("PATCH", f"/configurations/{group}", {"configuration": {"values": {"MAX_connections": 50}}})
    assert (patched.status_code, patched.text) == (200, "")
    assert values(api, group) == {**VALUES, "max_connections": 50}
    put = api.put(
        f"/configurations/{group}", {"configuration": {"values": {"autocommit": True}, "name": "new", "description": "d"}}
    )
    assert (put.status_code, put.text) == (202, "")
    shown = api.get(f"/configurations/{group}").json["configuration"]
    assert (shown["name"], shown["description"], shown["values"]) == ("new", "d", {"autocommit": True})
    assert api.put(f"/configurations/{group}", {"configuration": {"name": "only"}}).status_code == 202
    assert values(api, group) == {"autocommit": True}
    assert refused(api.ask("PATCH", f"/configurations/{group}", {"configuration": {}}), 400)
    assert refused(api.ask("PATCH", f"/configurations/{group}", {"configuration": {"values": {"autocommit": 1}}}), 422)
    assert refused(api.put(f"/configurations/{group}", {"configuration": {"name": "x", "values": {"no": 1}}}), 422)
    assert api.get(f"/configurations/{group}").json["configuration"]["name"] == "only"


def test_a_group_is_attached_by_an_operation_and_shown_with_the_instance(api, group, instance):
    result = attach(api, instance, group)
    assert (result.status_code, result.text) == (202, "")
    shown = api.get(f"/instances/{instance}").json["instance"]
    assert (shown["status"], shown["operating_status"]) == ("ACTIVE", "")
    assert shown["configuration"]["id"] == group
    assert shown["configuration"]["name"] == "tuned"
    assert shown["configuration"]["links"][0]["href"].endswith(f"/v1.0/{PROJECT}/configurations/{group}")
    assert "configuration" not in api.get("/instances").json["instances"][0]
    assert api.get("/instances/detail").json["instances"][0]["configuration"] == shown["configuration"]
    operation = api.get(f"/operations/{result.headers['x-trove-operation-id']}").json["operation"]
    assert (operation["kind"], operation["state"]) == ("instance.attach_configuration", "PENDING")
    assert api.get(f"/configurations/{group}").json["configuration"]["instance_count"] == 1
    listed = api.get(f"/configurations/{group}/instances", user="reader").json
    assert listed == {"instances": [{"id": instance, "name": "orders"}]}


def test_the_instances_of_a_group_come_in_pages(api, group):
    found = sorted(api.active(f"i{number}", guest=False) for number in range(3))
    for each in found:
        assert attach(api, each, group).status_code == 202
    first = api.get(f"/configurations/{group}/instances?limit=2").json
    assert [each["id"] for each in first["instances"]] == found[:2]
    marker = first["links"][0]["href"].partition("marker=")[2].partition("&")[0]
    rest = api.get(f"/configurations/{group}/instances?limit=2&marker={marker}").json
    assert [each["id"] for each in rest["instances"]] == found[2:]
    assert "links" not in rest


def test_what_cannot_be_attached(api, group, instance, attached):
    assert f"has group {group} attached" in refused(attach(api, instance, made(api)), 400)
    other = api.active("other", guest=False)
    assert refused(attach(api, other, made(api, user="stranger")), 404)
    assert refused(attach(api, other, made(api, user="stranger"), user="admin"), 404)
    assert refused(attach(api, other, new_id()), 404)
    assert refused(attach(api, other, "nonsense"), 404)
    _, second = api.offer_everything()
    for_another = made(api, datastore={"type": "everything", "version": second})
    assert "is for everything 2.0" in refused(attach(api, other, for_another), 400)
    assert refused(attach(api, api.insert("building"), group), 400)
    assert refused(attach(api, new_id(), group), 404)
    assert refused(attach(api, api.active("theirs", project_id=OTHER_PROJECT, guest=False), group), 404)
    two = {"instance": {"configuration": group, "access": {"is_public": True}}}
    assert refused(api.put(f"/instances/{other}", two), 400)
    assert api.row(other).configuration_id is None


def test_an_instance_that_waits_for_a_restart_takes_no_group_but_loses_its_own(api, group, attached):
    with api.doors.database.transaction() as tx:
        instances.apply(tx, attached, Event.RESTART_OWED)
    assert api.get(f"/instances/{attached}").json["instance"]["status"] == "RESTART_REQUIRED"
    assert attach(api, attached, None).status_code == 202
    with api.doors.database.transaction() as tx:
        instances.apply(tx, attached, Event.CONFIGURED)
        instances.apply(tx, attached, Event.RESTART_OWED)
    assert "RESTART_REQUIRED" in refused(attach(api, attached, group), 400)


@pytest.mark.parametrize("content", [{"configuration": None}, {}, {"configuration": ""}])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_group_is_detached_by_null_or_by_nothing(api, group, attached, method, content):
    result = api.ask(method, f"/instances/{attached}", {"instance": content})
    assert (result.status_code, result.text) == (202, "")
    assert "configuration" not in api.get(f"/instances/{attached}").json["instance"]
    kind = api.get(f"/operations/{result.headers['x-trove-operation-id']}").json["operation"]["kind"]
    assert kind == "instance.detach_configuration"
    assert refused(attach(api, attached, group), 400)
    end(api, result)
    again = api.ask(method, f"/instances/{attached}", {"instance": content})
    assert again.status_code == 202
    assert "x-trove-operation-id" not in again.headers


def test_a_new_name_detaches_nothing_and_may_come_with_a_group(api, group, instance):
    both = {"instance": {"name": "renamed", "configuration": group}}
    result = api.put(f"/instances/{instance}", both)
    assert result.status_code == 202
    end(api, result)
    assert api.put(f"/instances/{instance}", {"instance": {"name": "again"}}).status_code == 202
    assert (api.row(instance).name, api.row(instance).configuration_id) == ("again", group)


def test_a_busy_instance_keeps_its_group(api, group, instance):
    attach(api, instance, group)
    assert "not ready" in refused(attach(api, instance, None), 422)


def test_a_changed_group_reaches_every_instance_by_an_operation_of_its_own(api, group):
    found = [api.active(f"i{number}", guest=False) for number in range(3)]
    for each in found:
        end(api, attach(api, each, group))
    with api.doors.database.transaction() as tx:
        instances.apply(tx, found[2], Event.RESTART_OWED)
    result = api.ask("PATCH", f"/configurations/{group}", {"configuration": {"values": {"max_connections": 60}}})
    assert result.status_code == 200
    started = result.headers["x-trove-operation-id"].split(", ")
    shown = [api.get(f"/operations/{each}").json["operation"] for each in started]
    assert {each["resource_id"] for each in shown} == set(found)
    assert {each["kind"] for each in shown} == {"instance.apply_configuration"}
    assert values(api, group)["max_connections"] == 60
    assert api.put(f"/configurations/{group}", {"configuration": {"name": "renamed"}}).status_code == 202


def test_a_group_whose_instance_is_busy_is_changed_nowhere(api, group, instance):
    other = api.active("other", guest=False)
    end(api, attach(api, other, group))
    attach(api, instance, group)
    words = refused(api.put(f"/configurations/{group}", {"configuration": {"values": {}, "name": "x"}}), 422)
    assert instance in words
    assert group in words
    assert values(api, group)["max_connections"] == 200
    assert api.row(other).task is Task.NONE
    assert "x-trove-operation-id" not in api.get(f"/configurations/{group}").headers


def test_an_instance_in_error_does_not_keep_a_group_from_being_changed(api, group, attached):
    with api.doors.database.transaction() as tx:
        instances.apply(tx, attached, Event.RESTART_ACCEPTED)
        instances.apply(tx, attached, Event.ABANDONED)
    result = api.put(f"/configurations/{group}", {"configuration": {"values": {}}})
    assert result.status_code == 202
    assert "x-trove-operation-id" not in result.headers


def test_a_group_is_deleted_when_it_is_attached_nowhere(api, group, attached):
    assert attached in refused(api.delete(f"/configurations/{group}"), 400)
    end(api, attach(api, attached, None))
    deleted = api.delete(f"/configurations/{group}")
    assert (deleted.status_code, deleted.text) == (202, "")
    assert refused(api.get(f"/configurations/{group}"), 404)
    assert refused(api.delete(f"/configurations/{group}"), 404)
    assert api.get("/configurations").json["configurations"] == []
    assert refused(attach(api, attached, group), 404)


def test_an_instance_that_is_deleted_lets_go_of_its_group(api, group, attached):
    assert api.delete(f"/instances/{attached}").status_code == 202
    assert api.get(f"/configurations/{group}/instances").json == {"instances": []}
    assert api.delete(f"/configurations/{group}").status_code == 202


def test_an_instance_is_created_with_a_group(api, group):
    new = {"name": "orders", "flavorRef": "2", "volume": {"size": 1}, "configuration": group}
    result = api.post("/instances", {"instance": new})
    assert result.status_code == 200, result.text
    assert result.json["instance"]["configuration"]["id"] == group
    assert api.get(f"/configurations/{group}").json["configuration"]["instance_count"] == 1
    assert refused(api.put(f"/configurations/{group}", {"configuration": {"values": {}}}), 422)
    assert refused(api.delete(f"/configurations/{group}"), 400)


def test_an_instance_is_not_created_with_a_group_that_does_not_fit(api, group):
    def create(configuration):
        new = {"name": "orders", "flavorRef": "2", "volume": {"size": 1}, "configuration": configuration}
        return api.post("/instances", {"instance": new})

    _, second = api.offer_everything()
    assert refused(create(made(api, datastore={"type": "everything", "version": second})), 400)
    assert refused(create(made(api, user="stranger")), 404)
    assert refused(create(new_id()), 404)
    assert refused(create("x"), 404)
    assert api.get("/instances").json["instances"] == []


def test_the_default_configuration_of_an_instance_is_its_template_for_its_flavor(api, group, attached):
    result = api.get(f"/instances/{attached}/configuration", user="reader")
    assert result.status_code == 200
    shown = result.json["instance"]["configuration"]
    assert shown["innodb_buffer_pool_size"] == "152M"
    assert shown["max_connections"] != "200"
    assert all(isinstance(value, str) for value in shown.values())
    assert refused(api.get(f"/instances/{new_id()}/configuration"), 404)
    assert refused(api.get(f"/instances/{api.insert(project_id=OTHER_PROJECT)}/configuration"), 404)


@pytest.fixture
def patient(tmp_path):
    with serving_api(tmp_path, configuration_wait_s=20.0) as found:
        yield found


def test_a_request_waits_for_the_values_to_be_in_effect_because_clients_look_at_once(patient):
    group, instance = made(patient), patient.active()
    answered = threading.Event()
    results = []

    def ask():
        results.append(attach(patient, instance, group))
        answered.set()

    client = threading.Thread(target=ask)
    client.start()
    until(lambda: patient.announcer.announced, what="the operation")
    assert not answered.is_set()
    with patient.doors.database.transaction() as tx:
        _, fence = operations.claim(tx, patient.announcer.announced[0], owner="tester")
        instances.apply(tx, instance, Event.CONFIGURED, fence=fence)
        operations.finish(tx, fence, OperationState.FAILED, "No.")
    client.join(30)
    assert [each.status_code for each in results] == [202]
    assert patient.put(f"/configurations/{made(patient)}", {"configuration": {"values": {}}}).status_code == 202


def test_no_more_than_a_few_requests_wait(patient):
    group = made(patient)
    waiting = [patient.active(f"i{number}", guest=False) for number in range(settling.MOST_AT_ONCE)]
    clients = [threading.Thread(target=attach, args=(patient, each, group)) for each in waiting]
    for client in clients:
        client.start()
    until(lambda: len(patient.announcer.announced) == len(clients), what="the operations")
    until(lambda: settling._room._value == 0, what="their waiting")
    # This one is answered although nothing is done to its instance.
    assert attach(patient, patient.active("last", guest=False), group).status_code == 202
    for operation_id in patient.announcer.announced:
        with patient.doors.database.transaction() as tx:
            _, fence = operations.claim(tx, operation_id, owner="tester")
            operations.finish(tx, fence, OperationState.SUCCEEDED)
    for client in clients:
        client.join(30)
        assert not client.is_alive()
