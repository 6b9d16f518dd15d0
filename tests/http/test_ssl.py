"""The TLS of an instance: what is shown of it, and that a change is refused for what is wrong with it first."""

import pytest
from tests.http.test_instances import error as fault
from tests.support.http_api import OTHER_PROJECT

from trove.api.faults import KEYS
from trove.core.transitions import Event
from trove.store import instances

REFERENCE = "http://keys.example.test/v1/containers/1"
ENABLE = {"enable": True, "container_ref": REFERENCE, "password_ref": REFERENCE, "mode": "enforced"}


def refused(result, code):
    """Check the shape of an error and return its message."""
    return fault(result, code, KEYS[code])


def change(api, instance, *, user="member", **wanted):
    return api.post(f"/instances/{instance}/ssl", {"ssl": wanted}, user=user)


@pytest.fixture
def version(api):
    return api.offer_everything()[0]


@pytest.fixture
def instance(api, version):
    return api.active(version_id=version)


def test_it_is_shown_from_what_is_stored(api, instance):
    assert api.get(f"/instances/{instance}/ssl", user="reader").json == {"ssl": {"status": "off", "mode": "builtin"}}
    with api.doors.database.transaction() as tx:
        tx.connection.exec_driver_sql("update instances set ssl_mode = 'mtls'")
    assert api.get(f"/instances/{instance}/ssl").json == {"ssl": {"status": "on", "mode": "mtls"}}
    assert api.guests[instance].calls == []


@pytest.mark.parametrize(
    "wanted",
    [{}, {"enable": False}, {"enable": True, "disable": True}, {"disable": 1, "rollback": 1}, {**ENABLE, "rollback": True}],
)
def test_exactly_one_verb_is_given(api, instance, wanted):
    assert "exactly one" in refused(change(api, instance, **wanted), 400)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"enable": True}, "container_ref"),
        ({"enable": True, "container_ref": ""}, "container_ref"),
        ({**ENABLE, "mode": "strict"}, "mode"),
        ({**ENABLE, "container_ref": 7}, "container_ref"),
        ({"enable": "yes"}, "enable"),
    ],
)
def test_what_is_wrong_is_named(api, instance, wanted, words):
    assert words in refused(change(api, instance, **wanted), 400)


@pytest.mark.parametrize("wanted", [ENABLE, {"disable": True}, {"rollback": True}])
def test_without_a_key_manager_nothing_is_changed(api, instance, wanted):
    message = refused(change(api, instance, **wanted), 501)
    assert "key manager" in message
    assert REFERENCE not in message
    assert api.get(f"/instances/{instance}/ssl").json["ssl"]["status"] == "off"


def test_a_replica_has_the_tls_of_its_source(api, instance, version):
    replica = api.active("replica", version_id=version)
    with api.doors.database.transaction() as tx:
        tx.connection.exec_driver_sql("update instances set slave_of_id = ? where id = ?", (instance, replica))
    for wanted in (ENABLE, {"disable": True}):
        assert instance in refused(change(api, replica, **wanted), 400)
    refused(change(api, replica, rollback=True), 501)


def test_a_busy_instance_is_left_alone(api, instance):
    with api.doors.database.transaction() as tx:
        instances.apply(tx, instance, Event.RESTART_ACCEPTED)
    assert "REBOOT" in refused(change(api, instance, disable=True), 422)


def test_an_engine_whose_tls_is_not_managed_says_so(api):
    instance = api.active()
    assert "MariaDB" in refused(api.get(f"/instances/{instance}/ssl"), 501)
    assert "MariaDB" in refused(change(api, instance, **ENABLE), 501)


def test_who_may(api, instance, version):
    refused(change(api, instance, user="reader", disable=True), 403)
    theirs = api.active(project_id=OTHER_PROJECT, version_id=version)
    refused(api.get(f"/instances/{theirs}/ssl"), 404)
    refused(change(api, theirs, disable=True), 404)
