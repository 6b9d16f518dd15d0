"""Logs of an instance: who sees which, and what may be done to them."""

from dataclasses import replace

import pytest
from tests.http.test_instances import error as fault
from tests.support.http_api import LOGS, OTHER_PROJECT, serving_api

from trove.api.faults import KEYS
from trove.core.ids import new_id
from trove.core.logs import home_of, metafile_of, prefix_of
from trove.core.tickets import Ticket, Verb
from trove.core.transitions import Event
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.datastores.mariadb.spec import SPEC
from trove.operations.doors import LogSettings, Settings
from trove.store import instances

CONTAINER = "database_logs"


def refused(result, code):
    """Check the shape of an error and return its message."""
    return fault(result, code, KEYS[code])


def act(api, instance, name, *, user="member", **deeds):
    return api.post(f"/instances/{instance}/log", {"name": name, **deeds}, user=user)


def names(api, instance, user):
    return [each["name"] for each in api.get(f"/instances/{instance}/log", user=user).json["logs"]]


@pytest.fixture
def instance(api):
    return api.active()


def test_who_sees_which(api, instance):
    assert names(api, instance, "member") == names(api, instance, "reader") == ["general", "slow_query"]
    assert names(api, instance, "admin") == ["general", "slow_query", "error", "guest"]
    for name in ("error", "guest", "nosuch", "x" * 200):
        assert "general" in refused(act(api, instance, name), 404)
    assert act(api, instance, "error", user="admin").json["log"]["type"] == "SYS"
    assert api.guests[instance].calls.count("guest_log_action") == 1, "what is hidden reaches no guest"


def test_operators_expose_system_logs(tmp_path):
    settings = Settings(default_datastore="mariadb", logs=LogSettings(exposed={"mariadb": frozenset({"error"})}))
    with serving_api(tmp_path, operations=settings) as api:
        instance = api.active()
        assert names(api, instance, "member") == ["general", "slow_query", "error"]
        assert act(api, instance, "error", publish=1).status_code == 200
        assert "always written" in refused(act(api, instance, "error", enable=1), 400)


def test_a_log_is_switched_and_published_with_a_ticket_for_its_objects_alone(api, instance):
    assert act(api, instance, "general", enable=1).json["log"]["status"] == "Enabled"
    assert act(api, instance, "general", disable=True).json["log"]["status"] == "Disabled"
    shown = act(api, instance, "general", publish=1).json["log"]
    home = home_of(instance, "mariadb", "general")
    assert (shown["container"], shown["prefix"], shown["metafile"]) == (CONTAINER, prefix_of(home), metafile_of(home))
    (order,) = api.guests[instance].published
    ticket = Ticket.from_json(order["ticket"])
    assert (ticket.verb, ticket.prefix, order["home"]) == (Verb.PUT, home, home)
    assert (order["limit"], order["budget_s"]) == (1_000_000, 2.5)
    api.doors.objects.put_by(ticket.url_of(f"{prefix_of(home)}log-1"), b"x")
    assert ticket.query not in str(act(api, instance, "general").json)


def test_what_was_published_is_discarded_and_nothing_else(api, instance):
    objects = api.doors.objects
    mine, other = home_of(instance, "mariadb", "general"), home_of(instance, "mariadb", "slow_query")
    kept = [f"{prefix_of(other)}log-1", metafile_of(other), f"{prefix_of(home_of(new_id(), 'mariadb', 'general'))}log-1"]
    for name in (f"{prefix_of(mine)}log-1", f"{prefix_of(mine)}log-2", metafile_of(mine), *kept):
        objects.put(CONTAINER, name, [b"x"])
    act(api, instance, "general", publish=1)
    shown = act(api, instance, "general", discard=1).json["log"]
    assert (shown["published"], shown["container"], shown["prefix"]) == (0, "None", "None")
    assert [each.name for each in objects.list(CONTAINER)] == sorted(kept)
    assert api.guests[instance].calls[-2:] == ["guest_log_action"] * 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "general", "enable": 2}, "enable"),
        ({"name": "general", "enable": "yes"}, "enable"),
        ({"name": "general", "enable": 1, "disable": 1}, "disable"),
        ({"name": "general", "publish": 1, "disable": 1}, "disable"),
        ({"name": 7}, "name"),
    ],
)
def test_what_is_wrong_is_named_and_no_guest_is_asked(api, instance, body, words):
    assert words in refused(api.post(f"/instances/{instance}/log", body), 400)
    assert api.guests[instance].calls == []


@pytest.mark.parametrize("name", ["error", "guest"])
@pytest.mark.parametrize("deed", ["enable", "disable"])
def test_system_logs_are_not_switched_even_by_administrators(api, instance, name, deed):
    assert "always written" in refused(act(api, instance, name, user="admin", **{deed: 1}), 400)


def test_a_reader_changes_nothing_not_even_by_a_name(api, instance):
    refused(act(api, instance, "general", user="reader"), 403)
    refused(act(api, instance, "general", user="reader", enable=1), 403)


def test_instances_of_other_projects_are_not_there(api):
    theirs = api.active(project_id=OTHER_PROJECT)
    refused(api.get(f"/instances/{theirs}/log"), 404)
    refused(act(api, theirs, "general"), 404)
    refused(act(api, "x", "general"), 404)
    assert names(api, theirs, "admin") == list(LOGS)


def test_an_instance_that_is_built_or_deleted_has_no_guest_to_ask(api, instance):
    assert "BUILD" in refused(api.get(f"/instances/{api.insert()}/log"), 422)
    with api.doors.database.transaction() as tx:
        instances.apply(tx, instance, Event.DELETE_ACCEPTED)
    assert "SHUTDOWN" in refused(act(api, instance, "general", enable=1), 422)


def test_a_guest_that_stays_silent_is_a_503_and_no_object_is_deleted(tmp_path):
    settings = Settings(default_datastore="mariadb", guest_call_timeout_s=0.2)
    with serving_api(tmp_path, operations=settings) as api:
        instance = api.active(guest=False)
        name = f"{prefix_of(home_of(instance, 'mariadb', 'general'))}log-1"
        api.doors.objects.put(CONTAINER, name, [b"x"])
        refused(api.get(f"/instances/{instance}/log"), 503)
        refused(act(api, instance, "general", discard=1), 503)
        assert [each.name for each in api.doors.objects.list(CONTAINER)] == [name]


def test_an_engine_whose_logs_are_not_managed_says_so(api, monkeypatch):
    instance = api.active()
    less = replace(SPEC, facets=SPEC.facets - {Facet.LOGS})
    monkeypatch.setattr(registry, "spec", lambda _manager: less)
    assert "MariaDB" in refused(api.get(f"/instances/{instance}/log"), 501)
    assert "MariaDB" in refused(act(api, instance, "general", enable=1), 501)
