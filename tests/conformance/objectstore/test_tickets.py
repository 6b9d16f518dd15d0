"""What a guest can do with a ticket, on every store that guests reach: its own objects, for a while, and nothing else."""

import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from trove.core.clock import utcnow
from trove.core.errors import Conflict, GuestError, InvalidInput, NotFound, Refused, TroveError
from trove.core.ids import new_id
from trove.core.manifests import manifest_name, prefix_of, segment_name
from trove.core.tickets import Ticket, Verb
from trove.guestagent import objects
from trove.objectstore.contract import ObjectStore

CONTAINER = "my backups/ü".replace("/", "-")


def ticket(store: ObjectStore, backup_id: str, verb: Verb, *, seconds: float = 600, names: Sequence[str] = ()) -> Ticket:
    names = names or [manifest_name(backup_id), *(segment_name(backup_id, number) for number in range(5))]
    made = store.ticket(CONTAINER, prefix_of(backup_id), verb, expires=utcnow() + timedelta(seconds=seconds), names=names)
    return Ticket.from_json(made.to_json())


def test_what_is_put_with_a_ticket_is_got_with_one(reachable: ObjectStore) -> None:
    mine = new_id()
    content = secrets.token_bytes(300_000)
    put = ticket(reachable, mine, Verb.PUT)
    objects.put(put, segment_name(mine, 0), content)
    objects.put(put, segment_name(mine, 1), memoryview(b"second"))
    objects.put(put, manifest_name(mine), b"")
    get = ticket(reachable, mine, Verb.GET)
    assert objects.get(get, segment_name(mine, 0), most=len(content)) == content
    assert objects.get(get, segment_name(mine, 1), most=6) == b"second"
    assert objects.get(get, manifest_name(mine), most=0) == b""
    with pytest.raises(GuestError, match="larger"):
        objects.get(get, segment_name(mine, 0), most=len(content) - 1)
    with pytest.raises(NotFound):
        objects.get(get, segment_name(mine, 2), most=1)
    assert [(info.name, info.size) for info in reachable.list(CONTAINER, prefix=prefix_of(mine))] == [
        (segment_name(mine, 0), len(content)),
        (segment_name(mine, 1), 6),
        (manifest_name(mine), 0),
    ]
    assert b"".join(reachable.get(CONTAINER, segment_name(mine, 0))) == content


def test_nothing_else_opens(reachable: ObjectStore) -> None:
    mine, other = new_id(), new_id()
    for each in (mine, other):
        objects.put(ticket(reachable, each, Verb.PUT), segment_name(each, 0), b"secret")
    put, get = ticket(reachable, mine, Verb.PUT), ticket(reachable, mine, Verb.GET)
    foreign = replace(get, prefix=prefix_of(other))
    forged = replace(put, prefix=prefix_of(other))
    crossed = replace(put, verb=Verb.GET), replace(get, verb=Verb.PUT)
    for made, name in ((foreign, segment_name(other, 0)), (crossed[0], segment_name(mine, 0))):
        with pytest.raises((Refused, InvalidInput)):
            objects.get(made, name, most=10)
    for made, name in ((forged, segment_name(other, 1)), (crossed[1], segment_name(mine, 1))):
        with pytest.raises((Refused, InvalidInput)):
            objects.put(made, name, b"x")
    with pytest.raises(InvalidInput):
        objects.put(put, segment_name(other, 1), b"x")
    for method in ("DELETE", "POST"):
        request = urllib.request.Request(put.url_of(segment_name(mine, 0)), method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        refused.value.close()
        assert refused.value.code in {401, 403, 405, 501}
    assert [info.name for info in reachable.list(CONTAINER)] == sorted(segment_name(each, 0) for each in (mine, other))
    for each in (mine, other):
        assert b"".join(reachable.get(CONTAINER, segment_name(each, 0))) == b"secret"


def test_it_expires(reachable: ObjectStore) -> None:
    mine = new_id()
    put = ticket(reachable, mine, Verb.PUT, seconds=2)
    time.sleep(3.1)
    with pytest.raises(Refused, match="expired"):
        objects.put(put, segment_name(mine, 0), b"x")
    assert reachable.list(CONTAINER) == []


def test_what_was_sealed_stays_as_it_is(reachable: ObjectStore) -> None:
    mine, other = new_id(), new_id()
    put, still = ticket(reachable, mine, Verb.PUT), ticket(reachable, other, Verb.PUT)
    objects.put(put, segment_name(mine, 0), b"good")
    for _ in range(2):
        reachable.seal(CONTAINER, prefix_of(mine))
    with pytest.raises((Refused, Conflict)):
        objects.put(put, segment_name(mine, 0), b"evil")
    assert objects.get(ticket(reachable, mine, Verb.GET), segment_name(mine, 0), most=9) == b"good"
    objects.put(still, segment_name(other, 0), b"of another backup")
    if not reachable.needs_names:
        with pytest.raises(Refused):
            objects.put(put, segment_name(mine, 1), b"more")
        with pytest.raises(Refused):
            ticket(reachable, mine, Verb.PUT)


def test_what_was_cleared_is_gone_and_takes_nothing_more(reachable: ObjectStore) -> None:
    mine, other = new_id(), new_id()
    put = ticket(reachable, mine, Verb.PUT)
    for number in range(3):
        objects.put(put, segment_name(mine, number), b"x")
    objects.put(ticket(reachable, other, Verb.PUT), segment_name(other, 0), b"y")
    reachable.publish(CONTAINER, mine, reachable.list(CONTAINER, prefix=prefix_of(mine)))
    reachable.seal(CONTAINER, prefix_of(mine))
    for _ in range(2):
        reachable.clear(CONTAINER, prefix_of(mine))
    assert [info.name for info in reachable.list(CONTAINER)] == [segment_name(other, 0)]
    if not reachable.needs_names:
        with pytest.raises(TroveError):
            objects.put(put, segment_name(mine, 0), b"again", attempts=1)
    reachable.clear(CONTAINER, prefix_of(new_id()))


def test_the_url_of_a_backup_leads_back_to_its_manifest(reachable: ObjectStore) -> None:
    mine = new_id()
    url = reachable.url(CONTAINER, manifest_name(mine))
    assert reachable.locate(url) == (CONTAINER, manifest_name(mine))
    for other in ("http://127.0.0.1:1/x/y", "", url.replace("http://", "https://"), url.partition("my%20")[0]):
        assert reachable.locate(other) is None
    if reachable.of("another") is not reachable:
        assert reachable.of("another").locate(url) is None


def test_projects_do_not_see_each_other(reachable: ObjectStore) -> None:
    if reachable.of("another") is reachable:
        assert reachable.of("another") is reachable.of("third")
        return
    mine, theirs = reachable.of(secrets.token_hex(16)), reachable.of(secrets.token_hex(16))
    mine.put(CONTAINER, "a", [b"x"])
    assert theirs.list(CONTAINER) == []
    with pytest.raises(NotFound):
        theirs.info(CONTAINER, "a")
    theirs.clear(CONTAINER, "a")
    assert [info.name for info in mine.list(CONTAINER)] == ["a"]


def test_nothing_of_a_ticket_shows_where_it_is_printed(reachable: ObjectStore) -> None:
    put = ticket(reachable, new_id(), Verb.PUT)
    assert put.query not in repr(put)
    assert all(each not in repr(put) for each in (put.signatures or {}).values())
