"""Tickets: narrow, expiring, and made only by who has the key."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from trove.core import clock
from trove.core.errors import InvalidInput, NotFound, Refused
from trove.core.tickets import Ticket, Verb
from trove.objectstore.memory import MemoryObjectStore
from trove.objectstore.signing import Signer

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SIGNER = Signer(b"k" * 32, "http://127.0.0.1:8780/")


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    with clock.told_by(lambda: NOW):
        yield


def ticket(signer: Signer = SIGNER, **changes: object) -> Ticket:
    values = {"container": "c", "prefix": "a/", "verb": Verb.PUT, "expires": NOW + timedelta(hours=1), **changes}
    return signer.ticket(**values)  # type: ignore[arg-type]


def check(made: Ticket, *, verb: str = "PUT", container: str = "c", name: str = "a/1", **changes: str) -> None:
    SIGNER.check(verb, container, name, {**dict(parse_qsl(made.query)), **changes})


def test_a_ticket_opens_what_it_is_for() -> None:
    made = ticket()
    check(made)
    check(made, name="a/b/c")
    assert urlsplit(made.url_of("a/1 ü")).path == "/c/a/1%20%C3%BC"
    assert made.query not in repr(made)
    assert Ticket.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    "other",
    [
        {"verb": "GET"},
        {"verb": "DELETE"},
        {"container": "d"},
        {"name": "b/1"},
        {"name": "a"},
        {"name": ""},
        {"prefix": "b/", "name": "b/1"},
        {"prefix": ""},
        {"expires": "99999999999"},
        {"expires": "-1"},
        {"expires": "x"},
        {"expires": "1" * 400},
        {"signature": ""},
        {"signature": "ü"},
    ],
)
def test_it_opens_nothing_else(other: dict[str, str]) -> None:
    with pytest.raises(Refused):
        check(ticket(), **other)


def test_it_expires_and_another_key_makes_none() -> None:
    with pytest.raises(Refused):
        check(ticket(expires=NOW))
    with pytest.raises(Refused):
        check(ticket(Signer(b"x" * 32, "http://127.0.0.1:8780")))
    # No two rights make the same text to be signed.
    with pytest.raises(Refused):
        check(ticket(container="c1", prefix="a/"), container="c", prefix="1a/", name="1a/x")


def test_names_beside_the_prefix_are_not_made_into_urls() -> None:
    with pytest.raises(InvalidInput):
        ticket().url_of("b/1")
    with pytest.raises(InvalidInput):
        Ticket.from_json({"verb": "PUT"})
    with pytest.raises(InvalidInput):
        Ticket.from_json({**ticket().to_json(), "verb": "DELETE"})


def test_urls_are_found_again_in_their_own_store_only() -> None:
    url = SIGNER.url("a b", "ü/1?x")
    assert SIGNER.locate(url) == ("a b", "ü/1?x")
    base = "http://127.0.0.1:8780"
    for other in ("http://127.0.0.1:8781/c/n", base, f"{base}/c", f"{base}1/c/n", ""):
        assert SIGNER.locate(other) is None


def test_the_memory_store_takes_its_own_tickets() -> None:
    store = MemoryObjectStore()
    put = store.ticket("c", "a/", Verb.PUT, expires=NOW + timedelta(hours=1))
    get = store.ticket("c", "a/", Verb.GET, expires=NOW + timedelta(hours=1))
    store.put_by(put.url_of("a/1"), b"x")
    assert store.get_by(get.url_of("a/1")) == b"x"
    with pytest.raises(NotFound):
        store.get_by(get.url_of("a/2"))
    store.seal("c", "a/")
    with pytest.raises(Refused):
        store.put_by(put.url_of("a/1"), b"y")
    assert store.get_by(get.url_of("a/1")) == b"x"
    for url in (get.url_of("a/1"), "memory://objects/c/a/1", "http://elsewhere/c/a/1"):
        with pytest.raises(Refused):
            store.put_by(url, b"y")
