"""What Swift alone does: a backup is one object for who reads the container, in the account of its project."""

import json
import secrets
import urllib.request
from datetime import timedelta

import pytest
from tests.support.keystone import DEMO_PASSWORD, login
from tests.support.object_stores import Servers, swift_store
from tests.support.swift import swift

from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.manifests import manifest_name, prefix_of, segment_name
from trove.core.tickets import Verb
from trove.guestagent import objects
from trove.objectstore import swift as module

CONTAINER = "database_backups"


def read(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"X-Auth-Token": token})
    with urllib.request.urlopen(request, timeout=60) as reply:
        content: bytes = reply.read()
        return content


@pytest.mark.parametrize("most_parts", [1000, 2])
def test_a_tenant_gets_a_backup_as_one_object(
    object_servers: Servers, most_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PARTS", most_parts)
    project_id = object_servers.identity.projects["demo"]
    store, mine = swift_store(object_servers, project_id=project_id), new_id()
    pieces = [secrets.token_bytes(100_000 + number) for number in range(7)]
    for number, piece in enumerate(pieces):
        store.put(CONTAINER, segment_name(mine, number), [piece])
    parts = store.list(CONTAINER, prefix=prefix_of(mine))
    for _ in range(2):
        store.publish(CONTAINER, mine, parts)
    url = store.url(CONTAINER, manifest_name(mine))
    assert url == f"{object_servers.swift.url}/v1/AUTH_{project_id}/{CONTAINER}/{mine}"
    token = login(object_servers.identity.url, "demo", DEMO_PASSWORD, "demo")
    assert read(url, token) == b"".join(pieces)
    store.clear(CONTAINER, prefix_of(mine))
    listed = json.loads(read(f"{object_servers.swift.url}/v1/AUTH_{project_id}?format=json", token))
    assert mine not in json.dumps(listed)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read(url, token)


def test_guests_are_sent_to_where_they_reach_swift(object_servers: Servers) -> None:
    elsewhere = f"{object_servers.swift.url.replace('127.0.0.1', 'localhost')}/v1/AUTH_"
    project_id, mine = secrets.token_hex(16), new_id()
    store = swift_store(object_servers, project_id=project_id, guests_url=elsewhere)
    until = utcnow() + timedelta(minutes=10)
    put = store.ticket(CONTAINER, prefix_of(mine), Verb.PUT, expires=until)
    assert put.base.startswith(f"{elsewhere}{project_id}/{CONTAINER}")
    assert not store.url(CONTAINER, manifest_name(mine)).startswith(elsewhere)
    objects.put(put, manifest_name(mine), b"there")
    assert b"".join(store.get(CONTAINER, manifest_name(mine))) == b"there"
    get = store.ticket(CONTAINER, prefix_of(mine), Verb.GET, expires=until)
    assert objects.get(get, manifest_name(mine), most=5) == b"there"


def test_an_object_of_another_region_is_found_and_got_and_the_tickets_given_there_stay_good(object_servers: Servers) -> None:
    project_id, mine, until = secrets.token_hex(16), new_id(), utcnow() + timedelta(minutes=10)
    here, name = swift_store(object_servers, project_id=project_id), manifest_name(mine)
    with swift(object_servers.identity, region="RegionTwo") as second:
        there = swift_store(object_servers, project_id=project_id, region="RegionTwo")
        there.put(CONTAINER, name, [b"far away"])
        url = there.url(CONTAINER, name)
        assert url.startswith(second.url)
        theirs = there.ticket(CONTAINER, prefix_of(mine), Verb.GET, expires=until)
        found = here.holding(url)
        assert found is not None
        assert here.locate(url) is None
        assert found.locate(url) == (CONTAINER, name)
        assert b"".join(found.get(CONTAINER, name)) == b"far away"
        ours = found.ticket(CONTAINER, prefix_of(mine), Verb.GET, expires=until)
        for ticket in (ours, theirs):
            assert objects.get(ticket, name, most=8) == b"far away"
        for other in (
            url.replace(project_id, secrets.token_hex(16)),
            url.replace(second.url, "http://127.0.0.1:1"),
            f"{second.url}@127.0.0.1:1/{url.removeprefix(second.url)}",
            f"http://127.0.0.1:1/{url}",
        ):
            assert here.holding(other) is None
    own = here.url(CONTAINER, name)
    assert here.holding(own) is here


def test_what_no_ticket_was_given_for_in_another_region_is_got_from_there(object_servers: Servers) -> None:
    project_id, mine = secrets.token_hex(16), new_id()
    with swift(object_servers.identity, region="RegionTwo"):
        there = swift_store(object_servers, project_id=project_id, region="RegionTwo")
        there.put(CONTAINER, manifest_name(mine), [b"far away"])
        found = swift_store(object_servers, project_id=project_id).holding(there.url(CONTAINER, manifest_name(mine)))
        assert found is not None
        ticket = found.ticket(CONTAINER, prefix_of(mine), Verb.GET, expires=utcnow() + timedelta(minutes=10))
        assert objects.get(ticket, manifest_name(mine), most=8) == b"far away"
