"""Backups as users make, find, restore and delete them."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from threading import Event as Stopping
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import update
from tests.support.backups import DATA, store_backup
from tests.support.http_api import OTHER_PROJECT, PROJECT, Api

from trove.core.backups import BackupState
from trove.core.clock import utcnow
from trove.core.errors import TroveError
from trove.core.ids import new_id
from trove.core.manifests import manifest_name
from trove.core.operations import OperationState
from trove.core.status import ServiceStatus
from trove.core.units import GIB
from trove.datastores import registry
from trove.operations.backup import create, delete
from trove.operations.work import Work
from trove.store import backups, instances, operations, quotas
from trove.store.tables import backups as rows
from trove.store.tables import instances as instance_rows

UNKNOWN = "c0ffee00-0000-4000-8000-000000000000"
VERSIONED = {"type": "everything", "version": "1.0"}


@pytest.fixture
def orders(api: Api) -> str:
    """An instance of an engine that can be backed up."""
    return api.active(version_id=api.offer_everything()[0])


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MariaDB have no facets, as an engine may."""
    monkeypatch.setattr("trove.datastores.mariadb.spec.SPEC", replace(registry.spec("mariadb"), facets=frozenset()))


def error(answer, key):
    return answer.json[key]["message"]


def ask(api, instance_id, name="nightly", **more):
    options = {key: more.pop(key) for key in ("user", "project") if key in more}
    return api.post("/backups", {"backup": {"name": name, "instance": instance_id, **more}}, **options)


def made(api, instance_id, name="nightly", *, size=None, **more):
    """Have a backup made: its operation does what a task manager and a guest do. Return its id."""
    answer = ask(api, instance_id, name, **more)
    assert answer.status_code == 202, answer.text
    end(api, answer.headers["x-trove-operation-id"])
    backup_id = answer.json["backup"]["id"]
    if size is not None:
        change(api, backup_id, size_bytes=size)
    return backup_id


def end(api, operation_id, failure=None):
    """End the operation of a backup, with objects in the store, or with a failure."""
    with api.doors.database.transaction() as tx:
        operation, fence = operations.claim(tx, operation_id, owner="tester")
    work = Work(doors=api.doors, operation=operation, fence=fence, stopping=Stopping())
    with api.doors.database.reading() as tx:
        instance = instances.get(tx, operation.resource_id)
        backup = backups.get(tx, create.backup_id(work))
    result = store_backup(api.doors.objects, instance.id, create.backup_job(work, instance, backup))
    with api.doors.database.transaction() as tx:
        if failure is None:
            backups.record(
                tx,
                backup.id,
                fence=fence,
                state=BackupState.SAVING,
                checksum=result["checksum"],
                size_bytes=result["data_bytes"],
                location=api.doors.objects.url(backup.container, manifest_name(backup.id)),
            )
            create.succeed(tx, work)
            operations.finish(tx, fence, OperationState.SUCCEEDED)
        else:
            create.fail(tx, work, TroveError(failure))
            operations.finish(tx, fence, OperationState.FAILED, failure)


def delete_now(api, operation_id):
    """Do what a task manager does with an accepted deletion."""
    with api.doors.database.transaction() as tx:
        operation, fence = operations.claim(tx, operation_id, owner="tester")
    work = Work(doors=api.doors, operation=operation, fence=fence, stopping=Stopping())
    for each in delete._ids(work):
        delete.remove(work, backup_id=each)
    with api.doors.database.transaction() as tx:
        operations.finish(tx, fence, OperationState.SUCCEEDED)


def change(api, backup_id, **values):
    with api.doors.database.transaction() as tx:
        tx.execute(update(rows).where(rows.c.id == backup_id).values(**values))


def show(api, backup_id, **options):
    answer = api.get(f"/backups/{backup_id}", **options)
    assert answer.status_code == 200, answer.text
    return answer.json["backup"]


def status_of(api, instance_id):
    return api.get(f"/instances/{instance_id}").json["instance"]["status"]


def used(api, project_id=PROJECT):
    with api.doors.database.reading() as tx:
        return {each.resource.value: (each.in_use, each.reserved) for each in quotas.limits_of(tx, project_id, {})}["backups"]


def names(answer):
    assert answer.status_code == 200, answer.text
    return [backup["name"] for backup in answer.json["backups"]]


def test_a_backup_is_accepted_made_and_shown(api, orders):
    answer = ask(api, orders, description="every night")
    assert answer.status_code == 202
    backup = answer.json["backup"]
    assert (backup["status"], backup["instance_id"], backup["parent_id"], backup["size"]) == ("NEW", orders, None, None)
    assert (backup["description"], backup["project_id"], backup["locationRef"]) == ("every night", PROJECT, None)
    assert backup["datastore"]["type"] == "everything"
    assert (status_of(api, orders), used(api)) == ("BACKUP", (0, 1))
    assert api.get(f"/instances/{orders}").json["instance"]["operating_status"] == "HEALTHY"
    end(api, answer.headers["x-trove-operation-id"])
    backup = show(api, backup["id"])
    assert (backup["status"], backup["size"]) == ("COMPLETED", round(len(DATA) / GIB, 2))
    assert backup["locationRef"].endswith(f"/database_backups/{backup['id']}/manifest.json")
    assert "fault" not in backup
    assert (status_of(api, orders), used(api)) == ("ACTIVE", (1, 0))


def test_one_backup_at_a_time_and_nothing_else_meanwhile(api, orders):
    first = ask(api, orders)
    second = ask(api, orders)
    assert (second.status_code, used(api)) == (422, (0, 1))
    assert "BACKUP" in error(second, "unprocessableEntity")
    assert api.post(f"/instances/{orders}/action", {"restart": {}}).status_code == 422
    assert api.get(f"/instances/{orders}/databases").status_code == 200
    end(api, first.headers["x-trove-operation-id"])
    assert ask(api, orders).status_code == 202


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": None}, "name"),
        ({"instance": "orders"}, "instance"),
        ({"instance": None}, "instance"),
        ({"parent_id": "x"}, "parent_id"),
        ({"incremental": 2}, "incremental"),
        ({"incremental": -1}, "incremental"),
        ({"incremental": "1"}, "incremental"),
        ({"description": 7}, "description"),
        ({"description": "x" * 256}, "description"),
        ({"storage_driver": "tape"}, "storage_driver"),
        *(({"swift_container": name}, "swift_container") for name in ("", "a b", "a;b", "$HOME", "a/b", "'", "a|b", "x" * 256)),
        ({"restore_from": {"remote_location": "http://x/y"}}, "restore_from"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(api, orders, changes, field):
    answer = api.post("/backups", {"backup": {"name": "nightly", "instance": orders, **changes}})
    assert answer.status_code == 400
    assert field in error(answer, "badRequest")
    assert (names(api.get("/backups")), used(api), status_of(api, orders)) == ([], (0, 0), "ACTIVE")


def test_engines_clusters_and_drivers_that_cannot_are_told_so(api, orders, poor):
    answer = ask(api, api.active("plain"))
    assert (answer.status_code, "MariaDB" in answer.text) == (501, True)
    answer = ask(api, orders, storage_driver="cinder")
    assert (answer.status_code, "cinder" in answer.text) == (501, True)
    with api.doors.database.transaction() as tx:
        tx.execute(update(instance_rows).where(instance_rows.c.id == orders).values(cluster_id=new_id()))
    assert ask(api, orders).status_code == 501
    assert used(api) == (0, 0)


def test_an_instance_must_be_there_and_serve(api, orders):
    assert ask(api, UNKNOWN).status_code == 404
    assert ask(api, orders, user="stranger").status_code == 404
    api.beat(orders, ServiceStatus.SHUTDOWN)
    answer = ask(api, orders)
    assert answer.status_code == 422
    assert "shutdown" in error(answer, "unprocessableEntity")


@pytest.mark.parametrize("yes", [1, True])
def test_an_incremental_backup_builds_on_the_newest_whole_one(api, orders, yes):
    alone = made(api, orders, "alone", incremental=yes)
    assert show(api, alone)["parent_id"] is None
    failed = ask(api, orders, "failed")
    end(api, failed.headers["x-trove-operation-id"], "The disk is full.")
    second = made(api, orders, "second", incremental=yes)
    assert show(api, second)["parent_id"] == alone
    third = made(api, orders, "third", incremental=0, parent_id=alone)
    assert show(api, third)["parent_id"] == alone
    assert show(api, made(api, orders, "full", incremental=False))["parent_id"] is None


def test_a_parent_must_be_a_whole_backup_of_the_same_instance(api, orders):
    whole = made(api, orders)
    other = api.active("other", version_id=api.offer_everything()[0])
    assert ask(api, orders, parent_id=UNKNOWN).status_code == 404
    assert ask(api, other, parent_id=whole).status_code == 400
    answer = ask(api, orders, "failed")
    end(api, answer.headers["x-trove-operation-id"], "The disk is full.")
    answer = ask(api, orders, parent_id=answer.json["backup"]["id"])
    assert (answer.status_code, "FAILED" in answer.text) == (400, True)
    assert api.delete(f"/backups/{whole}").status_code == 202
    assert ask(api, orders, parent_id=whole).status_code == 422


def test_a_failure_is_shown_counts_until_deleted_and_frees_the_instance(api, orders):
    answer = ask(api, orders)
    end(api, answer.headers["x-trove-operation-id"], "The disk is full.")
    backup = show(api, answer.json["backup"]["id"])
    assert (backup["status"], backup["fault"]["message"]) == ("FAILED", "The disk is full.")
    assert (status_of(api, orders), used(api)) == ("ACTIVE", (1, 0))
    deletion = api.delete(f"/backups/{backup['id']}")
    delete_now(api, deletion.headers["x-trove-operation-id"])
    assert (api.get(f"/backups/{backup['id']}").status_code, used(api)) == (404, (0, 0))
    assert api.doors.objects.list("database_backups") == []


def test_the_quota_of_backups_holds(api, orders):
    with api.doors.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, quotas.Resource.BACKUPS, 1)
    made(api, orders)
    answer = ask(api, orders)
    assert answer.status_code == 413
    assert "backups" in error(answer, "overLimit")
    assert status_of(api, orders) == "ACTIVE"
    assert api.get("/limits").json["limits"][0]["max_backups"] == 1


def test_the_container_is_that_of_the_request_or_of_a_strategy_or_the_default(api, orders):
    def container(**more):
        with api.doors.database.reading() as tx:
            return backups.get(tx, made(api, orders, **more)).container

    assert container() == "database_backups"
    assert api.post("/backup_strategies", {"backup_strategy": {"swift_container": "ours"}}).status_code == 202
    assert container() == "ours"
    strategy = {"backup_strategy": {"instance_id": orders, "swift_container": "weekly"}}
    assert api.post("/backup_strategies", strategy).status_code == 202
    assert container() == "weekly"
    assert container(swift_container="now") == "now"


def test_pages_are_stable_under_inserts_and_take_all_markers(api, orders):
    for number in range(5):
        made(api, orders, f"b{number}")
    first = api.get("/backups?limit=2")
    assert names(first) == ["b4", "b3"]
    made(api, orders, "b5")
    (link,) = first.json["links"]
    query = dict(parse_qsl(urlsplit(link["href"]).query))
    assert (link["rel"], query["limit"]) == ("next", "2")
    second = api.get(f"/backups?limit=2&marker={query['marker']}")
    assert names(second) == ["b2", "b1"]
    last = api.get(f"/backups?limit=1&marker={second.json['backups'][-1]['id']}")
    assert names(last) == ["b0"]
    assert "links" not in last.json
    assert names(api.get("/backups?limit=2&marker=2")) == ["b3", "b2"]
    assert names(api.get("/backups?marker=6")) == []
    assert len(names(api.get("/backups?limit=0"))) == 6
    for bad in ("limit=x", "limit=-1", "marker=x", f"marker={UNKNOWN}", "marker=-1"):
        assert api.get(f"/backups?{bad}").status_code == 400, bad


def test_filters_narrow_the_list(api, orders):
    other = api.active("other", version_id=api.offer_everything()[0])
    made(api, orders, "mine")
    made(api, other, "others")
    assert names(api.get(f"/backups?instance_id={orders}")) == ["mine"]
    assert names(api.get(f"/instances/{other}/backups")) == ["others"]
    assert names(api.get("/backups?datastore=everything")) == ["others", "mine"]
    assert names(api.get("/backups?datastore=mariadb")) == []
    assert api.get("/backups?datastore=nothing").status_code == 404
    assert api.get("/backups?instance_id=x").status_code == 400
    assert api.get(f"/instances/{UNKNOWN}/backups").status_code == 404


def test_other_projects_see_nothing_and_administrators_all(api, orders):
    backup_id = made(api, orders)
    for answer in (
        api.get(f"/backups/{backup_id}", user="stranger"),
        api.delete(f"/backups/{backup_id}", user="stranger"),
        api.get(f"/instances/{orders}/backups", user="stranger"),
    ):
        assert answer.status_code == 404
    assert names(api.get("/backups", user="stranger")) == []
    for path in ("/backups?all_projects=true", f"/backups?project_id={OTHER_PROJECT}"):
        assert api.get(path).status_code == 403
    theirs = api.active("theirs", project_id=OTHER_PROJECT, version_id=api.offer_everything()[0])
    made(api, theirs, "theirs", user="stranger")
    assert names(api.get("/backups?all_projects=True", user="admin")) == ["theirs", "nightly"]
    assert names(api.get(f"/backups?project_id={OTHER_PROJECT}", user="admin")) == ["theirs"]
    assert names(api.get("/backups", user="admin")) == ["nightly"]
    assert names(api.get(f"/instances/{theirs}/backups", user="admin")) == ["theirs"]
    assert api.delete(f"/backups/{backup_id}", user="reader").status_code == 403
    assert ask(api, orders, user="reader").status_code == 403


def test_a_deletion_takes_what_builds_on_it_first(api, orders):
    full = made(api, orders, "full")
    middle = made(api, orders, "middle", parent_id=full)
    leaf = made(api, orders, "leaf", parent_id=middle)
    deletion = api.delete(f"/backups/{middle}")
    assert deletion.status_code == 202
    assert api.delete(f"/backups/{middle}").status_code == 422
    assert show(api, leaf)["status"] == "COMPLETED"
    delete_now(api, deletion.headers["x-trove-operation-id"])
    assert names(api.get("/backups")) == ["full"]
    assert {each.name.partition("/")[0] for each in api.doors.objects.list("database_backups")} == {full}
    assert used(api) == (1, 0)


def test_what_runs_is_not_deleted_unless_it_runs_for_days(api, orders):
    answer = ask(api, orders)
    backup_id = answer.json["backup"]["id"]
    refused = api.delete(f"/backups/{backup_id}")
    assert refused.status_code == 422
    assert "NEW" in error(refused, "unprocessableEntity")
    change(api, backup_id, updated=utcnow() - timedelta(days=4))
    assert api.delete(f"/backups/{backup_id}").status_code == 202
    assert show(api, backup_id)["status"] == "FAILED"
    with api.doors.database.reading() as tx:
        assert operations.cancel_requested(tx, answer.headers["x-trove-operation-id"])


def test_a_deletion_that_fails_keeps_the_rows(api, orders):
    full = made(api, orders, "full")
    made(api, orders, "leaf", parent_id=full)
    operation_id = api.delete(f"/backups/{full}").headers["x-trove-operation-id"]
    with api.doors.database.transaction() as tx:
        operation, fence = operations.claim(tx, operation_id, owner="tester")
        delete.fail(tx, Work(doors=api.doors, operation=operation, fence=fence), TroveError("The object store is away."))
        operations.finish(tx, fence, OperationState.FAILED)
    assert [each["status"] for each in api.get("/backups").json["backups"]] == ["DELETE_FAILED"] * 2
    assert show(api, full)["fault"]["message"] == "The object store is away."
    assert used(api) == (2, 0)
    delete_now(api, api.delete(f"/backups/{full}").headers["x-trove-operation-id"])
    assert (names(api.get("/backups")), used(api)) == ([], (0, 0))


def test_a_reset_of_the_status_fails_what_runs(api, orders):
    answer = ask(api, orders)
    assert api.post(f"/instances/{orders}/action", {"reset_status": {}}, user="admin").status_code == 202
    backup = show(api, answer.json["backup"]["id"])
    assert (backup["status"], status_of(api, orders)) == ("FAILED", "ACTIVE")


def test_a_deletion_of_the_instance_cancels_what_runs_and_keeps_what_is_done(api, orders):
    whole = made(api, orders)
    running = ask(api, orders)
    assert api.delete(f"/instances/{orders}").status_code == 202
    with api.doors.database.reading() as tx:
        assert operations.cancel_requested(tx, running.headers["x-trove-operation-id"])
    assert show(api, whole)["status"] == "COMPLETED"


def restore(api, ref, **changes):
    body = {"name": "again", "flavorRef": "2", "volume": {"size": 1}, "restorePoint": {"backupRef": ref}, **changes}
    return api.post("/instances", {"instance": body})


def test_an_instance_is_created_from_a_backup_by_id_or_link(api, orders):
    full = made(api, orders)
    leaf = made(api, orders, parent_id=full)
    for ref in (leaf, leaf.upper(), f"http://db.example.test/v1.0/p1/backups/{leaf}"):
        answer = restore(api, ref)
        assert answer.status_code == 200, answer.text
        assert answer.json["instance"]["datastore"]["type"] == "everything"
        with api.doors.database.reading() as tx:
            (operation,) = operations.unfinished(tx, limit=2, resource_id=answer.json["instance"]["id"])
        assert operation.args["backup_id"] == leaf
        assert operation.deadline - operation.created > timedelta(seconds=3500)


def test_what_cannot_be_restored_is_refused_in_the_order_of_the_contract(api, orders, poor):
    def refused(ref, code, **changes):
        answer = restore(api, ref, **changes)
        assert answer.status_code == code, answer.text
        return answer.text

    assert "backupRef" in refused("x", 400)
    refused(UNKNOWN, 404)
    failed = ask(api, orders)
    assert "NEW" in refused(failed.json["backup"]["id"], 409)
    end(api, failed.headers["x-trove-operation-id"], "The disk is full.")
    assert "FAILED" in refused(failed.json["backup"]["id"], 409)
    big = made(api, orders, size=2 * GIB + 1)
    assert "2.00 GiB" in refused(big, 403)
    assert restore(api, big, volume={"size": 3}).status_code == 200
    assert "MariaDB" in refused(big, 501, volume={"size": 3}, datastore={"type": "mariadb"})
    gone = made(api, orders)
    api.doors.objects.delete("database_backups", f"{gone}/00000001")
    refused(gone, 404)
    altered = made(api, orders)
    api.doors.objects.put("database_backups", manifest_name(altered), [b"{}"])
    assert "checksum" in refused(altered, 409)
    mine = made(api, orders)
    assert api.delete(f"/backups/{mine}").status_code == 202
    assert "deleted" in refused(mine, 409)
    assert len(api.get("/instances").json["instances"]) == 2


def test_another_datastore_is_refused(api, orders):
    backup_id = made(api, orders)
    with api.doors.database.transaction() as tx:
        from trove.store import datastores

        datastores.put_datastore(tx, "like-it")
        version = datastores.put_version(tx, "like-it", "1.0", manager="everything")
        datastores.put_datastore(tx, "like-it", version.id)
    answer = restore(api, backup_id, datastore={"type": "like-it"})
    assert answer.status_code == 400
    assert "everything" in error(answer, "badRequest")


def adopt(api, location, **more):
    source = {"remote_location": location, "local_datastore_version_id": api.offer_everything()[1], "size": 0.3, **more}
    return api.post("/backups", {"backup": {"name": "imported", "restore_from": source}})


def test_a_backup_from_elsewhere_is_taken_in_restored_and_forgotten_without_its_objects(api, orders):
    origin = show(api, made(api, orders))
    answer = adopt(api, origin["locationRef"])
    assert answer.status_code == 202, answer.text
    imported = answer.json["backup"]
    assert (imported["status"], imported["instance_id"], imported["size"]) == ("RESTORED", None, 0.3)
    assert (imported["locationRef"], imported["datastore"]["version"]) == (origin["locationRef"], "2.0")
    assert used(api) == (2, 0)
    assert restore(api, imported["id"]).status_code == 200
    delete_now(api, api.delete(f"/backups/{imported['id']}").headers["x-trove-operation-id"])
    assert used(api) == (1, 0)
    assert restore(api, origin["id"]).status_code == 200


def test_what_cannot_be_read_or_is_others_is_not_taken_in(api, orders, poor):
    origin = show(api, made(api, orders))["locationRef"]
    theirs = api.active("theirs", project_id=OTHER_PROJECT, version_id=api.offer_everything()[0])
    foreign = show(api, made(api, theirs, user="stranger"), user="stranger")["locationRef"]
    segment = origin.replace("manifest.json", "00000000")
    for location in ("http://127.0.0.1:9/v1/x.gz", "file:///etc/passwd", origin + "x", foreign, segment):
        answer = adopt(api, location)
        assert answer.status_code == 400
        assert "remote_location" in error(answer, "badRequest")
    assert adopt(api, origin, local_datastore_version_id=UNKNOWN).status_code == 400
    assert adopt(api, origin, local_datastore_version_id=api.version_id).status_code == 501
    assert used(api) == (1, 0)


def test_no_answer_holds_a_ticket(api, orders):
    backup_id = made(api, orders)
    content = b"".join(api.doors.objects.get("database_backups", manifest_name(backup_id)))
    assert sha256(content).hexdigest()
    for path in ("/backups", f"/backups/{backup_id}", "/operations"):
        assert "signature" not in api.get(path, user="admin").text
