"""The endpoint of the file store: whoever has a ticket puts and gets, nobody else does anything."""

import http.client
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from trove.core.clock import utcnow
from trove.core.tickets import Ticket, Verb
from trove.objectstore.endpoint import Endpoint
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import Signer

SIGNER = Signer(b"k" * 32, "http://127.0.0.1")


@pytest.fixture
def store(tmp_path: Path) -> FileObjectStore:
    return FileObjectStore(tmp_path / "objects", SIGNER)


@pytest.fixture
def port(store: FileObjectStore) -> Iterator[int]:
    with Endpoint(("127.0.0.1", 0), store, SIGNER) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield endpoint.server_address[1]
        finally:
            endpoint.shutdown()
            thread.join()


def ticket(store: FileObjectStore, verb: Verb, prefix: str = "a/") -> Ticket:
    return store.ticket("c", prefix, verb, expires=utcnow() + timedelta(minutes=1))


def path(made: Ticket, name: str) -> str:
    return made.url_of(name).removeprefix("http://127.0.0.1")


def ask(port: int, verb: str, where: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(verb, where, body=body, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_what_is_put_with_a_ticket_is_got_with_one(store: FileObjectStore, port: int) -> None:
    content = b"x" * 1_000_000
    assert ask(port, "PUT", path(ticket(store, Verb.PUT), "a/1 ü"), content) == (201, b"")
    assert ask(port, "PUT", path(ticket(store, Verb.PUT), "a/2"), b"") == (201, b"")
    assert ask(port, "GET", path(ticket(store, Verb.GET), "a/1 ü")) == (200, content)
    assert ask(port, "GET", path(ticket(store, Verb.GET), "a/2")) == (200, b"")
    assert ask(port, "GET", path(ticket(store, Verb.GET), "a/3")) == (404, b"")
    assert b"".join(store.get("c", "a/1 ü")) == content


def test_without_the_right_ticket_there_is_nothing(store: FileObjectStore, port: int) -> None:
    store.put("c", "b/1", [b"secret"])
    put, get = ticket(store, Verb.PUT), ticket(store, Verb.GET)
    for verb, where in (
        ("GET", "/c/b/1"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/c/b/1?" + get.query),
        ("GET", "/d/a/1?" + get.query),
        ("PUT", "/c/b/1?" + put.query),
        ("PUT", path(get, "a/1")),
        ("GET", path(put, "a/1")),
    ):
        assert ask(port, verb, where, b"y" if verb == "PUT" else None)[0] == 403, where
    # Names are names, and no paths.
    assert ask(port, "GET", "/c/a/../b/1?" + get.query)[0] == 400
    for verb in ("DELETE", "POST", "HEAD", "OPTIONS"):
        assert ask(port, verb, path(put, "a/1"))[0] == 501
    assert [info.name for info in store.list("c")] == ["b/1"]


def test_what_is_sealed_takes_nothing_more(store: FileObjectStore, port: int) -> None:
    put, get = ticket(store, Verb.PUT), ticket(store, Verb.GET)
    assert ask(port, "PUT", path(put, "a/1"), b"old")[0] == 201
    where = path(put, "a/1")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"PUT {where} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nne".encode())
        for _ in range(2):
            store.seal("c", "a/")
        raw.sendall(b"w!")
        assert b" 403 " in raw.recv(1000).split(b"\r\n")[0]
    assert ask(port, "PUT", path(put, "a/2"), b"x")[0] == 403
    assert ask(port, "GET", path(get, "a/1")) == (200, b"old")
    store.delete("c", "a/1")
    assert ask(port, "PUT", path(put, "a/1"), b"x")[0] == 403
    assert ask(port, "PUT", path(ticket(store, Verb.PUT, "b/"), "b/1"), b"x")[0] == 201


def test_half_a_body_is_no_object(store: FileObjectStore, port: int) -> None:
    where = path(ticket(store, Verb.PUT), "a/1")
    store.put("c", "a/1", [b"old"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"PUT {where} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf".encode())
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(1000):
            pass
    assert b"".join(store.get("c", "a/1")) == b"old"


@pytest.mark.parametrize("length", ["", "x", "-1", "9" * 15])
def test_a_body_needs_a_length_within_reason(store: FileObjectStore, port: int, length: str) -> None:
    where = path(ticket(store, Verb.PUT), "a/1")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        header = f"Content-Length: {length}\r\n" if length else ""
        raw.sendall(f"PUT {where} HTTP/1.1\r\nHost: h\r\n{header}\r\n".encode())
        assert b" 400 " in raw.recv(1000).split(b"\r\n")[0]
    assert store.list("c") == []


def test_a_store_that_is_away_is_said_so(store: FileObjectStore, port: int, tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    assert ask(port, "PUT", path(ticket(store, Verb.PUT), "a/1"), b"x")[0] == 503
