"""What a user sees of how replicas follow, of ejected sources on their way back, and of the backup before an upgrade."""

import pytest
from tests.http.test_formats import XML
from tests.http.test_formats import shown as shown_in_xml
from tests.http.test_instances import UNKNOWN, error
from tests.http.test_replicas import a_set, act, shown

from trove.core.quotas import Resource
from trove.core.replication import ReplicaState
from trove.core.status import ServiceStatus
from trove.store import quotas
from trove.store.tables import instances as rows


@pytest.fixture
def source(api):
    """The id of an instance whose engine can replicate, and that serves."""
    return api.active("orders", guest=False, version_id=api.offer_everything()[0])


@pytest.fixture
def ejected(api, source):
    """The id of another one, whose server is stopped."""
    instance_id = api.active("old", guest=False, version_id=api.offer_everything()[0])
    with api.doors.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == instance_id).values(server_status="SHUTDOWN"))
    return instance_id


def rejoin(api, instance_id, **wanted):
    return api.post(f"/instances/{instance_id}/action", {"rejoin": wanted})


@pytest.mark.parametrize(
    "state",
    [
        ReplicaState(following=True, lag_s=0.25),
        ReplicaState(following=True),
        ReplicaState(following=False, lag_s=3600, problem="The source has purged what <it> needs."),
    ],
)
def test_a_replica_tells_how_it_follows(api, source, state):
    (replica,) = a_set(api, source, 1)
    assert "replication" not in shown(api, replica)
    api.beat(replica, ServiceStatus.HEALTHY, replica_state=state)
    wanted = {"following": state.following, "lag_s": state.lag_s, "problem": state.problem}
    assert shown(api, replica)["replication"] == wanted
    assert shown_in_xml(api, f"/instances/{replica}", headers=XML)["instance"]["replication"] == wanted
    listed = {each["id"]: each for each in api.get("/instances/detail").json["instances"]}
    assert listed[replica]["replication"] == wanted
    assert "replication" not in listed[source]
    # Of one that follows nobody any more, what was said last is of no interest.
    with api.doors.database.transaction() as tx:
        tx.execute(rows.update().where(rows.c.id == replica).values(slave_of_id=None))
    assert "replication" not in shown(api, replica)


@pytest.mark.parametrize("rebuild", [None, False, True])
def test_an_ejected_source_is_asked_to_rejoin(api, source, ejected, rebuild):
    wanted = {"source": source} if rebuild is None else {"source": source, "rebuild": rebuild}
    result = rejoin(api, ejected, **wanted)
    assert (result.status_code, result.text) == (202, "")
    assert shown(api, ejected)["status"] == "BUILD"
    assert shown(api, ejected)["replica_of"]["id"] == source
    operation = api.get(f"/instances/{ejected}/operations", user="admin").json["operations"][0]
    assert (operation["kind"], operation["args"]["rebuild"]) == ("instance.rejoin", bool(rebuild))
    assert "password" not in str(operation["args"])
    error(rejoin(api, ejected, source=source), 422, "unprocessableEntity")
    error(api.delete(f"/instances/{source}"), 403, "forbidden")


def test_who_cannot_rejoin_is_told_why(api, source, ejected):
    (replica,) = a_set(api, source, 1)
    error(rejoin(api, ejected, source=UNKNOWN), 404, "itemNotFound")
    error(rejoin(api, UNKNOWN, source=source), 404, "itemNotFound")
    assert "source" in error(rejoin(api, ejected), 400, "badRequest")
    assert "source" in error(rejoin(api, ejected, source="orders"), 400, "badRequest")
    assert "rebuild" in error(rejoin(api, ejected, source=source, rebuild="yes"), 400, "badRequest")
    assert "is a replica" in error(rejoin(api, ejected, source=replica), 400, "badRequest")
    assert "replicas itself" in error(rejoin(api, source, source=ejected), 400, "badRequest")
    assert "itself" in error(rejoin(api, ejected, source=ejected), 400, "badRequest")
    foreign = api.active("theirs", guest=False, project_id="p2", version_id=api.offer_everything()[0])
    error(rejoin(api, ejected, source=foreign), 404, "itemNotFound")
    assert shown(api, ejected)["status"] == "SHUTDOWN"
    error(act(api, ejected, "rejoin"), 400, "badRequest")


@pytest.mark.parametrize(
    ("field", "made"), [({}, True), ({"backup_before_upgrade": True}, True), ({"backup_before_upgrade": False}, False)]
)
def test_an_upgrade_makes_a_backup_unless_it_is_declined(api, source, field, made):
    body = {"instance": {"datastore_version": "2.0", **field}}
    assert api.ask("PATCH", f"/instances/{source}", body).status_code == 202
    backups = api.get("/backups").json["backups"]
    assert [each["name"] for each in backups] == (["before upgrade to 2.0 of orders"] if made else [])


def test_a_backup_that_no_quota_is_left_for_stands_in_the_way(api, source):
    with api.doors.database.transaction() as tx:
        quotas.set_limit(tx, shown(api, source, user="admin")["tenant_id"], Resource.BACKUPS, 0)
    error(api.put(f"/instances/{source}", {"instance": {"datastore_version": "2.0"}}), 413, "overLimit")
    assert shown(api, source)["status"] == "ACTIVE"


def test_the_backup_is_spoken_of_with_an_upgrade_only(api, source):
    result = api.put(f"/instances/{source}", {"instance": {"backup_before_upgrade": True}})
    assert "datastore_version" in error(result, 400, "badRequest")


def test_members_of_a_set_are_not_upgraded(api, source):
    (replica,) = a_set(api, source, 1)
    for member in (source, replica):
        result = api.put(f"/instances/{member}", {"instance": {"datastore_version": "2.0"}})
        assert "replicated set" in error(result, 400, "badRequest")
