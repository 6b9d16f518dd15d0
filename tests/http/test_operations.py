"""Operations as a user follows and cancels them."""

import pytest
from tests.http.test_instances import error
from tests.support.http_api import OTHER_PROJECT, PROJECT

from trove.core.ids import new_id
from trove.core.operations import OperationState
from trove.store import instances, operations

NEW = {"instance": {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}}


@pytest.fixture
def created(api):
    """Return the answer to a creation."""
    return api.post("/instances", NEW)


def run(api, operation_id, state):
    """Have a task manager bring an operation to a state."""
    with api.doors.database.transaction() as tx:
        _, fence = operations.claim(tx, operation_id, owner="tester")
        operations.progress(tx, fence, step="ensure_volume", percent=40)
        if state is OperationState.REVERTING:
            operations.reverting(tx, fence)
        elif state is not OperationState.RUNNING:
            operations.finish(tx, fence, state, None if state is OperationState.SUCCEEDED else "The volume is gone.")


def cancel(api, operation_id, body=None, **options):
    return api.post(f"/operations/{operation_id}/action", {"cancel": {}} if body is None else body, **options)


def shown(api, operation_id, **options):
    return api.get(f"/operations/{operation_id}", **options).json["operation"]


def ids(result):
    assert result.status_code == 200, result.text
    return [operation["id"] for operation in result.json["operations"]]


def test_what_starts_an_operation_names_it(api, created):
    instance_id, operation_id = created.json["instance"]["id"], created.headers["x-trove-operation-id"]
    assert shown(api, operation_id)["resource_id"] == instance_id
    assert "location" not in created.headers
    deleted = api.delete(f"/instances/{instance_id}", headers={"Host": "db.example.test"})
    assert deleted.status_code == 202
    deletion = deleted.headers["x-trove-operation-id"]
    assert deleted.headers["location"] == f"http://db.example.test/v1.0/{PROJECT}/operations/{deletion}"
    assert shown(api, deletion)["kind"] == "instance.delete"
    assert "x-trove-operation-id" not in api.get("/instances").headers


def test_an_operation_shows_how_far_it_is_and_why_it_failed(api, created):
    operation_id = created.headers["x-trove-operation-id"]
    waiting = shown(api, operation_id)
    assert {name: waiting[name] for name in ("kind", "resource_type", "resource_id", "tenant_id", "state", "percent")} == {
        "kind": "instance.create",
        "resource_type": "instance",
        "resource_id": created.json["instance"]["id"],
        "tenant_id": PROJECT,
        "state": "PENDING",
        "percent": 0,
    }
    assert waiting["request_id"] == created.headers["x-openstack-request-id"]
    assert (waiting["attempts"], waiting["cancellable"], waiting["cancel_requested"]) == (0, True, False)
    assert (waiting["started"], waiting["finished"], waiting["error"]) == (None, None, None)
    assert waiting["created"] < waiting["deadline"]
    run(api, operation_id, OperationState.RUNNING)
    running = shown(api, operation_id)
    assert (running["state"], running["step"], running["percent"], running["attempts"]) == ("RUNNING", "ensure_volume", 40, 1)
    run(api, operation_id, OperationState.FAILED)
    failed = shown(api, operation_id)
    assert (failed["state"], failed["error"], failed["cancellable"]) == ("FAILED", "The volume is gone.", False)
    assert failed["finished"]


def test_who_asked_and_who_runs_it_is_for_administrators(api, created):
    operation_id = created.headers["x-trove-operation-id"]
    assert not {"user_id", "owner", "args"} & set(shown(api, operation_id))
    assert {"user_id", "owner", "args"} <= set(shown(api, operation_id, user="admin"))
    assert "secrets" not in shown(api, operation_id, user="admin")


def test_filters(api):
    made = [api.post("/instances", NEW) for _ in range(3)]
    instance_ids = [each.json["instance"]["id"] for each in made]
    creations = [each.headers["x-trove-operation-id"] for each in made]
    run(api, creations[0], OperationState.SUCCEEDED)
    deletion = api.delete(f"/instances/{instance_ids[1]}").headers["x-trove-operation-id"]
    assert ids(api.get("/operations")) == [deletion, *reversed(creations)]
    assert ids(api.get("/operations?state=SUCCEEDED")) == [creations[0]]
    assert ids(api.get("/operations?state=pending&kind=instance.create")) == [creations[2], creations[1]]
    assert ids(api.get("/operations?kind=instance.delete")) == [deletion]
    assert ids(api.get(f"/operations?resource_id={instance_ids[1].upper()}")) == [deletion, creations[1]]
    assert ids(api.get(f"/operations?resource_id={new_id()}")) == []
    assert ids(api.get("/operations?state=&kind=&resource_id=&marker=&limit=")) == [deletion, *reversed(creations)]
    assert ids(api.get(f"/instances/{instance_ids[1]}/operations")) == [deletion, creations[1]]
    assert ids(api.get(f"/instances/{instance_ids[1]}/operations?kind=instance.create&state=PENDING")) == [creations[1]]


def test_operations_of_a_deleted_instance_are_found_by_its_id(api, created):
    instance_id, operation_id = created.json["instance"]["id"], created.headers["x-trove-operation-id"]
    with api.doors.database.transaction() as tx:
        instances.mark_deleted(tx, instance_id, fence=None)
    error(api.get(f"/instances/{instance_id}/operations"), 404, "itemNotFound")
    assert ids(api.get(f"/operations?resource_id={instance_id}")) == [operation_id]


def test_pages(api):
    made = [api.post("/instances", NEW).headers["x-trove-operation-id"] for _ in range(5)]
    found, path = [], "/operations?limit=2&kind=instance.create"
    while path:
        page = api.get(path)
        found.append(ids(page))
        links = page.json.get("links")
        path = links and links[0]["href"].partition(f"/v1.0/{PROJECT}")[2]
    newest_first = made[::-1]
    assert found == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    error(api.get("/operations?limit=-1"), 400, "badRequest")
    error(api.get("/operations?limit=many"), 400, "badRequest")
    error(api.get(f"/operations?marker={new_id()}"), 400, "badRequest")
    foreign = api.post("/instances", NEW, user="stranger").headers["x-trove-operation-id"]
    error(api.get(f"/operations?marker={foreign}"), 400, "badRequest")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/operations?state=odd", "PENDING, RUNNING, REVERTING, SUCCEEDED, FAILED, CANCELLED"),
        ("/operations?kind=instance.explode", "instance.create"),
        ("/operations?resource_id=orders", "resource_id"),
        ("/operations?status=PENDING", "all_projects, kind, limit, marker, project_id, resource_id, state"),
        ("/operations?all_projects=perhaps", "all_projects"),
    ],
)
def test_a_wrong_filter_is_refused_and_told_what_is_allowed(api, path, named):
    assert named in error(api.get(path), 400, "badRequest")


def test_a_wrong_filter_of_an_instance_is_refused_too(api, created):
    path = f"/instances/{created.json['instance']['id']}/operations"
    assert "kind, limit, marker, state" in error(api.get(f"{path}?resource_id=x"), 400, "badRequest")


def test_other_projects_see_nothing_and_administrators_everything(api, created):
    operation_id = created.headers["x-trove-operation-id"]
    foreign = api.post("/instances", NEW, user="stranger").headers["x-trove-operation-id"]
    for path in (f"/operations/{operation_id}", f"/instances/{created.json['instance']['id']}/operations"):
        error(api.get(path, user="stranger"), 404, "itemNotFound")
    assert ids(api.get("/operations", user="stranger")) == [foreign]
    for query in ("all_projects=true", f"project_id={PROJECT}"):
        error(api.get(f"/operations?{query}", user="stranger"), 403, "forbidden")
    assert ids(api.get(f"/operations?project_id={OTHER_PROJECT}", user="stranger")) == [foreign]
    assert ids(api.get("/operations", user="admin")) == [operation_id]
    assert ids(api.get("/operations?all_projects=true", user="admin")) == [foreign, operation_id]
    assert ids(api.get(f"/operations?project_id={OTHER_PROJECT}", user="admin")) == [foreign]
    assert shown(api, foreign, user="admin")["tenant_id"] == OTHER_PROJECT
    error(api.get(f"/operations/{new_id()}"), 404, "itemNotFound")
    error(api.get("/operations/orders"), 404, "itemNotFound")


def test_readers_may_read_and_not_cancel(api, created):
    operation_id = created.headers["x-trove-operation-id"]
    assert shown(api, operation_id, user="reader")["id"] == operation_id
    assert ids(api.get("/operations", user="reader")) == [operation_id]
    error(cancel(api, operation_id, user="reader"), 403, "forbidden")
    assert not shown(api, operation_id)["cancel_requested"]
    for path in ("/operations", f"/operations/{operation_id}"):
        error(api.get(path, user="nobody"), 403, "forbidden")


@pytest.mark.parametrize("state", [OperationState.PENDING, OperationState.RUNNING, OperationState.REVERTING])
def test_an_unfinished_operation_is_asked_to_stop(api, created, state):
    operation_id = created.headers["x-trove-operation-id"]
    if state is not OperationState.PENDING:
        run(api, operation_id, state)
    api.announcer.announced.clear()
    result = cancel(api, operation_id)
    assert (result.status_code, result.text) == (202, "")
    assert result.headers["x-trove-operation-id"] == operation_id
    assert api.announcer.announced == [operation_id]
    asked = shown(api, operation_id)
    assert (asked["state"], asked["cancel_requested"], asked["cancellable"]) == (state.value, True, False)
    assert cancel(api, operation_id).status_code == 202


@pytest.mark.parametrize("state", [OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED])
def test_an_operation_that_has_ended_cannot_be_cancelled(api, created, state):
    operation_id = created.headers["x-trove-operation-id"]
    run(api, operation_id, state)
    assert state.value in error(cancel(api, operation_id), 422, "unprocessableEntity")
    assert not shown(api, operation_id)["cancel_requested"]


def test_a_deletion_cannot_be_cancelled(api, created):
    deletion = api.delete(f"/instances/{created.json['instance']['id']}").headers["x-trove-operation-id"]
    assert not shown(api, deletion)["cancellable"]
    assert "instance.delete" in error(cancel(api, deletion), 422, "unprocessableEntity")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stop": {}},
        {"cancel": {}, "stop": {}},
        {"cancel": {"force": True}},
        {"cancel": "now"},
        {"cancel": []},
        [],
        "cancel",
    ],
)
def test_a_wrong_action_is_refused(api, created, body):
    operation_id = created.headers["x-trove-operation-id"]
    message = error(cancel(api, operation_id, body), 400, "badRequest")
    if isinstance(body, dict) and "stop" in body:
        assert message == "The body must name exactly one action of: cancel."
    assert not shown(api, operation_id)["cancel_requested"]


def test_an_action_needs_a_body_and_an_operation_that_one_may_see(api, created):
    operation_id = created.headers["x-trove-operation-id"]
    error(api.post(f"/operations/{operation_id}/action"), 400, "badRequest")
    error(cancel(api, operation_id, user="stranger"), 404, "itemNotFound")
    error(cancel(api, new_id()), 404, "itemNotFound")
    assert cancel(api, operation_id, {"cancel": None}, user="admin").status_code == 202
