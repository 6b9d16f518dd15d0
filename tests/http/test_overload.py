"""What the API does with more than it can do: raw sockets against the server as trove-api runs it."""

import http.client
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.http.test_instances import error
from tests.support.http_api import PROJECT, Api, basic, listening, serving_api
from tests.support.world import until

from trove.api import gateway
from trove.bus.bounded import BoundedCalls
from trove.core.errors import GuestTimeout
from trove.core.operations import OperationState
from trove.core.status import Task
from trove.operations.doors import Limits, Settings
from trove.store import operations, session


class Held:
    """A WSGI application that answers `/held…` when it is let go, and others at once; it counts what began."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.begun: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        path = environ["PATH_INFO"]
        self.begun.append(path)
        body = environ["wsgi.input"].read()
        if path.startswith("/held"):
            assert self.let_go.wait(60)
        answer = json.dumps({"path": path, "bytes": len(body)}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


@pytest.fixture
def held() -> Iterator[Held]:
    app = Held()
    yield app
    app.let_go.set()


@contextmanager
def connected(port: int, count: int = 1) -> Iterator[list[socket.socket]]:
    """Yield open connections."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(count)]


def get(port: int, path: str = "/quick", **headers: str) -> tuple[int, Any, http.client.HTTPMessage]:
    """Send a GET and return status, decoded body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read() or b"null"), reply.headers
    finally:
        connection.close()


def ask(connection: socket.socket, path: str, *, length: int = 0, body: bytes = b"", user: str = "") -> None:
    """Send a request whose body is announced with `length` bytes."""
    method, credentials = "POST" if length else "GET", f"Authorization: {basic(user)}\r\n" if user else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{credentials}Content-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + body)


def answer(connection: socket.socket) -> bytes:
    """Read until the server closes, or a whole reply came."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
        head, found, body = received.partition(b"\r\n\r\n")
        if found and b"content-length: %d\r\n" % len(body) in head.lower() + b"\r\n":
            break
    return received


def first_answered(connections: Sequence[socket.socket], count: int) -> list[socket.socket]:
    """Return the connections that have something to read, once there are `count`."""
    found: list[socket.socket] = []

    def enough() -> bool:
        found[:] = select.select(connections, [], [], 0)[0]
        return len(found) >= count

    until(enough, what=f"{count} answers")
    return found


def test_a_hundred_half_sent_bodies_hold_no_thread_and_end(held: Held) -> None:
    with (
        listening(held, trove_api_threads=2, max_concurrent_requests=4, client_body_timeout=2.0) as port,
        connected(port, 100) as slow,
    ):
        for connection in slow:
            ask(connection, "/quick", length=1000, body=b"half of it")
        status, body, _ = get(port)
        assert (status, body["path"]) == (200, "/quick")
        assert held.begun == ["/quick"]
        replies = [answer(connection) for connection in slow]
        assert {reply.split(b"\r\n")[0] for reply in replies} == {b"HTTP/1.1 408 Request Timeout"}
        assert b'"requestTimeout"' in replies[0]
        assert slow[0].recv(1) == b""
        assert held.begun == ["/quick"]


def test_a_body_that_comes_in_drips_is_bounded_as_a_whole(held: Held) -> None:
    with listening(held, client_body_timeout=0.5) as port, connected(port) as (dripping,):
        ask(dripping, "/quick", length=1000)
        gone = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not gone.wait(0.05):
                    dripping.sendall(b".")

        sender = threading.Thread(target=drip)
        sender.start()
        try:
            assert answer(dripping).startswith(b"HTTP/1.1 408 ")
        except ConnectionResetError:
            pass  # It was closed while more came.
        finally:
            gone.set()
            sender.join(10)
        assert not held.begun


def test_a_body_cut_off_is_not_taken_for_a_whole_one(held: Held) -> None:
    with listening(held) as port, connected(port) as (cut,):
        ask(cut, "/quick", length=1000, body=b'{"complete": "as JSON"}')
        cut.shutdown(socket.SHUT_WR)
        assert b" 200 " not in answer(cut)[:20]
        assert get(port)[0] == 200
        assert held.begun == ["/quick"]


def test_bodies_that_arrive_are_bounded_together(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MOST_BUFFERED_BYTES", 1000)
    with listening(held) as port, connected(port) as (first,):
        ask(first, "/quick", length=1500, body=b"x" * 900)

        def refused() -> bool:
            with connected(port) as (second,):
                ask(second, "/second", length=200, body=b"x" * 200)
                return b" 503 " in answer(second)[:20]

        until(refused, what="a refusal")
        first.close()
        until(lambda: not refused(), what="room again")


def test_slow_headers_and_idle_connections_are_closed(held: Held) -> None:
    with listening(held, client_header_timeout=2.0) as port, connected(port, 3) as (silent, half, idle):
        half.sendall(b"GET /quick HTTP/1.1\r\nHo")
        ask(idle, "/quick")
        assert b" 200 OK" in answer(idle)
        for connection in (silent, half, idle):
            assert connection.recv(1) == b""


def test_what_cannot_be_begun_is_refused_at_once(held: Held) -> None:
    with listening(held, trove_api_threads=2, max_concurrent_requests=4) as port, connected(port, 4) as waiting:
        for number, connection in enumerate(waiting):
            ask(connection, f"/held{number}")
        until(lambda: len(held.begun) == 2, what="two requests in hand")
        until(lambda: get(port)[0] == 503, what="all four to be counted")
        status, body, headers = get(port)
        assert (status, body["serviceUnavailable"]["code"]) == (503, 503)
        assert int(headers["Retry-After"]) >= 1
        held.let_go.set()
        assert all(b" 200 OK" in answer(connection) for connection in waiting)
        assert get(port)[0] == 200


def test_nobody_waits_for_a_thread_longer_than_is_allowed(held: Held) -> None:
    with (
        listening(held, trove_api_threads=1, request_wait_timeout=1.0) as port,
        connected(port) as (first,),
    ):
        ask(first, "/held")
        until(lambda: held.begun, what="the first request")
        status, body, headers = get(port, "/late")
        assert status == 503
        assert "nothing was done" in body["serviceUnavailable"]["message"]
        assert "Retry-After" in headers
        held.let_go.set()
        assert b" 200 OK" in answer(first)
        assert held.begun == ["/held"]


def test_a_client_that_hung_up_before_its_turn_is_forgotten(held: Held) -> None:
    options = {"trove_api_threads": 1, "max_concurrent_requests": 4, "request_wait_timeout": 60.0}
    with ExitStack() as stack, listening(held, **options) as port, connected(port) as (first,):
        ask(first, "/held")
        until(lambda: held.begun, what="the first request")
        with connected(port, 3) as impatient:
            for connection in impatient:
                ask(connection, "/impatient")
            until(lambda: get(port)[0] == 503, what="all four to be counted")
        patient: list[socket.socket] = []
        while len(patient) < 3:
            (connection,) = stack.enter_context(connected(port))
            ask(connection, "/patient")
            if not select.select([connection], [], [], 0.3)[0]:  # Else it was refused: the place is not free yet.
                patient.append(connection)
        held.let_go.set()
        assert b" 200 OK" in answer(first)
        assert all(b" 200 OK" in answer(connection) for connection in patient)
        assert held.begun == ["/held", "/patient", "/patient", "/patient"]


def test_a_client_that_hangs_up_after_its_turn_came_leaves_nothing(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    with listening(held, trove_api_threads=1, max_concurrent_requests=1) as port:
        with connected(port) as (gone,):
            ask(gone, "/held")
            until(lambda: held.begun, what="the request")
        held.let_go.set()
        until(lambda: get(port)[0] == 200, what="the thread to be free again")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_connections_beyond_the_bound_wait_for_a_free_one(held: Held) -> None:
    with listening(held, max_connections=3, client_header_timeout=0.5) as port, connected(port, 3):
        assert get(port)[0] == 200


def test_requests_in_hand_are_finished_when_the_service_stops(held: Held) -> None:
    with ExitStack() as stack:
        with listening(held, trove_api_threads=1) as port:
            (connection,) = stack.enter_context(connected(port))
            ask(connection, "/held")
            until(lambda: held.begun, what="the request")
            threading.Timer(0.2, held.let_go.set).start()
        assert b" 200 OK" in answer(connection)


def test_the_path_the_headers_and_the_body_arrive_as_they_were_sent() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append({**environ, "body": environ["wsgi.input"].read()})
        start_response("204 No Content", [])
        return []

    with listening(app) as port, connected(port) as (connection,):
        connection.sendall(
            b"PUT /v1.0/p/%C3%BC%40x/a+b?q=%C3%BC&r HTTP/1.1\r\nHost: db.example.test:1\r\nContent-Type: text/x\r\n"
            b"X-Twice: a\r\nX-Twice: b\r\nX_Project_Id: forged\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
        )
        assert answer(connection).startswith(b"HTTP/1.1 204 ")
    (environ,) = seen
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/v1.0/p/ü@x/a+b"
    assert environ["QUERY_STRING"] == "q=%C3%BC&r"
    assert (environ["REQUEST_METHOD"], environ["body"]) == ("PUT", b"body")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "4")
    assert environ["HTTP_X_TWICE"] == "a,b"
    assert "HTTP_X_PROJECT_ID" not in environ
    assert environ["HTTP_HOST"] == "db.example.test:1"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_an_application_that_breaks_is_told_as_json() -> None:
    def app(_environ: dict[str, Any], _start_response: Callable[..., Any]) -> list[bytes]:
        raise ZeroDivisionError

    with listening(app) as port:
        status, body, _ = get(port)
        assert (status, body["instanceFault"]["code"]) == (500, 500)


class HungGuests:
    """A bus whose guests never answer, until it is closed."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self.closed = threading.Event()
        self.calls: list[str] = []

    def call(self, topic: str, _method: str, _args: Any, **_options: Any) -> Any:
        self.calls.append(topic)
        self.closed.wait(60)
        raise GuestTimeout("The guest agent did not answer.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[tuple[Api, HungGuests]]:
    """Return an API whose guests hang."""
    buses: list[HungGuests] = []

    def bounded(doors: Any) -> Any:
        buses.append(HungGuests(doors.bus))
        return replace(doors, bus=BoundedCalls(buses[0], most_per_topic=2, patience_s=0.2))

    settings = Settings(default_datastore="mariadb")
    with serving_api(tmp_path, operations=settings, around=bounded) as api:
        yield api, buses[0]
        buses[0].closed.set()


def test_guests_that_hang_hold_up_nobody_else(hung: tuple[Api, HungGuests]) -> None:
    api, bus = hung
    instances = [api.active(f"hangs-{number}", guest=False) for number in range(4)]
    with (
        listening(api.app, guest_call_threads=4, request_wait_timeout=2.0, max_concurrent_requests=64) as port,
        connected(port, 64) as waiting,
    ):
        for number, connection in enumerate(waiting):
            ask(connection, f"/v1.0/{PROJECT}/instances/{instances[number % 4]}/users", user="member")
        until(lambda: len(bus.calls) == 4, what="all threads for guests to be taken")
        for path in ("/limits", "/instances", f"/instances/{instances[0]}"):
            assert get(port, f"/v1.0/{PROJECT}{path}", Authorization=basic("member"))[0] == 200
        assert not bus.closed.is_set()
        for connection in first_answered(waiting, 60):
            reply = answer(connection)
            assert reply.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: " in reply.lower()
        bus.closed.set()


def test_one_guest_that_hangs_takes_few_threads(hung: tuple[Api, HungGuests]) -> None:
    api, bus = hung
    hangs, other = api.active("hangs", guest=False), api.active("other", guest=False)
    with listening(api.app, guest_call_threads=8) as port, connected(port, 6) as waiting:
        for connection in waiting:
            ask(connection, f"/v1.0/{PROJECT}/instances/{hangs}/users", user="member")
        refused = first_answered(waiting, 4)
        assert all(b"wait for this guest agent already" in answer(connection) for connection in refused)
        assert len(bus.calls) == 2
        with connected(port) as (another,):
            ask(another, f"/v1.0/{PROJECT}/instances/{other}/users", user="member")
            until(lambda: any(other in topic for topic in bus.calls), what="the call to the other guest")
            bus.closed.set()
            assert answer(another).startswith(b"HTTP/1.1 503 ")


NEW = {"instance": {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}}


def test_operations_have_a_ceiling_that_deletions_pass(tmp_path: Path) -> None:
    limits = Limits(max_pending_operations=2, max_instances=-1, max_volumes_gib=-1)
    with serving_api(tmp_path, operations=Settings(default_datastore="mariadb", limits=limits)) as api:
        active = api.active()
        made = [api.post("/instances", NEW) for _ in range(2)]
        assert [each.status_code for each in made] == [200, 200]
        for refused in (
            api.post("/instances", NEW),
            api.post("/instances", NEW, user="stranger"),
            api.post(f"/instances/{active}/action", {"restart": {}}),
        ):
            assert "2 operations" in error(refused, 503, "serviceUnavailable")
            assert refused.headers["retry-after"] == "10"
        assert len(api.get("/instances").json["instances"]) == 3
        assert api.get("/instances", user="stranger").json["instances"] == []
        assert api.row(active).task is Task.NONE
        deleted = [api.delete(f"/instances/{each.json['instance']['id']}") for each in made]
        assert [each.status_code for each in deleted] == [202, 202]
        assert len(api.get("/operations").json["operations"]) == 4
        for operation in api.get("/operations").json["operations"]:
            with api.doors.database.transaction() as tx:
                _, fence = operations.claim(tx, operation["id"], owner="tester")
                operations.finish(tx, fence, OperationState.FAILED, "over")
        assert api.post("/instances", NEW).status_code == 200


def test_no_ceiling_is_no_limit(tmp_path: Path) -> None:
    limits = Limits(max_pending_operations=0)
    with serving_api(tmp_path, operations=Settings(default_datastore="mariadb", limits=limits)) as api:
        assert [api.post("/instances", NEW).status_code for _ in range(3)] == [200] * 3


def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with serving_api(tmp_path, rates={"GET": 2}) as api:
        assert [api.get("/limits").status_code for _ in range(2)] == [200, 200]
        refused = api.get("/limits")
        assert refused.status_code == 413
        assert refused.json["overLimit"]["retryAfter"] == refused.headers["retry-after"]
        assert int(refused.headers["retry-after"]) >= 1
        assert api.get("/limits", user="stranger").status_code == 200


class TakenTurn:
    """The turn of SQLite's writers, which others keep for longer than anybody waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def acquire(self, *, timeout: float) -> bool:
        self.waits.append(timeout)
        return False


def test_a_writer_that_cannot_get_its_turn_is_refused_after_one_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_api(tmp_path) as api:
        with monkeypatch.context() as patched:
            taken = TakenTurn()
            patched.setattr(api.doors.database, "_turn", taken)
            refused = api.post("/instances", NEW)
            assert "busy" in error(refused, 503, "serviceUnavailable")
            assert int(refused.headers["retry-after"]) >= 1
            assert taken.waits == [session.LOCK_TIMEOUT_S]
            assert api.get("/instances").status_code == 200
        assert api.post("/instances", NEW).status_code == 200
